//! A public key, without its comment.

use super::algorithm::{KeyAlgorithm, SignatureAlgorithm};
use super::error::KeyError;
use super::wire::{Reader, bit_length, is_odd};
use crate::fingerprint::Fingerprint;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, EcdsaVerificationAlgorithm,
    UnparsedPublicKey,
};
use ssh_key::public::KeyData;
use std::fmt;
use std::hash::{Hash, Hasher};

pub const MIN_RSA_BITS: u32 = 2048;
pub const MAX_RSA_BITS: u32 = 16384;
/// The longest text or blob that is looked at.
const MAX_PUBLIC_TEXT: usize = 64 * 1024;

/// Canonical: its blob is exactly what OpenSSH would write, so equal keys have equal blobs and fingerprints.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    bits: u32,
    blob: Vec<u8>,
    inner: ssh_key::PublicKey,
}

impl PublicKey {
    /// From the SSH wire form.
    pub fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        let mut reader = Reader::new(blob);
        let name = reader.text().map_err(as_public)?;
        let algorithm = KeyAlgorithm::parse(name)?;
        let bits = match algorithm {
            KeyAlgorithm::Ed25519 | KeyAlgorithm::EcdsaP256 => 256,
            KeyAlgorithm::EcdsaP384 => 384,
            KeyAlgorithm::EcdsaP521 => 521,
            KeyAlgorithm::Rsa => rsa_bits(&mut reader).map_err(as_public)?,
        };
        let inner = ssh_key::PublicKey::from_bytes(blob).map_err(|_| KeyError::PublicUnparsable)?;
        let canonical = inner.to_bytes().map_err(|_| KeyError::PublicUnparsable)?;
        if canonical != blob {
            return Err(KeyError::PublicUnparsable);
        }
        check_point(inner.key_data())?;
        Ok(Self { algorithm, bits, blob: canonical, inner })
    }

    /// From one line of OpenSSH's form; a comment is dropped.
    pub fn parse_openssh(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_PUBLIC_TEXT {
            return Err(KeyError::TooLarge);
        }
        if text.contains("PRIVATE KEY-") || text.contains("PuTTY-User-Key-File-") {
            return Err(KeyError::PrivateKeyGiven);
        }
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let line = lines.next().ok_or(KeyError::PublicUnparsable)?;
        if lines.next().is_some_and(|next| next.split_whitespace().next().is_some_and(is_key_name)) {
            return Err(KeyError::MultipleKeys);
        }
        let mut words = line.split_ascii_whitespace();
        let name = words.next().ok_or(KeyError::PublicUnparsable)?;
        if !is_key_name(name) {
            return Err(KeyError::PublicUnparsable);
        }
        let algorithm = KeyAlgorithm::parse(name)?;
        let encoded = words.next().ok_or(KeyError::PublicUnparsable)?;
        let blob =
            data_encoding::BASE64.decode(encoded.as_bytes()).map_err(|_| KeyError::PublicUnparsable)?;
        let key = Self::from_blob(&blob)?;
        if key.algorithm == algorithm { Ok(key) } else { Err(KeyError::PublicUnparsable) }
    }

    pub(super) fn from_key_data(data: KeyData) -> Result<Self, KeyError> {
        let blob = ssh_key::PublicKey::from(data).to_bytes().map_err(|_| KeyError::Internal)?;
        Self::from_blob(&blob)
    }

    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The size as `ssh-keygen -l` says it.
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_blob(&self.blob)
    }

    /// `ssh-ed25519 AAAA...`, without a comment and without a line end.
    pub fn openssh(&self) -> String {
        format!("{} {}", self.algorithm, data_encoding::BASE64.encode(&self.blob))
    }

    /// For the transport, which speaks the same types.
    pub const fn as_ssh_key(&self) -> &ssh_key::PublicKey {
        &self.inner
    }

    /// Checks a signature blob (string algorithm, string signature) over `data`.
    pub fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        use rsa::signature::Verifier;
        let mut reader = Reader::new(signature);
        let name = reader.text().map_err(|_| KeyError::SignatureInvalid)?;
        if SignatureAlgorithm::parse(name)?.key_algorithm() != self.algorithm {
            return Err(KeyError::SignatureAlgorithm);
        }
        let parsed = ssh_key::Signature::try_from(signature).map_err(|_| KeyError::SignatureInvalid)?;
        Verifier::verify(self.inner.key_data(), data, &parsed).map_err(|_| KeyError::SignatureInvalid)
    }

    /// Checks the armored output of `ssh-keygen -Y sign -n namespace` over `message`.
    pub fn verify_sshsig(&self, namespace: &str, message: &[u8], armored: &str) -> Result<(), KeyError> {
        let signature =
            ssh_key::SshSig::from_pem(armored.trim_start()).map_err(|_| KeyError::SignatureInvalid)?;
        self.inner.verify(namespace, message, &signature).map_err(|_| KeyError::SignatureInvalid)
    }
}

/// True for the first word of a public key line, supported or not.
pub(crate) fn is_key_name(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "rsa-sha2-", "webauthn-sk-"]
        .iter()
        .any(|prefix| word.starts_with(prefix))
}

/// Errors of the wire form, said of a public key.
const fn as_public(error: KeyError) -> KeyError {
    match error {
        KeyError::Truncated | KeyError::Unparsable => KeyError::PublicUnparsable,
        other => other,
    }
}

/// Refuses what no honest key has before any arithmetic is done with it.
fn rsa_bits(reader: &mut Reader<'_>) -> Result<u32, KeyError> {
    let exponent = reader.unsigned()?;
    let modulus = reader.unsigned()?;
    let bits = bit_length(modulus);
    if bits < MIN_RSA_BITS {
        return Err(KeyError::TooWeak);
    }
    if bits > MAX_RSA_BITS || !is_odd(modulus) {
        return Err(KeyError::Unsupported);
    }
    check_exponent(exponent)?;
    Ok(bits)
}

/// Odd, at least 3, and no longer than 33 bits, which is all that the tools write.
pub(super) fn check_exponent(exponent: &[u8]) -> Result<(), KeyError> {
    match bit_length(exponent) {
        bits if bits < 2 || !is_odd(exponent) => Err(KeyError::WeakExponent),
        ..=33 => Ok(()),
        _ => Err(KeyError::Unsupported),
    }
}

/// An ECDSA point must lie on its curve and be uncompressed, as OpenSSH demands.
fn check_point(data: &KeyData) -> Result<(), KeyError> {
    use ssh_key::public::EcdsaPublicKey::{NistP256, NistP384, NistP521};
    let KeyData::Ecdsa(point) = data else { return Ok(()) };
    let algorithm: &'static EcdsaVerificationAlgorithm = match point {
        NistP256(_) => &ECDSA_P256_SHA256_FIXED,
        NistP384(_) => &ECDSA_P384_SHA384_FIXED,
        NistP521(_) => &ECDSA_P521_SHA512_FIXED,
    };
    let bytes = point.as_sec1_bytes();
    if bytes.first() != Some(&4) {
        return Err(KeyError::PublicUnparsable);
    }
    UnparsedPublicKey::new(algorithm, bytes).parse().map(|_| ()).map_err(|_| KeyError::PublicUnparsable)
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.blob == other.blob
    }
}

impl Eq for PublicKey {}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.blob.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm, self.fingerprint())
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::parse_openssh(&text)
    }
}
