//! Encryption of PKCS#8 by PBES2: PBKDF2 or scrypt, and AES or triple DES in CBC mode.

use super::ciphers::{decrypt_padded, encrypt_padded};
use super::error::KeyError;
use super::intake::KdfCaps;
use crate::clock::fill_random;
use crate::secret::Secret;
use aws_lc_rs::pbkdf2;
use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::pkcs5::pbes2::{
    EncryptionScheme as Scheme, Kdf, Parameters, Pbkdf2Params, Pbkdf2Prf, ScryptParams,
};
use pkcs8::pkcs5::{EncryptionScheme, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use sha2::Sha224;
use ssh_key::Cipher;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

const EXPORT_ITERATIONS: u32 = 600_000;

/// The plain bytes.
pub(super) fn open(
    parameters: AnyRef<'_>,
    data: &[u8],
    passphrase: Option<&Secret>,
    caps: &KdfCaps,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let parameters = Parameters::try_from(parameters).map_err(|_| KeyError::Unsupported)?;
    let (cipher, iv): (Cipher, &[u8]) = match &parameters.encryption {
        Scheme::Aes128Cbc { iv } => (Cipher::Aes128Cbc, iv),
        Scheme::Aes192Cbc { iv } => (Cipher::Aes192Cbc, iv),
        Scheme::Aes256Cbc { iv } => (Cipher::Aes256Cbc, iv),
        Scheme::DesEde3Cbc { iv } => (Cipher::TdesCbc, iv),
        _ => return Err(KeyError::Unsupported),
    };
    let cost = Cost::of(&parameters.kdf, caps)?;
    let passphrase = passphrase.ok_or(KeyError::PassphraseRequired)?;
    let key = cost.derive(parameters.encryption.key_size(), passphrase)?;
    decrypt_padded(cipher, &key, iv, data)
}

/// What OpenSSL and OpenSSH read: PBKDF2 with HMAC-SHA-256, AES-256-CBC.
pub(super) fn write(document: &SecretDocument, passphrase: &Secret) -> Result<SecretDocument, KeyError> {
    let mut salt = [0u8; 16];
    fill_random(&mut salt)?;
    let mut iv = [0u8; 16];
    fill_random(&mut iv)?;
    let parameters = Parameters::generate_pbkdf2_sha256_aes256cbc(EXPORT_ITERATIONS, &salt, iv)
        .map_err(|_| KeyError::Internal)?;
    let key = Cost::of(&parameters.kdf, &KdfCaps::default())?.derive(32, passphrase)?;
    let data = encrypt_padded(Cipher::Aes256Cbc, &key, &iv, document.as_bytes())?;
    EncryptedPrivateKeyInfoRef {
        encryption_algorithm: EncryptionScheme::Pbes2(parameters),
        encrypted_data: OctetStringRef::new(&data).map_err(|_| KeyError::Internal)?,
    }
    .try_into()
    .map_err(|_| KeyError::Internal)
}

/// A key derivation that has passed the caps.
enum Cost<'a> {
    Pbkdf2 {
        algorithm: pbkdf2::Algorithm,
        iterations: NonZeroU32,
        salt: &'a [u8],
        length: Option<u16>,
    },
    /// The library behind the others does not have it.
    Pbkdf2Sha224 {
        iterations: NonZeroU32,
        salt: &'a [u8],
        length: Option<u16>,
    },
    Scrypt {
        parameters: scrypt::Params,
        salt: &'a [u8],
        length: Option<u16>,
    },
}

impl<'a> Cost<'a> {
    fn of(kdf: &'a Kdf, caps: &KdfCaps) -> Result<Self, KeyError> {
        match kdf {
            Kdf::Pbkdf2(parameters) => Self::pbkdf2(parameters, caps),
            Kdf::Scrypt(parameters) => Self::scrypt(parameters, caps),
            _ => Err(KeyError::Unsupported),
        }
    }

    fn pbkdf2(parameters: &'a Pbkdf2Params, caps: &KdfCaps) -> Result<Self, KeyError> {
        if parameters.iteration_count > caps.pbkdf2_iterations {
            return Err(KeyError::KdfTooExpensive);
        }
        let iterations = NonZeroU32::new(parameters.iteration_count).ok_or(KeyError::Unparsable)?;
        let (salt, length) = (parameters.salt.as_ref(), parameters.key_length);
        let algorithm = match parameters.prf {
            Pbkdf2Prf::HmacWithSha224 => return Ok(Self::Pbkdf2Sha224 { iterations, salt, length }),
            Pbkdf2Prf::HmacWithSha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Pbkdf2Prf::HmacWithSha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Pbkdf2Prf::HmacWithSha384 => pbkdf2::PBKDF2_HMAC_SHA384,
            Pbkdf2Prf::HmacWithSha512 => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => return Err(KeyError::Unsupported),
        };
        Ok(Self::Pbkdf2 { algorithm, iterations, salt, length })
    }

    fn scrypt(parameters: &'a ScryptParams, caps: &KdfCaps) -> Result<Self, KeyError> {
        let n: u64 = parameters.cost_parameter;
        let memory = n.saturating_mul(u64::from(parameters.block_size)).saturating_mul(128);
        let work = memory.saturating_mul(u64::from(parameters.parallelization));
        if memory > caps.scrypt_memory_bytes || work > caps.scrypt_work_bytes {
            return Err(KeyError::KdfTooExpensive);
        }
        if !n.is_power_of_two() || n < 2 {
            return Err(KeyError::Unparsable);
        }
        let log_n = u8::try_from(n.ilog2()).map_err(|_| KeyError::Unparsable)?;
        let derived =
            scrypt::Params::new(log_n, parameters.block_size.into(), parameters.parallelization.into());
        Ok(Self::Scrypt {
            parameters: derived.map_err(|_| KeyError::Unparsable)?,
            salt: parameters.salt.as_ref(),
            length: parameters.key_length,
        })
    }

    fn derive(&self, length: usize, passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let (Self::Pbkdf2 { length: stated, .. }
        | Self::Pbkdf2Sha224 { length: stated, .. }
        | Self::Scrypt { length: stated, .. }) = self;
        if stated.is_some_and(|stated| usize::from(stated) != length) {
            return Err(KeyError::Unsupported);
        }
        let mut key = Zeroizing::new(vec![0u8; length]);
        match self {
            Self::Pbkdf2 { algorithm, iterations, salt, .. } => {
                pbkdf2::derive(*algorithm, *iterations, salt, passphrase.expose(), &mut key);
            }
            Self::Pbkdf2Sha224 { iterations, salt, .. } => {
                ::pbkdf2::pbkdf2_hmac::<Sha224>(passphrase.expose(), salt, iterations.get(), &mut key);
            }
            Self::Scrypt { parameters, salt, .. } => {
                scrypt::scrypt(passphrase.expose(), salt, parameters, &mut key)
                    .map_err(|_| KeyError::Unsupported)?;
            }
        }
        Ok(key)
    }
}
