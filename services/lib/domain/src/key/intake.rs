//! From what a person supplies to a checked private key: the header decides which one reader is asked.
//!
//! Invariant: no input makes this panic, allocate without a bound, or run a key derivation above the caps.

use super::armor::{self, Block};
use super::error::KeyError;
use super::private::PrivateKey;
use super::{encrypted_pkcs8, foreign, legacy_pem, openssh, pkcs8_form, ppk, text};
use crate::secret::Secret;

/// The longest text that is looked at.
pub const MAX_KEY_TEXT: usize = 64 * 1024;

/// The most that a file may ask for its key derivation; checked before the derivation starts.
#[derive(Debug, Clone, Copy)]
pub struct KdfCaps {
    /// OpenSSH's bcrypt-pbkdf.
    pub bcrypt_rounds: u32,
    /// PPK v3.
    pub argon2_memory_kib: u32,
    /// Memory times passes.
    pub argon2_work_kib: u64,
    /// The derivations of PBES1 and PKCS#12 count the same.
    pub pbkdf2_iterations: u32,
    pub scrypt_memory_bytes: u64,
    /// Memory times parallelization.
    pub scrypt_work_bytes: u64,
}

impl Default for KdfCaps {
    fn default() -> Self {
        Self {
            bcrypt_rounds: 256,
            argon2_memory_kib: 256 * 1024,
            argon2_work_kib: 4 * 1024 * 1024,
            pbkdf2_iterations: 10_000_000,
            scrypt_memory_bytes: 256 * 1024 * 1024,
            scrypt_work_bytes: 1024 * 1024 * 1024,
        }
    }
}

/// The form that a key came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    OpenSsh,
    Pkcs1,
    Sec1,
    Pkcs8,
    Ppk2,
    Ppk3,
}

impl KeyFormat {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenSsh => "openssh",
            Self::Pkcs1 => "pkcs1",
            Self::Sec1 => "sec1",
            Self::Pkcs8 => "pkcs8",
            Self::Ppk2 => "ppk2",
            Self::Ppk3 => "ppk3",
        }
    }
}

/// A key that was taken in.
#[derive(Debug)]
pub struct Intake {
    pub key: PrivateKey,
    pub encrypted_at_intake: bool,
    pub format: KeyFormat,
}

/// Costs up to seconds of CPU where the file is encrypted: not on an async thread. A passphrase for a key that
/// is not encrypted is ignored; an empty one counts as none.
pub fn intake(text: &Secret, passphrase: Option<&Secret>, caps: &KdfCaps) -> Result<Intake, KeyError> {
    let bytes = text.expose();
    if bytes.len() > MAX_KEY_TEXT {
        return Err(KeyError::TooLarge);
    }
    let wide = text::from_utf16(bytes);
    let bytes = text::without_mark(wide.as_ref().map_or(bytes, |converted| converted.as_slice()));
    let passphrase = passphrase.filter(|secret| !secret.is_empty());
    let blocks = armor::blocks(bytes)?;
    let mut private = blocks.iter().filter(|block| block.label.ends_with("PRIVATE KEY"));
    let first = private.next();
    let putty = ppk::find(bytes)?;
    if private.next().is_some() || (first.is_some() && putty.is_some()) {
        return Err(KeyError::MultipleKeys);
    }
    match (first, putty) {
        (Some(block), _) => read_block(block, passphrase, caps),
        (None, Some(text)) => ppk::read(text, passphrase, caps),
        (None, None) => Err(foreign::name(bytes, &blocks)),
    }
}

fn read_block(block: &Block<'_>, passphrase: Option<&Secret>, caps: &KdfCaps) -> Result<Intake, KeyError> {
    let bytes = match block.label {
        "OPENSSH PRIVATE KEY"
        | "RSA PRIVATE KEY"
        | "EC PRIVATE KEY"
        | "PRIVATE KEY"
        | "ENCRYPTED PRIVATE KEY" => block.decode()?,
        _ => return Err(KeyError::Unsupported),
    };
    match block.label {
        "OPENSSH PRIVATE KEY" => {
            let (key, encrypted_at_intake) = openssh::read(&bytes, passphrase, caps)?;
            Ok(Intake { key, encrypted_at_intake, format: KeyFormat::OpenSsh })
        }
        "PRIVATE KEY" => Ok(Intake {
            key: pkcs8_form::read(&bytes)?,
            encrypted_at_intake: false,
            format: KeyFormat::Pkcs8,
        }),
        "ENCRYPTED PRIVATE KEY" => Ok(Intake {
            key: encrypted_pkcs8::read(&bytes, passphrase, caps)?,
            encrypted_at_intake: true,
            format: KeyFormat::Pkcs8,
        }),
        _ => legacy_pem::read(block, &bytes, passphrase),
    }
}
