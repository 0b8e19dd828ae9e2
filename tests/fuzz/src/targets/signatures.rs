//! What is signed, and signatures.

use keywright_domain::key::{PublicKey, UserauthRequest};

/// The namespace and the message of the corpus.
const NAMESPACE: &str = "corpus";
const MESSAGE: &[u8] = b"message\n";

/// The blob that an SSH client asks to sign: what is accepted makes exactly the same bytes again.
pub fn userauth(bytes: &[u8]) -> bool {
    match UserauthRequest::parse(bytes) {
        Ok(request) => {
            assert_eq!(request.signed_bytes(), bytes);
            assert_eq!(request.algorithm().key_algorithm(), request.public_key().algorithm());
            assert!(!request.user().is_empty() && !request.user().chars().any(char::is_control));
            true
        }
        Err(_) => false,
    }
}

/// A public key line, then the armored output of `ssh-keygen -Y sign`, which is read as a bare signature, too.
pub fn sshsig(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let (line, armored) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(key) = PublicKey::parse_openssh(line) else { return false };
    assert!(key.verify(MESSAGE, bytes).is_err(), "the whole input cannot be a bare signature");
    assert!(key.verify_sshsig("file", MESSAGE, armored).is_err(), "of another namespace");
    key.verify_sshsig(NAMESPACE, MESSAGE, armored).is_ok()
}
