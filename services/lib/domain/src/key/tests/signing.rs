//! Signatures, and the only payload that is signed.

use super::tools::Dir;
use crate::key::{
    BadUserauthRequest, GenerateSpec, KeyError, PrivateKey, PublicKey, SignatureAlgorithm, UserauthRequest,
};

fn key_for(algorithm: SignatureAlgorithm) -> PrivateKey {
    PrivateKey::generate(GenerateSpec::of(algorithm.key_algorithm(), 2048).unwrap()).unwrap()
}

#[test]
fn every_algorithm_signs_and_verifies() {
    for algorithm in SignatureAlgorithm::ALL {
        let key = key_for(*algorithm);
        let signature = key.sign(*algorithm, b"data").unwrap();
        let name = algorithm.as_str().as_bytes();
        assert_eq!(&signature[4..4 + name.len()], name);
        assert_eq!(key.public().verify(b"data", &signature), Ok(()));
        assert_eq!(key.public().verify(b"Data", &signature), Err(KeyError::SignatureInvalid));
        assert!(key.public().verify(b"data", &signature[..signature.len() - 1]).is_err());
        assert!(key.public().verify(b"data", b"").is_err());
    }
}

#[test]
fn a_key_signs_with_its_own_algorithms_only() {
    let key = key_for(SignatureAlgorithm::Ed25519);
    assert_eq!(key.sign(SignatureAlgorithm::RsaSha512, b""), Err(KeyError::SignatureAlgorithm));
    assert_eq!(SignatureAlgorithm::parse("ssh-rsa"), Err(KeyError::SignatureAlgorithm));
    assert_eq!(SignatureAlgorithm::parse("ssh-dss"), Err(KeyError::SignatureAlgorithm));
}

#[test]
fn a_signature_of_ssh_keygen_proves_possession() {
    for options in ["-t ed25519", "-t ecdsa -b 521", "-t rsa -b 2048"] {
        let dir = Dir::make(&format!("{options} -N ''"), &[]);
        dir.write("nonce", b"the nonce");
        dir.run("ssh-keygen -q -Y sign -n keywright -f k nonce");
        let armored = String::from_utf8(dir.read("nonce.sig")).unwrap();
        let key = PublicKey::parse_openssh(&String::from_utf8(dir.read("k.pub")).unwrap()).unwrap();
        assert_eq!(key.verify_sshsig("keywright", b"the nonce", &armored), Ok(()));
        assert!(key.verify_sshsig("file", b"the nonce", &armored).is_err());
        assert!(key.verify_sshsig("keywright", b"another", &armored).is_err());
        let other = key_for(SignatureAlgorithm::Ed25519);
        assert!(other.public().verify_sshsig("keywright", b"the nonce", &armored).is_err());
    }
}

fn request() -> UserauthRequest {
    let key = key_for(SignatureAlgorithm::Ed25519);
    UserauthRequest::new(vec![7; 32], "deploy".into(), SignatureAlgorithm::Ed25519, key.public().clone())
        .unwrap()
}

#[test]
fn the_request_is_what_rfc_4252_says() {
    let request = request();
    let mut wanted = Vec::new();
    wanted.extend_from_slice(&[0, 0, 0, 32]);
    wanted.extend_from_slice(&[7; 32]);
    wanted.push(50);
    wanted.extend_from_slice(
        b"\0\0\0\x06deploy\0\0\0\x0essh-connection\0\0\0\x09publickey\x01\0\0\0\x0bssh-ed25519",
    );
    wanted.extend_from_slice(&[0, 0, 0, 51]);
    wanted.extend_from_slice(request.public_key().blob());
    assert_eq!(request.signed_bytes(), wanted);
    assert_eq!(UserauthRequest::parse(&wanted).unwrap(), request);
}

#[test]
fn the_host_bound_form_carries_the_host_key() {
    let host_key = key_for(SignatureAlgorithm::EcdsaP256).public().clone();
    let bound = request().bound_to(host_key.clone());
    let parsed = UserauthRequest::parse(&bound.signed_bytes()).unwrap();
    assert_eq!(parsed.host_key(), Some(&host_key));
    assert_eq!(parsed, bound);
}

#[test]
fn nothing_else_is_a_request() {
    let good = request().signed_bytes();
    for length in 0..good.len() {
        assert_eq!(UserauthRequest::parse(&good[..length]), Err(BadUserauthRequest));
    }
    assert!(UserauthRequest::parse(&[&good[..], &[0]].concat()).is_err());
    let replace = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).unwrap();
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    for other in [
        replace(b"ssh-connection", b"ssh-userauth!!"),
        replace(b"publickey", b"hostbased"),
        replace(b"publickey\x01", b"publickey\x00"),
        replace(b"publickey\x01", b"publickey\x02"),
        replace(b"deploy", b"dep\noy"),
        replace(&[7, 50], &[7, 51]),
        b"SSHSIG\0\0\0\x04file".to_vec(),
    ] {
        assert_eq!(UserauthRequest::parse(&other), Err(BadUserauthRequest));
    }
    let key = key_for(SignatureAlgorithm::Ed25519).public().clone();
    let make = |session: usize, user: &str, algorithm| {
        UserauthRequest::new(vec![0; session], user.into(), algorithm, key.clone()).is_ok()
    };
    assert!(make(64, "root", SignatureAlgorithm::Ed25519));
    assert!(!make(0, "root", SignatureAlgorithm::Ed25519));
    assert!(!make(65, "root", SignatureAlgorithm::Ed25519));
    assert!(!make(32, "", SignatureAlgorithm::Ed25519));
    assert!(!make(32, "root", SignatureAlgorithm::RsaSha256));
}

#[test]
fn the_default_rsa_size_works() {
    let key = PrivateKey::generate(GenerateSpec::Rsa { bits: 4096 }).unwrap();
    let stored = key.to_openssh().unwrap();
    let again = PrivateKey::from_stored(&stored).unwrap();
    let signature = again.sign(SignatureAlgorithm::RsaSha256, b"data").unwrap();
    assert_eq!(key.public().verify(b"data", &signature), Ok(()));
}
