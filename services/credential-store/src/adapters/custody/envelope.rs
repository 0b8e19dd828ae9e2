//! AES-256-GCM with a random nonce: `1 | nonce (12) | ciphertext | tag (16)`, bound to what it is for.
//!
//! Invariant: a buffer that held plaintext is wiped, or encrypted in its place.

use crate::domain::kek::KekId;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use keywright_domain::ids::VersionId;
use keywright_domain::secret::Secret;
use zeroize::Zeroizing;

const FORM: u8 = 1;
const TAG_LEN: usize = 16;

/// The bytes are not what this key sealed for this purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes cannot be opened with this key")]
pub struct Unopened;

/// What a sealed text is for: bytes sealed for one thing do not open as another.
#[derive(Clone, Copy)]
pub enum Purpose<'a> {
    DataKey(&'a VersionId),
    Material(&'a VersionId),
    KeyCheck,
    /// A key-encryption key under a passphrase.
    UnderPassphrase(&'a KekId),
    /// A key-encryption key under its successor.
    UnderSuccessor(&'a KekId),
}

impl Purpose<'_> {
    fn aad(self) -> Aad<Vec<u8>> {
        Aad::from(match self {
            Self::DataKey(version) => format!("keywright data key 1 {version}").into_bytes(),
            Self::Material(version) => format!("keywright material 1 {version}").into_bytes(),
            Self::KeyCheck => b"keywright key check 1".to_vec(),
            Self::UnderPassphrase(id) => format!("keywright passphrase 1 {id}").into_bytes(),
            Self::UnderSuccessor(id) => format!("keywright successor 1 {id}").into_bytes(),
        })
    }
}

/// A 256-bit key.
pub struct SealingKey(RandomizedNonceKey);

impl SealingKey {
    pub fn new(key: &Secret) -> Result<Self, Unopened> {
        RandomizedNonceKey::new(&AES_256_GCM, key.expose()).map(Self).map_err(|_| Unopened)
    }

    pub fn seal(&self, purpose: Purpose<'_>, plain: &Secret) -> Result<Vec<u8>, Unopened> {
        let plain = plain.expose();
        // Room for the tag, so that the plaintext is never left behind by a reallocation.
        let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len().saturating_add(TAG_LEN)));
        buffer.extend_from_slice(plain);
        let nonce = self.0.seal_in_place_append_tag(purpose.aad(), &mut *buffer).map_err(|_| Unopened)?;
        let mut sealed = Vec::with_capacity(buffer.len().saturating_add(NONCE_LEN).saturating_add(1));
        sealed.push(FORM);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&buffer);
        Ok(sealed)
    }

    pub fn open(&self, purpose: Purpose<'_>, sealed: &[u8]) -> Result<Secret, Unopened> {
        let (form, rest) = sealed.split_first().ok_or(Unopened)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Unopened)?;
        if *form != FORM {
            return Err(Unopened);
        }
        let mut buffer = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.0.open_in_place(nonce, purpose.aad(), &mut buffer).map_err(|_| Unopened)?;
        Ok(Secret::new(plain.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_whole_with_its_key_and_for_its_purpose() {
        let (one, other) = (VersionId::random().unwrap(), VersionId::random().unwrap());
        let key = SealingKey::new(&Secret::new(vec![7; 32])).unwrap();
        let sealed = key.seal(Purpose::Material(&one), &Secret::new(b"plain".to_vec())).unwrap();
        assert_eq!(key.open(Purpose::Material(&one), &sealed).unwrap().expose(), b"plain");
        assert!(key.open(Purpose::Material(&other), &sealed).is_err());
        assert!(key.open(Purpose::DataKey(&one), &sealed).is_err());
        assert!(
            SealingKey::new(&Secret::new(vec![8; 32]))
                .unwrap()
                .open(Purpose::Material(&one), &sealed)
                .is_err()
        );
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(Purpose::Material(&one), &changed).is_err(), "byte {at}");
            assert!(key.open(Purpose::Material(&one), &sealed[..at]).is_err(), "cut at {at}");
        }
        assert_ne!(sealed, key.seal(Purpose::Material(&one), &Secret::new(b"plain".to_vec())).unwrap());
        assert!(SealingKey::new(&Secret::new(vec![7; 31])).is_err());
    }
}
