//! OpenSSH's own private key form (PROTOCOL.key), plain and encrypted.
//!
//! Read here and not by `ssh-key`, because the caps must be checked before the derivation, each fault needs its own
//! name, and a scalar whose top byte is zero (one P-256 key of 256) is refused there.

use super::algorithm::KeyAlgorithm;
use super::armor;
use super::components::{Components, StatedPublic};
use super::error::KeyError;
use super::intake::KdfCaps;
use super::private::PrivateKey;
use super::public::PublicKey;
use super::wire::{Reader, put_string, put_unsigned};
use crate::clock::fill_random;
use crate::secret::Secret;
use ssh_key::cipher::Tag;
use ssh_key::{Cipher, Kdf, LineEnding};
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"openssh-key-v1\0";
/// What ssh-keygen uses since OpenSSH 9.4.
const EXPORT_ROUNDS: u32 = 24;
const SALT: usize = 16;

/// Says too whether the key was encrypted.
pub(super) fn read(
    bytes: &[u8],
    passphrase: Option<&Secret>,
    caps: &KdfCaps,
) -> Result<(PrivateKey, bool), KeyError> {
    let mut reader = Reader::new(bytes);
    if reader.take(MAGIC.len())? != MAGIC {
        return Err(KeyError::Unparsable);
    }
    let cipher = Cipher::new(reader.text()?).map_err(|_| KeyError::Unsupported)?;
    let kdf_name = reader.text()?;
    let kdf_options = reader.string()?;
    match reader.u32()? {
        0 => return Err(KeyError::Unparsable),
        1 => {}
        _ => return Err(KeyError::MultipleKeys),
    }
    let public = PublicKey::from_blob(reader.string()?).map_err(as_private)?;
    let section = reader.string()?;
    let tag = if cipher.has_tag() {
        Some(Tag::try_from(reader.take(16)?).map_err(|_| KeyError::Unparsable)?)
    } else {
        None
    };
    if !reader.is_empty() {
        return Err(KeyError::Unparsable);
    }
    if cipher.is_none() {
        if kdf_name != "none" {
            return Err(KeyError::Unparsable);
        }
        return Ok((read_section(section, &public)?, false));
    }
    let kdf = read_kdf(kdf_name, kdf_options, caps)?;
    let passphrase = passphrase.ok_or(KeyError::PassphraseRequired)?;
    if section.is_empty() || section.len().checked_rem(cipher.block_size()) != Some(0) {
        return Err(KeyError::Truncated);
    }
    let (key, iv) = kdf.derive_key_and_iv(cipher, passphrase.expose()).map_err(|_| KeyError::Unparsable)?;
    let mut plain = Zeroizing::new(section.to_vec());
    cipher.decrypt(&key, &iv, &mut plain, tag).map_err(|_| KeyError::PassphraseIncorrect)?;
    let mut check = Reader::new(&plain);
    if check.u32()? != check.u32()? {
        return Err(KeyError::PassphraseIncorrect);
    }
    Ok((read_section(&plain, &public)?, true))
}

/// What custody stored: one plain block.
pub(super) fn read_stored(text: &[u8]) -> Result<PrivateKey, KeyError> {
    let blocks = armor::blocks(text)?;
    match blocks.as_slice() {
        [block] if block.label == "OPENSSH PRIVATE KEY" => {
            read(&block.decode()?, None, &KdfCaps::default()).map(|(key, _)| key)
        }
        _ => Err(KeyError::Unparsable),
    }
}

/// For a download: encrypted where a passphrase is given.
pub(super) fn write(key: &PrivateKey, passphrase: Option<&Secret>) -> Result<Secret, KeyError> {
    let Some(passphrase) = passphrase else { return key.to_openssh() };
    let mut salt = vec![0u8; SALT];
    fill_random(&mut salt)?;
    let mut check = [0u8; 4];
    fill_random(&mut check)?;
    let encrypted = key
        .as_ssh_key()
        .encrypt_with(
            Cipher::Aes256Ctr,
            Kdf::Bcrypt { salt, rounds: EXPORT_ROUNDS },
            u32::from_be_bytes(check),
            passphrase.expose(),
        )
        .map_err(|_| KeyError::Internal)?;
    let text = encrypted.to_openssh(LineEnding::LF).map_err(|_| KeyError::Internal)?;
    Ok(Secret::new(text.as_bytes().to_vec()))
}

fn read_kdf(name: &str, options: &[u8], caps: &KdfCaps) -> Result<Kdf, KeyError> {
    if name != "bcrypt" {
        return Err(KeyError::Unsupported);
    }
    let mut reader = Reader::new(options);
    let salt = reader.string()?.to_vec();
    let rounds = reader.u32()?;
    if salt.is_empty() || rounds == 0 || !reader.is_empty() {
        return Err(KeyError::Unparsable);
    }
    if rounds > caps.bcrypt_rounds {
        return Err(KeyError::KdfTooExpensive);
    }
    Ok(Kdf::Bcrypt { salt, rounds })
}

fn read_section(section: &[u8], public: &PublicKey) -> Result<PrivateKey, KeyError> {
    let mut reader = Reader::new(section);
    if reader.u32()? != reader.u32()? {
        return Err(KeyError::Unparsable);
    }
    let secret = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
    let algorithm = KeyAlgorithm::parse(reader.text()?)?;
    // The public half once more, as it would stand in a blob.
    let mut again = Vec::with_capacity(section.len());
    put_string(&mut again, algorithm.as_str().as_bytes());
    let components = match algorithm {
        KeyAlgorithm::Ed25519 => {
            let public = reader.string()?;
            put_string(&mut again, public);
            let pair = reader.string()?;
            let (seed, public_again) = pair.split_at_checked(32).ok_or(KeyError::Unparsable)?;
            if public != public_again {
                return Err(KeyError::Inconsistent);
            }
            Components::Ed25519 { seed: secret(seed) }
        }
        KeyAlgorithm::Rsa => {
            let n = reader.unsigned()?.to_vec();
            let e = reader.unsigned()?.to_vec();
            put_unsigned(&mut again, &e);
            put_unsigned(&mut again, &n);
            let d = secret(reader.unsigned()?);
            let _coefficient = reader.unsigned()?;
            Components::Rsa { n, e, d, p: secret(reader.unsigned()?), q: secret(reader.unsigned()?) }
        }
        algorithm => {
            put_string(&mut again, reader.string()?);
            put_string(&mut again, reader.string()?);
            Components::Ecdsa { algorithm, scalar: secret(reader.unsigned()?) }
        }
    };
    let _comment = reader.string()?;
    if reader.rest().iter().zip(1u8..).any(|(byte, expected)| *byte != expected) {
        return Err(KeyError::Unparsable);
    }
    if again != public.blob() {
        return Err(KeyError::Inconsistent);
    }
    components.build(Some(&StatedPublic::Blob(again)))
}

const fn as_private(error: KeyError) -> KeyError {
    match error {
        KeyError::PublicUnparsable => KeyError::Unparsable,
        other => other,
    }
}
