//! PKCS#1 (RSA) and SEC 1 (EC) keys in PEM, plain or encrypted in OpenSSL's old way (`Proc-Type: 4,ENCRYPTED`).

use super::armor::Block;
use super::ciphers::{after_decryption, decrypt_padded};
use super::error::KeyError;
use super::intake::{Intake, KeyFormat};
use super::pkcs8_form::{read_pkcs1, read_sec1};
use crate::secret::Secret;
use md5::{Digest, Md5};
use ssh_key::Cipher;
use zeroize::{Zeroize, Zeroizing};

pub(super) fn read(block: &Block<'_>, bytes: &[u8], passphrase: Option<&Secret>) -> Result<Intake, KeyError> {
    let format = if block.label == "EC PRIVATE KEY" { KeyFormat::Sec1 } else { KeyFormat::Pkcs1 };
    let read_der = |der: &[u8]| match format {
        KeyFormat::Sec1 => read_sec1(der, None),
        _ => read_pkcs1(der),
    };
    let encrypted = block.header("Proc-Type").is_some_and(|value| value.ends_with("ENCRYPTED"));
    if !encrypted {
        return Ok(Intake { key: read_der(bytes)?, encrypted_at_intake: false, format });
    }
    let (cipher, iv) = read_dek_info(block.header("DEK-Info").ok_or(KeyError::Truncated)?)?;
    let passphrase = passphrase.ok_or(KeyError::PassphraseRequired)?;
    let key = bytes_to_key(cipher, passphrase, &iv)?;
    let der = decrypt_padded(cipher, &key, &iv, bytes)?;
    Ok(Intake { key: read_der(&der).map_err(after_decryption)?, encrypted_at_intake: true, format })
}

fn read_dek_info(value: &str) -> Result<(Cipher, Vec<u8>), KeyError> {
    let (name, hex) = value.split_once(',').ok_or(KeyError::Unparsable)?;
    let cipher = match name.trim() {
        "AES-128-CBC" => Cipher::Aes128Cbc,
        "AES-192-CBC" => Cipher::Aes192Cbc,
        "AES-256-CBC" => Cipher::Aes256Cbc,
        "DES-EDE3-CBC" => Cipher::TdesCbc,
        _ => return Err(KeyError::Unsupported),
    };
    let iv =
        data_encoding::HEXUPPER_PERMISSIVE.decode(hex.trim().as_bytes()).map_err(|_| KeyError::Unparsable)?;
    if iv.len() == cipher.block_size() { Ok((cipher, iv)) } else { Err(KeyError::Unparsable) }
}

/// OpenSSL's `EVP_BytesToKey` with MD5, one iteration, and the first 8 bytes of the IV as salt.
fn bytes_to_key(cipher: Cipher, passphrase: &Secret, iv: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (length, _) = cipher.key_and_iv_size().ok_or(KeyError::Internal)?;
    let salt = iv.get(..8).ok_or(KeyError::Unparsable)?;
    let mut key = Zeroizing::new(Vec::with_capacity(length.saturating_add(16)));
    let mut previous = Zeroizing::new(Vec::with_capacity(16));
    while key.len() < length {
        let mut digest = Md5::new();
        digest.update(&*previous);
        digest.update(passphrase.expose());
        digest.update(salt);
        let mut output = digest.finalize();
        previous.clear();
        previous.extend_from_slice(&output);
        output.as_mut_slice().zeroize();
        key.extend_from_slice(&previous);
    }
    key.truncate(length);
    Ok(key)
}
