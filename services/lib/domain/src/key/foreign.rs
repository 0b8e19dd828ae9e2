//! What people send when it is not a private key that we read: each gets the name that helps.

use super::armor::{Block, lines, split_at_mark};
use super::error::KeyError;
use super::public::{PublicKey, is_key_name};
use super::wire::Reader;

/// Private keys of other kinds, by what their files say.
const FOREIGN: &[&[u8]] = &[
    b"BEGIN SSH2 ENCRYPTED PRIVATE KEY",
    b"SSH PRIVATE KEY FILE FORMAT 1.",
    b"BEGIN PGP PRIVATE KEY BLOCK",
    b"AGE-SECRET-KEY-",
];

/// `text` holds no block of a private key.
pub(super) fn name(text: &[u8], blocks: &[Block<'_>]) -> KeyError {
    let says = |mark: &[u8]| split_at_mark(text, mark).is_some();
    let ends = |suffix: &str| blocks.iter().any(|block| block.label.ends_with(suffix));
    if ends("CERTIFICATE") {
        return KeyError::CertificateGiven;
    }
    if FOREIGN.iter().any(|mark| says(mark)) {
        return KeyError::ForeignForm;
    }
    if ends("PUBLIC KEY") || says(b"BEGIN SSH2 PUBLIC KEY") {
        return KeyError::PublicKeyGiven;
    }
    // A JSON Web Key: `d` is the private half.
    if says(b"\"kty\"") {
        return if says(b"\"d\"") { KeyError::ForeignForm } else { KeyError::PublicKeyGiven };
    }
    lines(text).find_map(key_line).or_else(|| blob(text)).unwrap_or(KeyError::Unparsable)
}

/// A line of a .pub file, of authorized_keys or of known_hosts: the name of an algorithm, then a blob.
fn key_line(line: &[u8]) -> Option<KeyError> {
    let words: Vec<&str> = std::str::from_utf8(line).ok()?.split_ascii_whitespace().take(64).collect();
    let name = words.windows(2).find_map(|pair| match pair {
        [name, blob] if is_key_name(name) && blob.starts_with("AAAA") => Some(*name),
        _ => None,
    })?;
    Some(if name.contains("-cert-v0") { KeyError::CertificateGiven } else { KeyError::PublicKeyGiven })
}

/// Bare bytes that begin with the name of an algorithm: a public key, or a private one in Dropbear's own form.
fn blob(bytes: &[u8]) -> Option<KeyError> {
    let name = Reader::new(bytes).text().ok()?;
    match PublicKey::from_blob(bytes) {
        _ if !is_key_name(name) => None,
        Ok(_) => Some(KeyError::PublicKeyGiven),
        Err(KeyError::CertificateGiven) => Some(KeyError::CertificateGiven),
        Err(_) => Some(KeyError::ForeignForm),
    }
}
