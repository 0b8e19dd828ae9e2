//! PKCS#8 and the structures inside it: PKCS#1 for RSA, SEC 1 for EC, RFC 8410 for Ed25519.

use super::algorithm::KeyAlgorithm;
use super::components::{Components, StatedPublic};
use super::error::KeyError;
use super::private::PrivateKey;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{self, Decode, Encode};
use pkcs8::{AlgorithmIdentifierRef, EncodePrivateKey, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};
use sec1::{EcParameters, EcPrivateKey};
use ssh_key::private::KeypairData;
use zeroize::Zeroizing;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

pub(super) fn read(bytes: &[u8]) -> Result<PrivateKey, KeyError> {
    let info = PrivateKeyInfoRef::from_der(bytes).map_err(der_error)?;
    let inner = info.private_key.as_bytes();
    match info.algorithm.oid {
        RSA => read_pkcs1(inner),
        EC => {
            let curve = info.algorithm.parameters_oid().map_err(|_| KeyError::Unsupported)?;
            read_sec1(inner, Some(curve))
        }
        ED25519 => {
            let seed = <&OctetStringRef>::from_der(inner).map_err(der_error)?;
            let stated = info
                .public_key
                .as_ref()
                .map(|bits| bits.as_bytes().ok_or(KeyError::Unparsable))
                .transpose()?
                .map(|raw| StatedPublic::Raw(raw.to_vec()));
            Components::Ed25519 { seed: Zeroizing::new(seed.as_bytes().to_vec()) }.build(stated.as_ref())
        }
        _ => Err(KeyError::Unsupported),
    }
}

pub(super) fn read_pkcs1(bytes: &[u8]) -> Result<PrivateKey, KeyError> {
    let key = pkcs1::RsaPrivateKey::from_der(bytes).map_err(der_error)?;
    if key.other_prime_infos.is_some() {
        return Err(KeyError::Unsupported);
    }
    let secret = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
    Components::Rsa {
        n: key.modulus.as_bytes().to_vec(),
        e: key.public_exponent.as_bytes().to_vec(),
        d: secret(key.private_exponent.as_bytes()),
        p: secret(key.prime1.as_bytes()),
        q: secret(key.prime2.as_bytes()),
    }
    .build(None)
}

/// `outer` is the curve that PKCS#8 names; a file of its own names it inside.
pub(super) fn read_sec1(bytes: &[u8], outer: Option<ObjectIdentifier>) -> Result<PrivateKey, KeyError> {
    let key = EcPrivateKey::from_der(bytes).map_err(|error| match error.kind() {
        // The parameters of a curve, spelled out, where its name belongs.
        der::ErrorKind::TagUnexpected { expected: Some(der::Tag::ObjectIdentifier), .. } => {
            KeyError::Unsupported
        }
        _ => der_error(error),
    })?;
    let inner = key.parameters.and_then(EcParameters::named_curve);
    let curve = match (outer, inner) {
        (Some(outer), Some(inner)) if outer != inner => return Err(KeyError::Inconsistent),
        (Some(curve), _) | (None, Some(curve)) => curve,
        (None, None) => return Err(KeyError::Unparsable),
    };
    let algorithm = match curve {
        P256 => KeyAlgorithm::EcdsaP256,
        P384 => KeyAlgorithm::EcdsaP384,
        P521 => KeyAlgorithm::EcdsaP521,
        _ => return Err(KeyError::Unsupported),
    };
    let stated = key.public_key.map(|point| StatedPublic::Raw(point.to_vec()));
    Components::Ecdsa { algorithm, scalar: Zeroizing::new(key.private_key.to_vec()) }.build(stated.as_ref())
}

/// The DER of a PrivateKeyInfo, for RSA and ECDSA.
pub(super) fn write(key: &PrivateKey) -> Result<SecretDocument, KeyError> {
    match key.keypair() {
        KeypairData::Rsa(pair) => rsa::RsaPrivateKey::try_from(pair)
            .map_err(|_| KeyError::Internal)?
            .to_pkcs8_der()
            .map_err(|_| KeyError::Internal),
        KeypairData::Ecdsa(pair) => {
            let curve = match key.algorithm() {
                KeyAlgorithm::EcdsaP256 => P256,
                KeyAlgorithm::EcdsaP384 => P384,
                _ => P521,
            };
            let inner = EcPrivateKey {
                private_key: pair.private_key_bytes(),
                parameters: None,
                public_key: Some(pair.public_key_bytes()),
            };
            let inner = Zeroizing::new(inner.to_der().map_err(|_| KeyError::Internal)?);
            let octets = OctetStringRef::new(&inner).map_err(|_| KeyError::Internal)?;
            let algorithm = AlgorithmIdentifierRef { oid: EC, parameters: Some((&curve).into()) };
            PrivateKeyInfoRef::new(algorithm, octets).try_into().map_err(|_| KeyError::Internal)
        }
        _ => Err(KeyError::FormatUnsupportedForKey),
    }
}

/// Tells a cut file from a wrong one.
pub(super) fn der_error(error: der::Error) -> KeyError {
    match error.kind() {
        der::ErrorKind::Incomplete { .. } => KeyError::Truncated,
        _ => KeyError::Unparsable,
    }
}
