//! Public keys: canonical, and nothing else accepted in their place.

use super::tools::Dir;
use crate::key::{GenerateSpec, KeyError, PrivateKey, PublicKey};

#[test]
fn the_line_that_ssh_keygen_writes_comes_back_without_its_comment() {
    for options in ["-t ed25519", "-t ecdsa -b 256", "-t ecdsa -b 384", "-t ecdsa -b 521", "-t rsa -b 3072"] {
        let dir = Dir::make(&format!("{options} -N ''"), &[]);
        let text = String::from_utf8(dir.read("k.pub")).unwrap();
        let key = PublicKey::parse_openssh(&format!("\n# a remark\n  {text}\r\n")).unwrap();
        assert_eq!((key.bits(), key.fingerprint().to_string()), dir.fingerprint("k.pub"));
        assert_eq!(key.openssh(), text.trim().strip_suffix(" c").unwrap());
        assert_eq!(PublicKey::from_blob(key.blob()).unwrap(), key);
    }
}

#[test]
fn everything_else_is_refused_by_its_name() {
    let dir =
        Dir::make("-t ed25519 -N ''", &["ssh-keygen -q -s k -I i -n u k.pub", "puttygen k -o p -O private"]);
    let read = |name: &str| String::from_utf8(dir.read(name)).unwrap();
    let key = read("k.pub");
    let weak = Dir::make("-t rsa -b 1024 -N ''", &[]);
    let dsa = Dir::make("-t dsa -N ''", &[]);
    let sk = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIA==";
    for (text, wanted) in [
        (read("k"), KeyError::PrivateKeyGiven),
        (read("p"), KeyError::PrivateKeyGiven),
        (read("k-cert.pub"), KeyError::CertificateGiven),
        (format!("{key}{key}"), KeyError::MultipleKeys),
        (String::from_utf8(weak.read("k.pub")).unwrap(), KeyError::TooWeak),
        (String::from_utf8(dsa.read("k.pub")).unwrap(), KeyError::Unsupported),
        (sk.into(), KeyError::Unsupported),
        (String::new(), KeyError::PublicUnparsable),
        ("ssh-ed25519".into(), KeyError::PublicUnparsable),
        (key.replace("ssh-ed25519 ", "ssh-rsa "), KeyError::PublicUnparsable),
        (format!("restrict {key}"), KeyError::PublicUnparsable),
        ("x".repeat(70_000), KeyError::TooLarge),
    ] {
        assert_eq!(PublicKey::parse_openssh(&text).unwrap_err(), wanted, "{text}");
    }
}

#[test]
fn a_blob_that_is_not_canonical_is_no_key() {
    let blob = PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().blob().to_vec();
    let longer = [&blob[..], &[0]].concat();
    for bad in [&blob[..blob.len() - 1], &longer, b"", b"\0\0\0\xff", b"\xff\xff\xff\xff"] {
        assert!(PublicKey::from_blob(bad).is_err());
    }
    // A point off the curve, and one in the compressed form.
    let mut off_curve = PrivateKey::generate(GenerateSpec::EcdsaP256).unwrap().public().blob().to_vec();
    let last = off_curve.len() - 1;
    off_curve[last] ^= 1;
    assert_eq!(PublicKey::from_blob(&off_curve).unwrap_err(), KeyError::PublicUnparsable);
    let mut compressed = off_curve[..off_curve.len() - 69].to_vec();
    compressed.extend_from_slice(&33u32.to_be_bytes());
    compressed.push(2);
    compressed.extend_from_slice(&off_curve[off_curve.len() - 64..off_curve.len() - 32]);
    assert_eq!(PublicKey::from_blob(&compressed).unwrap_err(), KeyError::PublicUnparsable);
    // An mpint with a needless zero in front.
    let mut padded = b"\0\0\0\x07ssh-rsa\0\0\0\x03\x01\0\x01\0\0\x01\x03".to_vec();
    padded.extend_from_slice(&[0, 0]);
    padded.extend_from_slice(&[0xff; 257]);
    assert!(PublicKey::from_blob(&padded).is_err());
}

#[test]
fn a_sent_public_key_must_be_the_keys_own() {
    let (one, other) = (
        PrivateKey::generate(GenerateSpec::Ed25519).unwrap(),
        PrivateKey::generate(GenerateSpec::Ed25519).unwrap(),
    );
    assert_eq!(one.require_public(one.public()), Ok(()));
    assert_eq!(one.require_public(other.public()), Err(KeyError::PublicKeyMismatch));
}

#[test]
fn nothing_of_a_private_key_is_printed() {
    let key = PrivateKey::generate(GenerateSpec::Ed25519).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey");
}
