//! Hashes of RFC 6962, section 2.1: SHA-256, with one byte before a leaf and another before a node.

use aws_lc_rs::digest::{Context, SHA256, digest};
use data_encoding::{BASE64, HEXLOWER};
use std::fmt;

/// A SHA-256 hash of the tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The root of a tree without leaves.
    pub fn of_nothing() -> Self {
        Self::of(digest(&SHA256, b"").as_ref())
    }

    pub fn leaf(leaf: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[0]);
        context.update(leaf);
        Self::of(context.finish().as_ref())
    }

    pub fn node(left: Self, right: Self) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[1]);
        context.update(&left.0);
        context.update(&right.0);
        Self::of(context.finish().as_ref())
    }

    fn of(digest: &[u8]) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest) {
            *to = *from;
        }
        Self(bytes)
    }

    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// Whether that is how the hash is written in hexadecimal.
    pub fn is_hex(&self, text: &str) -> bool {
        let mut written = [0; 64];
        HEXLOWER.encode_mut(&self.0, &mut written);
        text.as_bytes() == written
    }

    /// 64 lower-case digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        Self::from_bytes(&HEXLOWER.decode(text.as_bytes()).ok()?)
    }

    pub fn base64(&self) -> String {
        BASE64.encode(&self.0)
    }

    pub fn from_base64(text: &str) -> Option<Self> {
        Self::from_bytes(&BASE64.decode(text.as_bytes()).ok()?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_are_those_of_rfc_6962() {
        // From the test vectors of certificate-transparency.
        assert_eq!(
            Hash::of_nothing().hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let empty = Hash::leaf(b"");
        assert_eq!(empty.hex(), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(
            Hash::node(empty, Hash::leaf(b"\0")).hex(),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
    }

    #[test]
    fn texts_are_read_back_and_nothing_else_is() {
        let hash = Hash::leaf(b"x");
        assert_eq!(Hash::from_hex(&hash.hex()), Some(hash));
        assert_eq!(Hash::from_base64(&hash.base64()), Some(hash));
        for bad in ["", "00", &hash.hex().to_uppercase(), &format!("{} ", hash.hex())] {
            assert_eq!(Hash::from_hex(bad), None, "{bad:?}");
        }
        assert_eq!(Hash::from_base64("AAAA"), None);
    }
}
