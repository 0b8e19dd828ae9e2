//! SSH keys: read from every common form, checked once, signed with, written out again.
//!
//! Invariant: a [`PublicKey`] or [`PrivateKey`] that exists is of a supported algorithm, strong enough, canonical
//! in its encoding and consistent in its parts. A private key is wiped when dropped and cannot be printed,
//! cloned or compared. Deliberately absent: comments (they may hold names) and SHA-1 signatures.

mod algorithm;
mod armor;
mod certificate;
mod ciphers;
mod components;
mod encrypted_pkcs8;
mod error;
mod export;
mod foreign;
mod generate;
mod intake;
mod legacy_pem;
mod openssh;
mod pbes1;
mod pbes2;
mod pkcs8_form;
mod ppk;
mod private;
mod public;
mod text;
mod userauth;
mod wire;

pub use algorithm::{KeyAlgorithm, SignatureAlgorithm};
pub use certificate::{Certificate, CertificateFault, CertificateKind};
pub use error::KeyError;
pub use export::{ExportFormat, export};
pub use generate::{GenerateSpec, RSA_SIZES};
pub use intake::{Intake, KdfCaps, KeyFormat, MAX_KEY_TEXT, intake};
pub use private::PrivateKey;
pub(crate) use public::is_key_name;
pub use public::{MAX_RSA_BITS, MIN_RSA_BITS, PublicKey};
pub use userauth::{BadUserauthRequest, UserauthRequest};

#[cfg(test)]
mod tests;
