//! What can be wrong with a key, each with its remedy and without a byte of the key.

use crate::clock::NoRandomness;
use crate::reason::Reason;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error(
        "this is not a private key in a form we read; send the whole file, from its BEGIN line to its END line"
    )]
    Unparsable,
    #[error("this is not a public key; send one line such as `ssh-ed25519 AAAA...`, the file with .pub")]
    PublicUnparsable,
    #[error("the text is larger than any key file (64 KiB); send the key file alone")]
    TooLarge,
    #[error("the parts of this key do not belong together; send an unaltered copy of the file")]
    Inconsistent,
    #[error(
        "this is a private key where a public key belongs; send the file with .pub and replace the private key"
    )]
    PrivateKeyGiven,
    #[error("the key ends too early; copy the whole file, to its last line")]
    Truncated,
    #[error(
        "this kind of key or encryption is not supported; use Ed25519, ECDSA P-256/384/521 or RSA of 2048 to 16384 bits, encrypted with AES"
    )]
    Unsupported,
    #[error(
        "this private key is in a form that is not supported; save it in OpenSSH's form, with ssh-keygen, puttygen -O private-openssh-new or dropbearconvert"
    )]
    ForeignForm,
    #[error("this RSA key has fewer than 2048 bits; make a new key with ssh-keygen -t ed25519")]
    TooWeak,
    #[error(
        "the public exponent of this RSA key gives no protection; make a new key with ssh-keygen -t ed25519"
    )]
    WeakExponent,
    #[error(
        "deriving the key of this file from its passphrase costs too much; save it again with fewer rounds, such as ssh-keygen -p -a 16"
    )]
    KdfTooExpensive,
    #[error("this is a public key; send the private key, the file without .pub")]
    PublicKeyGiven,
    #[error("this is a certificate; send the key itself, the file without -cert.pub")]
    CertificateGiven,
    #[error(
        "this is not a certificate of OpenSSH's form; send the one line of the file that ends in -cert.pub"
    )]
    CertificateUnparsable,
    #[error("there is more than one key; send exactly one")]
    MultipleKeys,
    #[error("the public key does not belong to the private key; leave it out, it is derived")]
    PublicKeyMismatch,
    #[error("the key is encrypted; send its passphrase")]
    PassphraseRequired,
    #[error("the passphrase does not open this key; check it")]
    PassphraseIncorrect,
    #[error("OpenSSH cannot read an Ed25519 key in PKCS#8; choose the OpenSSH format or ppk")]
    FormatUnsupportedForKey,
    #[error(
        "the signature algorithm does not fit the key; use one that the key's type names (RSA: rsa-sha2-256 or rsa-sha2-512)"
    )]
    SignatureAlgorithm,
    #[error("the signature does not verify; sign the given bytes with the private half of the given key")]
    SignatureInvalid,
    #[error("RSA keys are generated with 2048, 3072, 4096 or 8192 bits; choose one of these")]
    GenerateSize,
    #[error("the cryptographic library failed; try again")]
    Internal,
}

impl KeyError {
    pub const fn reason(self) -> Reason {
        match self {
            Self::Unparsable
            | Self::PublicUnparsable
            | Self::CertificateUnparsable
            | Self::TooLarge
            | Self::Inconsistent
            | Self::PrivateKeyGiven => Reason::KeyUnparsable,
            Self::Truncated => Reason::KeyTruncated,
            Self::Unsupported | Self::ForeignForm => Reason::KeyUnsupported,
            Self::TooWeak | Self::WeakExponent => Reason::KeyTooWeak,
            Self::KdfTooExpensive => Reason::KeyKdfTooExpensive,
            Self::PublicKeyGiven => Reason::PublicKeyGiven,
            Self::CertificateGiven => Reason::CertificateGiven,
            Self::MultipleKeys => Reason::MultipleKeys,
            Self::PublicKeyMismatch => Reason::PublicKeyMismatch,
            Self::PassphraseRequired => Reason::PassphraseRequired,
            Self::PassphraseIncorrect => Reason::PassphraseIncorrect,
            Self::FormatUnsupportedForKey => Reason::FormatUnsupportedForKey,
            Self::SignatureAlgorithm | Self::SignatureInvalid | Self::GenerateSize => {
                Reason::ValidationFailed
            }
            Self::Internal => Reason::Internal,
        }
    }
}

impl From<NoRandomness> for KeyError {
    fn from(_: NoRandomness) -> Self {
        Self::Internal
    }
}
