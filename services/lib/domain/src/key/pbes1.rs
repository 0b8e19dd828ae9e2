//! Older encryptions of PKCS#8: PBES1 of PKCS#5 with DES, and triple DES with the derivation of PKCS#12.
//!
//! Read only: nothing is ever written so. RC2 and RC4 are deliberately absent.

use super::ciphers::decrypt_padded;
use super::error::KeyError;
use super::intake::KdfCaps;
use crate::secret::Secret;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use md5::{Digest, Md5};
use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::der::{self, Reader};
use ssh_key::Cipher;
use zeroize::{Zeroize, Zeroizing};

const MD5_DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.3");
const SHA1_DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.10");
const SHA1_3DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3");
const SHA1_2DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.4");

/// The purposes of PKCS#12's derivation.
const FOR_KEY: u8 = 1;
const FOR_IV: u8 = 2;
/// The block of SHA-1, in bytes.
const SHA1_BLOCK: usize = 64;

type Hash = fn(&[&[u8]]) -> Zeroizing<Vec<u8>>;

struct Derived {
    key: Zeroizing<Vec<u8>>,
    iv: Zeroizing<Vec<u8>>,
}

pub(super) fn open(
    scheme: ObjectIdentifier,
    parameters: AnyRef<'_>,
    data: &[u8],
    passphrase: Option<&Secret>,
    caps: &KdfCaps,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    if ![MD5_DES, SHA1_DES, SHA1_3DES, SHA1_2DES].contains(&scheme) {
        return Err(KeyError::Unsupported);
    }
    let (salt, iterations) = parameters
        .sequence(|fields| -> der::Result<(&OctetStringRef, u32)> {
            Ok((fields.decode()?, fields.decode()?))
        })
        .map_err(|_| KeyError::Unsupported)?;
    if iterations > caps.pbkdf2_iterations {
        return Err(KeyError::KdfTooExpensive);
    }
    if iterations == 0 {
        return Err(KeyError::Unparsable);
    }
    let passphrase = passphrase.ok_or(KeyError::PassphraseRequired)?;
    let salt = salt.as_bytes();
    let derived = match scheme {
        MD5_DES => pkcs5(md5, passphrase.expose(), salt, iterations)?,
        SHA1_DES => pkcs5(sha1, passphrase.expose(), salt, iterations)?,
        scheme => {
            let password = big_endian(passphrase)?;
            let derive = |purpose, length| pkcs12(purpose, length, &password, salt, iterations);
            let key = if scheme == SHA1_2DES { two_keys(&derive(FOR_KEY, 16)) } else { derive(FOR_KEY, 24) };
            Derived { key, iv: derive(FOR_IV, 8) }
        }
    };
    decrypt_padded(Cipher::TdesCbc, &derived.key, &derived.iv, data)
}

fn md5(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut digest = Md5::new();
    parts.iter().for_each(|part| digest.update(part));
    let mut output = digest.finalize();
    let bytes = Zeroizing::new(output.to_vec());
    output.as_mut_slice().zeroize();
    bytes
}

fn sha1(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| context.update(part));
    Zeroizing::new(context.finish().as_ref().to_vec())
}

/// PBKDF1: eight bytes of key, then eight of IV. Triple DES with one key three times is DES.
fn pkcs5(hash: Hash, passphrase: &[u8], salt: &[u8], iterations: u32) -> Result<Derived, KeyError> {
    let mut digest = hash(&[passphrase, salt]);
    for _ in 1..iterations {
        digest = hash(&[&digest]);
    }
    let (key, rest) = digest.split_at_checked(8).ok_or(KeyError::Internal)?;
    let iv = rest.get(..8).ok_or(KeyError::Internal)?;
    Ok(Derived { key: Zeroizing::new(key.repeat(3)), iv: Zeroizing::new(iv.to_vec()) })
}

/// RFC 7292, appendix B.2, with SHA-1.
fn pkcs12(purpose: u8, length: usize, password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
    let filled = |bytes: &[u8]| bytes.len().next_multiple_of(SHA1_BLOCK);
    let mut input = Zeroizing::new(Vec::with_capacity(filled(salt).saturating_add(filled(password))));
    input.extend(salt.iter().cycle().take(filled(salt)));
    input.extend(password.iter().cycle().take(filled(password)));
    let mut output = Zeroizing::new(Vec::with_capacity(length.saturating_add(20)));
    while output.len() < length {
        let mut round = sha1(&[&[purpose; SHA1_BLOCK], &input]);
        for _ in 1..iterations {
            round = sha1(&[&round]);
        }
        output.extend_from_slice(&round);
        for block in input.chunks_exact_mut(SHA1_BLOCK) {
            add(block, &round);
        }
    }
    output.truncate(length);
    output
}

/// `block + repeated + 1`, as big-endian numbers of the block's length; `repeated` is repeated to that length.
fn add(block: &mut [u8], repeated: &[u8]) {
    let addend: Zeroizing<Vec<u8>> =
        Zeroizing::new(repeated.iter().cycle().take(block.len()).copied().collect());
    let mut carry = 1u16;
    for (digit, other) in block.iter_mut().zip(addend.iter()).rev() {
        let sum = u16::from(*digit).saturating_add(u16::from(*other)).saturating_add(carry);
        let [high, low] = sum.to_be_bytes();
        *digit = low;
        carry = u16::from(high);
    }
}

/// The first key once more at the end.
fn two_keys(keys: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(keys.iter().cycle().take(24).copied().collect())
}

/// PKCS#12 takes the passphrase in UTF-16, with a zero at the end. What is no text cannot have been the passphrase.
fn big_endian(passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let text = passphrase.expose_text().ok_or(KeyError::PassphraseIncorrect)?;
    let mut out = Zeroizing::new(Vec::with_capacity(text.len().saturating_mul(2).saturating_add(2)));
    for unit in text.encode_utf16().chain([0]) {
        out.extend_from_slice(&unit.to_be_bytes());
    }
    Ok(out)
}
