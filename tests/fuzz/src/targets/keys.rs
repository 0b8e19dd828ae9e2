//! Private and public keys.

use keywright_domain::key::{KdfCaps, KeyError, MAX_KEY_TEXT, PrivateKey, PublicKey, intake};
use keywright_domain::secret::Secret;

/// Of every encrypted file in the corpus.
pub const PASSPHRASE: &str = "correct horse";

/// The armors of [`key_inside`].
pub const LABELS: [&str; 5] =
    ["OPENSSH PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"];

/// Small, so that a mutated cost does not use up the run; what lies above must be refused before it is paid.
const CAPS: KdfCaps = KdfCaps {
    bcrypt_rounds: 2,
    argon2_memory_kib: 1024,
    argon2_work_kib: 2048,
    pbkdf2_iterations: 4096,
    scrypt_memory_bytes: 2 * 1024 * 1024,
    scrypt_work_bytes: 4 * 1024 * 1024,
};

/// A private key file, with and without a passphrase.
pub fn key_intake(bytes: &[u8]) -> bool {
    let text = Secret::new(bytes.to_vec());
    let passphrase = Secret::from_text(PASSPHRASE.to_owned());
    let without = intake(&text, None, &CAPS);
    let with = intake(&text, Some(&passphrase), &CAPS);
    if bytes.len() > MAX_KEY_TEXT {
        assert!(matches!(with, Err(KeyError::TooLarge)));
    }
    match (without, with) {
        (Ok(plain), Ok(again)) => {
            assert!(!plain.encrypted_at_intake && !again.encrypted_at_intake);
            assert_eq!(plain.key.public(), again.key.public());
            holds(&plain.key);
            true
        }
        (Err(KeyError::PassphraseRequired), Ok(opened)) => {
            assert!(opened.encrypted_at_intake);
            holds(&opened.key);
            true
        }
        (Err(KeyError::PassphraseRequired), Err(error)) => {
            assert_ne!(error, KeyError::PassphraseRequired);
            false
        }
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            false
        }
        (one, other) => panic!("the passphrase decides too much: {one:?}, {other:?}"),
    }
}

/// The bytes inside an armor: the first byte chooses the label.
pub fn key_inside(bytes: &[u8]) -> bool {
    let Some((choice, inside)) = bytes.split_first() else { return false };
    let label = LABELS[usize::from(*choice) % LABELS.len()];
    let body = data_encoding::BASE64.encode(inside);
    key_intake(format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n").as_bytes())
}

/// A public key, as a line and as a blob.
pub fn public_key(bytes: &[u8]) -> bool {
    let line = PublicKey::parse_openssh(&String::from_utf8_lossy(bytes));
    let blob = PublicKey::from_blob(bytes);
    for key in [&line, &blob].into_iter().flatten() {
        let again = PublicKey::parse_openssh(&key.openssh()).expect("what was written is read");
        assert_eq!(&again, key);
        assert_eq!(again.fingerprint(), key.fingerprint());
        assert_eq!(PublicKey::from_blob(key.blob()).expect("canonical").blob(), key.blob());
    }
    line.is_ok() || blob.is_ok()
}

/// What was accepted can be stored and comes back as the same key.
fn holds(key: &PrivateKey) {
    let stored = key.to_openssh().expect("an accepted key can be stored");
    let again = PrivateKey::from_stored(&stored).expect("a stored key can be read");
    assert_eq!(again.public(), key.public());
}
