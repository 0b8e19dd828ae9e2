//! PuTTY's private key files, versions 2 and 3: what reading and writing share.

mod read;
mod write;

pub(super) use read::{find, read};
pub(super) use write::write;

use super::error::KeyError;
use super::wire::put_string;
use crate::secret::Secret;
use aws_lc_rs::{digest, hmac};
use zeroize::Zeroizing;

const HEADER: &[u8] = b"PuTTY-User-Key-File-";
const ENCRYPTED: &str = "aes256-cbc";

/// Key, IV and MAC key of one file.
struct Keys {
    cipher_key: Zeroizing<Vec<u8>>,
    iv: Vec<u8>,
    mac: hmac::Key,
}

/// The cost parameters of version 3.
struct Argon2 {
    flavour: argon2::Algorithm,
    memory_kib: u32,
    passes: u32,
    parallelism: u32,
    salt: Vec<u8>,
}

impl Argon2 {
    fn derive(&self, passphrase: &Secret) -> Result<Keys, KeyError> {
        let parameters = argon2::Params::new(self.memory_kib, self.passes, self.parallelism, Some(80))
            .map_err(|_| KeyError::Unparsable)?;
        let mut output = Zeroizing::new([0u8; 80]);
        argon2::Argon2::new(self.flavour, argon2::Version::V0x13, parameters)
            .hash_password_into(passphrase.expose(), &self.salt, &mut *output)
            .map_err(|_| KeyError::Unparsable)?;
        let (cipher_key, rest) = output.split_at(32);
        let (iv, mac_key) = rest.split_at(16);
        Ok(Keys {
            cipher_key: Zeroizing::new(cipher_key.to_vec()),
            iv: iv.to_vec(),
            mac: hmac::Key::new(hmac::HMAC_SHA256, mac_key),
        })
    }
}

/// Version 2: bare SHA-1, and a zero IV.
fn version_2_keys(passphrase: &[u8]) -> Keys {
    let sha1 = |prefix: &[u8]| {
        let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        context.update(prefix);
        context.update(passphrase);
        context.finish()
    };
    let mut cipher_key = Zeroizing::new(Vec::with_capacity(40));
    cipher_key.extend_from_slice(sha1(&[0, 0, 0, 0]).as_ref());
    cipher_key.extend_from_slice(sha1(&[0, 0, 0, 1]).as_ref());
    cipher_key.truncate(32);
    let mac_key = sha1(b"putty-private-key-file-mac-key");
    Keys {
        cipher_key,
        iv: vec![0; 16],
        mac: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, mac_key.as_ref()),
    }
}

/// What the MAC covers: the private part in the clear, with its padding.
fn mac_input(
    algorithm: &str,
    encryption: &str,
    comment: &[u8],
    public: &[u8],
    private: &[u8],
) -> Zeroizing<Vec<u8>> {
    let length = [algorithm.len(), encryption.len(), comment.len(), public.len(), private.len(), 20];
    let mut input = Zeroizing::new(Vec::with_capacity(length.iter().sum()));
    for part in [algorithm.as_bytes(), encryption.as_bytes(), comment, public, private] {
        put_string(&mut input, part);
    }
    input
}
