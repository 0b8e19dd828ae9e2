//! The numbers of a private key, whatever file they stood in: the one place where a private key comes to be.

use super::algorithm::KeyAlgorithm;
use super::error::KeyError;
use super::private::PrivateKey;
use super::public::{MAX_RSA_BITS, MIN_RSA_BITS, check_exponent};
use super::wire::{bit_length, is_odd, strip_zeros};
use aws_lc_rs::agreement;
use rsa::BoxedUint;
use ssh_key::private::{EcdsaKeypair, EcdsaPrivateKey, Ed25519Keypair, KeypairData, RsaKeypair};
use ssh_key::public::EcdsaPublicKey;
use zeroize::Zeroizing;

/// Numbers are big-endian and unsigned; leading zeros do not matter.
pub(super) enum Components {
    Ed25519 {
        seed: Zeroizing<Vec<u8>>,
    },
    Ecdsa {
        algorithm: KeyAlgorithm,
        scalar: Zeroizing<Vec<u8>>,
    },
    /// The coefficient is computed, so a wrong one in a file does no harm.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
        d: Zeroizing<Vec<u8>>,
        p: Zeroizing<Vec<u8>>,
        q: Zeroizing<Vec<u8>>,
    },
}

impl Components {
    /// Checks everything and derives the public half. `stated` is the public key that the file itself carried.
    pub(super) fn build(self, stated: Option<&StatedPublic>) -> Result<PrivateKey, KeyError> {
        let data = match &self {
            Self::Ed25519 { seed } => {
                let seed: &[u8; 32] = seed.as_slice().try_into().map_err(|_| KeyError::Unparsable)?;
                KeypairData::Ed25519(Ed25519Keypair::from_seed(seed))
            }
            Self::Ecdsa { algorithm, scalar } => KeypairData::Ecdsa(ecdsa(*algorithm, scalar)?),
            Self::Rsa { n, e, d, p, q } => KeypairData::Rsa(rsa(n, e, d, p, q)?),
        };
        let key = PrivateKey::from_keypair(data)?;
        match stated {
            Some(stated) if !stated.is_of(&key) => Err(KeyError::Inconsistent),
            _ => Ok(key),
        }
    }
}

/// A public key that stood beside the private one in the same file.
pub(super) enum StatedPublic {
    /// The SSH wire form.
    Blob(Vec<u8>),
    /// The bare 32 bytes of Ed25519, or a point in the SEC 1 form.
    Raw(Vec<u8>),
}

impl StatedPublic {
    fn is_of(&self, key: &PrivateKey) -> bool {
        match self {
            Self::Blob(blob) => blob == key.public().blob(),
            Self::Raw(raw) => {
                let derived = key.raw_public();
                match (raw.split_first(), derived.split_first()) {
                    // A compressed point: the x coordinate tells enough, the scalar decides.
                    (Some((2 | 3, x)), Some((4, point))) => point.starts_with(x),
                    _ => *raw == derived,
                }
            }
        }
    }
}

fn ecdsa(algorithm: KeyAlgorithm, scalar: &[u8]) -> Result<EcdsaKeypair, KeyError> {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => {
            let bytes = fixed::<32>(scalar)?;
            match derive_point(&agreement::ECDH_P256, &*bytes)? {
                EcdsaPublicKey::NistP256(public) => {
                    Ok(EcdsaKeypair::NistP256 { public, private: EcdsaPrivateKey::from(*bytes) })
                }
                _ => Err(KeyError::Internal),
            }
        }
        KeyAlgorithm::EcdsaP384 => {
            let bytes = fixed::<48>(scalar)?;
            match derive_point(&agreement::ECDH_P384, &*bytes)? {
                EcdsaPublicKey::NistP384(public) => {
                    Ok(EcdsaKeypair::NistP384 { public, private: EcdsaPrivateKey::from(*bytes) })
                }
                _ => Err(KeyError::Internal),
            }
        }
        KeyAlgorithm::EcdsaP521 => {
            let bytes = fixed::<66>(scalar)?;
            match derive_point(&agreement::ECDH_P521, &*bytes)? {
                EcdsaPublicKey::NistP521(public) => {
                    Ok(EcdsaKeypair::NistP521 { public, private: EcdsaPrivateKey::from(*bytes) })
                }
                _ => Err(KeyError::Internal),
            }
        }
        KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa => Err(KeyError::Internal),
    }
}

fn fixed<const SIZE: usize>(number: &[u8]) -> Result<Zeroizing<[u8; SIZE]>, KeyError> {
    let digits = strip_zeros(number);
    let start = SIZE.checked_sub(digits.len()).ok_or(KeyError::Unparsable)?;
    let mut bytes = Zeroizing::new([0u8; SIZE]);
    bytes.get_mut(start..).ok_or(KeyError::Unparsable)?.copy_from_slice(digits);
    Ok(bytes)
}

/// Fails for zero and for a scalar outside the group.
fn derive_point(curve: &'static agreement::Algorithm, scalar: &[u8]) -> Result<EcdsaPublicKey, KeyError> {
    let private = agreement::PrivateKey::from_private_key(curve, scalar).map_err(|_| KeyError::Unparsable)?;
    let public = private.compute_public_key().map_err(|_| KeyError::Internal)?;
    EcdsaPublicKey::from_sec1_bytes(public.as_ref()).map_err(|_| KeyError::Internal)
}

/// Sizes first: arithmetic on numbers of a stranger's choice is bounded before it starts, and a product of the primes
/// that is too long to be the modulus would be one modulo a power of two.
fn rsa(n: &[u8], e: &[u8], d: &[u8], p: &[u8], q: &[u8]) -> Result<RsaKeypair, KeyError> {
    let bits = bit_length(n);
    if bits < MIN_RSA_BITS {
        return Err(KeyError::TooWeak);
    }
    if bits > MAX_RSA_BITS {
        return Err(KeyError::Unsupported);
    }
    check_exponent(e)?;
    let product = bit_length(p).saturating_add(bit_length(q));
    if [d, p, q].iter().any(|number| bit_length(number) > bits || bit_length(number) < 2)
        || ![n, p, q].iter().all(|number| is_odd(number))
        || !(bits..=bits.saturating_add(1)).contains(&product)
    {
        return Err(KeyError::Inconsistent);
    }
    let uint = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(strip_zeros(bytes));
    let key = rsa::RsaPrivateKey::from_components(uint(n), uint(e), uint(d), vec![uint(p), uint(q)])
        .map_err(|_| KeyError::Inconsistent)?;
    RsaKeypair::try_from(&key).map_err(|_| KeyError::Inconsistent)
}
