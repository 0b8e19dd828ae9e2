//! Unauthenticated block ciphers as old key files use them, and their padding.

use super::error::KeyError;
use ssh_key::Cipher;
use zeroize::Zeroizing;

/// CBC decryption and removal of the PKCS#7 padding. Wrong padding means a wrong passphrase.
pub(super) fn decrypt_padded(
    cipher: Cipher,
    key: &[u8],
    iv: &[u8],
    data: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let block = cipher.block_size();
    if data.is_empty() || data.len().checked_rem(block) != Some(0) {
        return Err(KeyError::Truncated);
    }
    let mut buffer = Zeroizing::new(data.to_vec());
    cipher.decrypt(key, iv, &mut buffer, None).map_err(|_| KeyError::Internal)?;
    let pad = buffer.last().copied().map_or(0, usize::from);
    let length = buffer.len().checked_sub(pad).ok_or(KeyError::PassphraseIncorrect)?;
    let padding = buffer.get(length..).unwrap_or_default();
    if pad == 0 || pad > block || padding.iter().any(|byte| usize::from(*byte) != pad) {
        return Err(KeyError::PassphraseIncorrect);
    }
    buffer.truncate(length);
    Ok(buffer)
}

/// The reverse, in place of the plain bytes.
pub(super) fn encrypt_padded(
    cipher: Cipher,
    key: &[u8],
    iv: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let block = cipher.block_size();
    let pad = block.saturating_sub(plain.len().checked_rem(block).unwrap_or(0));
    // Encrypted in the wiped buffer, copied out only as ciphertext.
    let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len().saturating_add(pad)));
    buffer.extend_from_slice(plain);
    buffer.resize(plain.len().saturating_add(pad), u8::try_from(pad).map_err(|_| KeyError::Internal)?);
    cipher.encrypt(key, iv, &mut buffer).map_err(|_| KeyError::Internal)?;
    Ok(buffer.to_vec())
}

/// What follows a decryption reads noise when the passphrase was wrong and the padding right by chance.
pub(super) const fn after_decryption(error: KeyError) -> KeyError {
    match error {
        KeyError::Unparsable | KeyError::Truncated => KeyError::PassphraseIncorrect,
        other => other,
    }
}
