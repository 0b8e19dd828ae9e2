//! Parts that do not belong together, and numbers that no tool writes, are no key.

use super::tools::{Dir, take};
use crate::key::KeyError;
use pkcs1::der::Encode;
use pkcs1::{RsaPrivateKey, UintRef};

/// The bytes under the armor.
fn inside(dir: &Dir, file: &str) -> Vec<u8> {
    let text = String::from_utf8(dir.read(file)).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    data_encoding::BASE64.decode(body.as_bytes()).unwrap()
}

fn refusal(label: &str, bytes: &[u8]) -> KeyError {
    let body = data_encoding::BASE64.encode(bytes);
    let text = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    take(text.as_bytes(), None).unwrap_err()
}

/// Where `needle` stands in `bytes`.
fn places(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(needle)).collect()
}

#[test]
fn the_scalar_of_one_key_beside_the_point_of_another() {
    let (one, other) = (Dir::make("-t ecdsa -m PEM -N ''", &[]), Dir::make("-t ecdsa -m PEM -N ''", &[]));
    // SEC 1: the scalar stands in bytes 7 to 38.
    let (mut mixed, foreign) = (inside(&one, "k"), inside(&other, "k"));
    mixed[7..39].copy_from_slice(&foreign[7..39]);
    assert_eq!(refusal("EC PRIVATE KEY", &mixed), KeyError::Inconsistent);
}

#[test]
fn every_copy_of_the_public_half_in_openssh_s_form() {
    for options in ["-t ed25519", "-t ecdsa", "-t ecdsa -b 521", "-t rsa -b 2048"] {
        let make = || Dir::make(&format!("{options} -N ''"), &[]);
        let (one, other) = (make(), make());
        let public = |dir: &Dir| {
            let blob = take(&dir.read("k"), None).unwrap().key.public().blob().to_vec();
            blob[blob.len() - 32..].to_vec()
        };
        let (own, foreign, whole) = (public(&one), public(&other), inside(&one, "k"));
        let copies = places(&whole, &own);
        assert!(copies.len() >= 2, "{options}");
        for at in copies {
            let mut mixed = whole.clone();
            mixed[at..at + 32].copy_from_slice(&foreign);
            let error = refusal("OPENSSH PRIVATE KEY", &mixed);
            // The outer copy of a point is off its curve then.
            assert!(matches!(error, KeyError::Inconsistent | KeyError::Unparsable), "{options}: {error:?}");
        }
    }
}

#[test]
fn one_bit_of_a_number_of_rsa() {
    let whole = inside(&Dir::make("-t rsa -b 2048 -m PEM -N ''", &[]), "k");
    // The modulus, the private exponent, both primes.
    for at in [100, 400, 600, 740] {
        let mut mixed = whole.clone();
        mixed[at] ^= 1;
        assert_eq!(refusal("RSA PRIVATE KEY", &mixed), KeyError::Inconsistent, "byte {at}");
    }
}

/// A PKCS#1 file of these numbers.
fn rsa(n: &[u8], e: &[u8], d: &[u8], p: &[u8], q: &[u8]) -> KeyError {
    let number = |bytes| UintRef::new(bytes).unwrap();
    let key = RsaPrivateKey {
        modulus: number(n),
        public_exponent: number(e),
        private_exponent: number(d),
        prime1: number(p),
        prime2: number(q),
        exponent1: number(&[1]),
        exponent2: number(&[1]),
        coefficient: number(&[1]),
        other_prime_infos: None,
    };
    refusal("RSA PRIVATE KEY", &key.to_der().unwrap())
}

#[test]
fn numbers_of_rsa_that_no_tool_writes() {
    let (ones, long, huge) = (vec![0xff; 256], vec![0xff; 2049], vec![0xff; 4000]);
    let even = [&ones[..255], &[0xfe]].concat();
    let (e, half) = ([1, 0, 1], vec![0xff; 128]);
    assert_eq!(rsa(&ones, &e, &ones, &half, &half), KeyError::Inconsistent);
    assert_eq!(rsa(&even, &e, &ones, &half, &half), KeyError::Inconsistent);
    assert_eq!(rsa(&long, &e, &ones, &half, &half), KeyError::Unsupported);
    assert_eq!(rsa(&huge, &huge, &huge, &huge, &huge), KeyError::Unsupported);
    for weak in [&[0u8][..], &[1], &[2], &[1, 0, 0]] {
        assert_eq!(rsa(&ones, weak, &ones, &half, &half), KeyError::WeakExponent, "{weak:?}");
    }
    assert_eq!(rsa(&ones, &[0xff; 5], &ones, &half, &half), KeyError::Unsupported);
    // Primes that are none, even ones, and a product that is the modulus only modulo a power of two.
    let two = vec![2];
    for (p, q) in
        [(&[0u8][..], &ones[..]), (&[1], &ones), (&two, &ones), (&ones, &ones), (&half, &two), (&huge, &huge)]
    {
        assert_eq!(rsa(&ones, &e, &ones, p, q), KeyError::Inconsistent);
    }
}

#[test]
fn a_length_of_four_gibibytes_is_a_cut_file() {
    let whole = inside(&Dir::make("-t rsa -b 2048 -N ''", &[]), "k");
    let lengths = places(&whole, &7u32.to_be_bytes());
    assert!(!lengths.is_empty());
    for at in [15, 23, 31, 39].into_iter().chain(lengths) {
        let mut forged = whole.clone();
        forged[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        let error = refusal("OPENSSH PRIVATE KEY", &forged);
        assert!(
            matches!(error, KeyError::Truncated | KeyError::MultipleKeys | KeyError::Unparsable),
            "{at}: {error:?}"
        );
    }
    for label in ["RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
        let forged = [0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 2, 1, 0];
        let error = refusal(label, &forged);
        assert!(matches!(error, KeyError::Truncated | KeyError::Unparsable), "{label}: {error:?}");
    }
}
