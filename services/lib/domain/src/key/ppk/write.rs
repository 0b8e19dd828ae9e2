//! Writing version 3: Argon2id, AES-256-CBC, HMAC-SHA-256.

use super::{Argon2, ENCRYPTED, HEADER, mac_input};
use crate::clock::fill_random;
use crate::key::error::KeyError;
use crate::key::private::PrivateKey;
use crate::key::wire::{put_string, put_unsigned};
use crate::secret::Secret;
use aws_lc_rs::hmac;
use ssh_key::Cipher;
use ssh_key::private::KeypairData;
use zeroize::Zeroizing;

const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LINE: usize = 64;

pub(in crate::key) fn write(key: &PrivateKey, passphrase: Option<&Secret>) -> Result<Secret, KeyError> {
    let mut private = private_part(key)?;
    let algorithm = key.algorithm().as_str();
    let public = key.public().blob();
    let mut file = Writer(Zeroizing::new(Vec::with_capacity(16 * 1024)));
    file.0.extend_from_slice(HEADER);
    file.line("3", algorithm);
    let Some(passphrase) = passphrase else {
        file.line("Encryption", "none");
        file.line("Comment", "");
        file.body("Public-Lines", public);
        file.body("Private-Lines", &private);
        let mac = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, b""),
            &mac_input(algorithm, "none", b"", public, &private),
        );
        file.line("Private-MAC", &data_encoding::HEXLOWER.encode(mac.as_ref()));
        return Ok(file.finish());
    };
    pad(&mut private)?;
    let mut salt = vec![0u8; 16];
    fill_random(&mut salt)?;
    let argon2 = Argon2 {
        flavour: argon2::Algorithm::Argon2id,
        memory_kib: MEMORY_KIB,
        passes: PASSES,
        parallelism: 1,
        salt,
    };
    let keys = argon2.derive(passphrase)?;
    let mac = hmac::sign(&keys.mac, &mac_input(algorithm, ENCRYPTED, b"", public, &private));
    Cipher::Aes256Cbc.encrypt(&keys.cipher_key, &keys.iv, &mut private).map_err(|_| KeyError::Internal)?;
    file.line("Encryption", ENCRYPTED);
    file.line("Comment", "");
    file.body("Public-Lines", public);
    file.line("Key-Derivation", "Argon2id");
    file.line("Argon2-Memory", &argon2.memory_kib.to_string());
    file.line("Argon2-Passes", &argon2.passes.to_string());
    file.line("Argon2-Parallelism", &argon2.parallelism.to_string());
    file.line("Argon2-Salt", &data_encoding::HEXLOWER.encode(&argon2.salt));
    file.body("Private-Lines", &private);
    file.line("Private-MAC", &data_encoding::HEXLOWER.encode(mac.as_ref()));
    Ok(file.finish())
}

fn private_part(key: &PrivateKey) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    // Large enough for RSA-16384: a buffer that grows would leave copies behind.
    let mut part = Zeroizing::new(Vec::with_capacity(8 * 1024));
    match key.keypair() {
        KeypairData::Ed25519(pair) => put_string(&mut part, pair.private.as_ref()),
        KeypairData::Ecdsa(pair) => put_unsigned(&mut part, pair.private_key_bytes()),
        KeypairData::Rsa(pair) => {
            let private = pair.private();
            for number in [private.d(), private.p(), private.q(), private.iqmp()] {
                put_unsigned(&mut part, number.as_positive_bytes().ok_or(KeyError::Internal)?);
            }
        }
        _ => return Err(KeyError::Internal),
    }
    Ok(part)
}

/// To whole blocks, with random bytes: the MAC covers them, nobody reads them.
fn pad(part: &mut Vec<u8>) -> Result<(), KeyError> {
    let length = part.len();
    part.resize(length.next_multiple_of(16), 0);
    Ok(fill_random(part.get_mut(length..).unwrap_or_default())?)
}

struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    fn line(&mut self, name: &str, value: &str) {
        for part in [name, ": ", value, "\n"] {
            self.0.extend_from_slice(part.as_bytes());
        }
    }

    fn body(&mut self, name: &str, bytes: &[u8]) {
        let encoded = Zeroizing::new(data_encoding::BASE64.encode(bytes));
        let lines = encoded.as_bytes().chunks(LINE);
        self.line(name, &lines.len().to_string());
        for line in lines {
            self.0.extend_from_slice(line);
            self.0.push(b'\n');
        }
    }

    fn finish(self) -> Secret {
        Secret::new(self.0.to_vec())
    }
}
