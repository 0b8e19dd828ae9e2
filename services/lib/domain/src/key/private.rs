//! A private key in memory: unencrypted, wiped when dropped, without any way to print, copy or compare it.

use super::algorithm::{KeyAlgorithm, SignatureAlgorithm};
use super::error::KeyError;
use super::openssh;
use super::public::PublicKey;
use crate::secret::Secret;
use rsa::signature::Signer;
use ssh_key::private::KeypairData;
use ssh_key::{HashAlg, LineEnding};
use std::fmt;

/// The types inside wipe themselves. Has deliberately no `Clone`, `PartialEq` or telling `Debug`.
pub struct PrivateKey {
    inner: ssh_key::PrivateKey,
    public: PublicKey,
}

impl PrivateKey {
    pub(super) fn from_keypair(data: KeypairData) -> Result<Self, KeyError> {
        let inner = ssh_key::PrivateKey::new(data, "").map_err(|_| KeyError::Internal)?;
        let public = PublicKey::from_key_data(inner.public_key().key_data().clone())?;
        Ok(Self { inner, public })
    }

    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.public.algorithm()
    }

    /// What custody stores: OpenSSH's form, unencrypted, with an empty comment.
    pub fn to_openssh(&self) -> Result<Secret, KeyError> {
        let text = self.inner.to_openssh(LineEnding::LF).map_err(|_| KeyError::Internal)?;
        Ok(Secret::new(text.as_bytes().to_vec()))
    }

    /// The reverse of `to_openssh`.
    pub fn from_stored(stored: &Secret) -> Result<Self, KeyError> {
        openssh::read_stored(stored.expose())
    }

    /// A signature blob (string algorithm, string signature), as SSH puts it on the wire.
    pub fn sign(&self, algorithm: SignatureAlgorithm, data: &[u8]) -> Result<Vec<u8>, KeyError> {
        if algorithm.key_algorithm() != self.algorithm() {
            return Err(KeyError::SignatureAlgorithm);
        }
        let signature = match (self.inner.key_data(), algorithm) {
            (KeypairData::Rsa(pair), SignatureAlgorithm::RsaSha256) => {
                (pair, Some(HashAlg::Sha256)).try_sign(data)
            }
            (KeypairData::Rsa(pair), _) => (pair, Some(HashAlg::Sha512)).try_sign(data),
            (pair, _) => pair.try_sign(data),
        };
        signature.map_err(|_| KeyError::Internal)?.try_into().map_err(|_| KeyError::Internal)
    }

    /// A public key that the caller sent along must be this key's own.
    pub fn require_public(&self, sent: &PublicKey) -> Result<(), KeyError> {
        if *sent == self.public { Ok(()) } else { Err(KeyError::PublicKeyMismatch) }
    }

    pub(super) fn keypair(&self) -> &KeypairData {
        self.inner.key_data()
    }

    pub(super) const fn as_ssh_key(&self) -> &ssh_key::PrivateKey {
        &self.inner
    }

    /// The 32 bytes of Ed25519 or the uncompressed point of ECDSA; empty for RSA.
    pub(super) fn raw_public(&self) -> &[u8] {
        match self.inner.key_data() {
            KeypairData::Ed25519(pair) => pair.public.as_ref(),
            KeypairData::Ecdsa(pair) => pair.public_key_bytes(),
            _ => &[],
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}
