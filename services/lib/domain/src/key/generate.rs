//! New keys, from the one cryptographic provider's generators.

use super::algorithm::KeyAlgorithm;
use super::components::Components;
use super::error::KeyError;
use super::pkcs8_form;
use super::private::PrivateKey;
use crate::clock::fill_random;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm,
};
use zeroize::Zeroizing;

/// The sizes of RSA that are generated.
pub const RSA_SIZES: &[u32] = &[2048, 3072, 4096, 8192];

/// What to generate. The default is Ed25519.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GenerateSpec {
    #[default]
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    /// One of [`RSA_SIZES`].
    Rsa {
        bits: u32,
    },
}

impl GenerateSpec {
    pub const fn algorithm(self) -> KeyAlgorithm {
        match self {
            Self::Ed25519 => KeyAlgorithm::Ed25519,
            Self::EcdsaP256 => KeyAlgorithm::EcdsaP256,
            Self::EcdsaP384 => KeyAlgorithm::EcdsaP384,
            Self::EcdsaP521 => KeyAlgorithm::EcdsaP521,
            Self::Rsa { .. } => KeyAlgorithm::Rsa,
        }
    }

    /// `bits` counts for RSA only, where 0 means 4096.
    pub fn of(algorithm: KeyAlgorithm, bits: u32) -> Result<Self, KeyError> {
        Ok(match algorithm {
            KeyAlgorithm::Ed25519 => Self::Ed25519,
            KeyAlgorithm::EcdsaP256 => Self::EcdsaP256,
            KeyAlgorithm::EcdsaP384 => Self::EcdsaP384,
            KeyAlgorithm::EcdsaP521 => Self::EcdsaP521,
            KeyAlgorithm::Rsa if bits == 0 => Self::Rsa { bits: 4096 },
            KeyAlgorithm::Rsa if RSA_SIZES.contains(&bits) => Self::Rsa { bits },
            KeyAlgorithm::Rsa => return Err(KeyError::GenerateSize),
        })
    }
}

impl PrivateKey {
    /// RSA takes seconds of CPU: not on an async thread.
    pub fn generate(spec: GenerateSpec) -> Result<Self, KeyError> {
        match spec {
            GenerateSpec::Ed25519 => {
                let mut seed = Zeroizing::new(vec![0u8; 32]);
                fill_random(&mut seed)?;
                Components::Ed25519 { seed }.build(None)
            }
            GenerateSpec::EcdsaP256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            GenerateSpec::EcdsaP384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            GenerateSpec::EcdsaP521 => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            GenerateSpec::Rsa { bits } => rsa(bits),
        }
    }
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Result<PrivateKey, KeyError> {
    let pair = EcdsaKeyPair::generate(algorithm).map_err(|_| KeyError::Internal)?;
    let document = pair.to_pkcs8v1().map_err(|_| KeyError::Internal)?;
    pkcs8_form::read(document.as_ref())
}

fn rsa(bits: u32) -> Result<PrivateKey, KeyError> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        4096 => KeySize::Rsa4096,
        8192 => KeySize::Rsa8192,
        _ => return Err(KeyError::GenerateSize),
    };
    let pair = RsaKeyPair::generate(size).map_err(|_| KeyError::Internal)?;
    let document = AsDer::<Pkcs8V1Der<'static>>::as_der(&pair).map_err(|_| KeyError::Internal)?;
    pkcs8_form::read(document.as_ref())
}
