//! What is offered to servers.
//!
//! Invariant: nothing that rests on SHA-1, no compression, no cipher without integrity; the post-quantum hybrid first.

use std::borrow::Cow;

use keywright_domain::host::KnownHost;
use keywright_domain::key::KeyAlgorithm;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression, kex, mac};

const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_GEX_SHA256,
    kex::DH_G18_SHA512,
    kex::DH_G16_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

const CIPHERS: &[cipher::Name] = &[
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_GCM,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

const MACS: &[mac::Name] = &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM, mac::HMAC_SHA512, mac::HMAC_SHA256];

/// The kinds of host key in the order in which we like to be shown them.
pub(crate) const HOST_KEYS: [KeyAlgorithm; 5] = [
    KeyAlgorithm::Ed25519,
    KeyAlgorithm::EcdsaP256,
    KeyAlgorithm::EcdsaP384,
    KeyAlgorithm::EcdsaP521,
    KeyAlgorithm::Rsa,
];

/// How a server proves that it holds a host key of this kind.
fn proofs(kind: KeyAlgorithm) -> Vec<Algorithm> {
    let ecdsa = |curve| vec![Algorithm::Ecdsa { curve }];
    match kind {
        KeyAlgorithm::Ed25519 => vec![Algorithm::Ed25519],
        KeyAlgorithm::EcdsaP256 => ecdsa(EcdsaCurve::NistP256),
        KeyAlgorithm::EcdsaP384 => ecdsa(EcdsaCurve::NistP384),
        KeyAlgorithm::EcdsaP521 => ecdsa(EcdsaCurve::NistP521),
        KeyAlgorithm::Rsa => {
            [HashAlg::Sha512, HashAlg::Sha256].map(|hash| Algorithm::Rsa { hash: Some(hash) }).into()
        }
    }
}

/// Whether a server that lists these host key algorithms has a key of this kind that we would accept.
pub(crate) fn offered(kind: KeyAlgorithm, server: &[String]) -> bool {
    proofs(kind).iter().any(|ours| server.iter().any(|theirs| *theirs == ours.to_string()))
}

/// Everything we accept, with the kinds of the pinned keys first: the server then shows a key that we know. Certificates
/// come before keys where an authority is trusted.
pub(crate) fn preferring(known: &KnownHost) -> Preferred {
    let pinned = |kind: &KeyAlgorithm| known.keys.iter().any(|pin| pin.algorithm() == *kind);
    let (first, rest): (Vec<_>, Vec<_>) = HOST_KEYS.into_iter().partition(pinned);
    let keys = preferred(first.into_iter().chain(rest).flat_map(proofs).collect());
    if known.authorities.is_empty() {
        return keys;
    }
    Preferred { host_key_certificates: HOST_KEYS.into_iter().flat_map(proofs).collect(), ..keys }
}

pub(crate) fn only(kind: KeyAlgorithm) -> Preferred {
    preferred(proofs(kind))
}

fn preferred(key: Vec<Algorithm>) -> Preferred {
    Preferred {
        kex: Cow::Borrowed(KEX),
        key: Cow::Owned(key),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(CIPHERS),
        mac: Cow::Borrowed(MACS),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_rests_on_sha1() {
        let all = preferring(&KnownHost::default());
        let names: Vec<String> = all
            .kex
            .iter()
            .map(|n| n.as_ref().to_owned())
            .chain(all.key.iter().map(ToString::to_string))
            .chain(all.mac.iter().map(|n| n.as_ref().to_owned()))
            .collect();
        assert!(names.iter().all(|n| !n.ends_with("sha1") && n != "ssh-rsa" && n != "none"), "{names:?}");
        assert!(crate::hygiene::is_post_quantum(all.kex.first().unwrap().as_ref()));
    }

    #[test]
    fn a_server_list_is_matched_to_kinds() {
        let server = ["rsa-sha2-512".to_owned(), "ssh-ed25519".to_owned()];
        let found: Vec<_> = HOST_KEYS.into_iter().filter(|kind| offered(*kind, &server)).collect();
        assert_eq!(found, [KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa]);
        assert!(!offered(KeyAlgorithm::Rsa, &["ssh-rsa".to_owned()]));
    }
}
