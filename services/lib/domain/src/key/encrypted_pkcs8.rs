//! Encrypted PKCS#8: an outer structure that names the scheme, and what is inside.

use super::ciphers::after_decryption;
use super::error::KeyError;
use super::intake::KdfCaps;
use super::pkcs8_form::{self, der_error};
use super::private::PrivateKey;
use super::{pbes1, pbes2};
use crate::secret::Secret;
use pkcs8::AlgorithmIdentifierRef;
use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::der::{self, Decode, Reader};
use pkcs8::pkcs5::pbes2::PBES2_OID;

pub(super) fn read(
    bytes: &[u8],
    passphrase: Option<&Secret>,
    caps: &KdfCaps,
) -> Result<PrivateKey, KeyError> {
    let (scheme, data) = AnyRef::from_der(bytes)
        .and_then(|outer| {
            outer.sequence(|fields| -> der::Result<(AlgorithmIdentifierRef<'_>, &OctetStringRef)> {
                Ok((fields.decode()?, fields.decode()?))
            })
        })
        .map_err(der_error)?;
    // A scheme that is unknown, or known with parameters that are not, is no broken file.
    let parameters = scheme.parameters.ok_or(KeyError::Unsupported)?;
    let der = match scheme.oid {
        PBES2_OID => pbes2::open(parameters, data.as_bytes(), passphrase, caps)?,
        other => pbes1::open(other, parameters, data.as_bytes(), passphrase, caps)?,
    };
    pkcs8_form::read(&der).map_err(after_decryption)
}
