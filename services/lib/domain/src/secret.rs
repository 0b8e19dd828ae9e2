//! Bytes that must not be seen: wiped when dropped, and without any way to print, copy, compare or serialize them.

use std::fmt;
use zeroize::Zeroizing;

/// A private key, a passphrase, a token. Has deliberately no `Clone`, `Display`, `Serialize`, `Deref` or `PartialEq`.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub fn from_text(text: String) -> Self {
        Self::new(text.into_bytes())
    }

    /// The bytes, to be used and not kept.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text, where it is text.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A second copy, made on purpose and by name.
    pub fn duplicate(&self) -> Self {
        Self::new(self.0.to_vec())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
