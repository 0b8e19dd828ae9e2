//! What the table of forms does not show: rare numbers, and the caps one by one.

use super::tools::{Dir, PASSPHRASE, take};
use crate::key::{KdfCaps, KeyError, KeyFormat, MAX_KEY_TEXT, intake};
use crate::secret::Secret;

/// Reads `file` and compares with what ssh-keygen says of `k.pub`.
fn read_and_compare(dir: &Dir, file: &str, format: KeyFormat) {
    let taken = take(&dir.read(file), Some("not needed")).unwrap();
    assert_eq!((taken.encrypted_at_intake, taken.format), (false, format));
    let public = taken.key.public();
    assert_eq!((public.bits(), public.fingerprint().to_string()), dir.fingerprint("k.pub"));
}

#[test]
fn scalars_with_a_zero_in_front_are_read() {
    // One key of 256 has one; OpenSSH and PuTTY leave the zero out.
    let dir = Dir::new();
    let document = "-----BEGIN EC PRIVATE KEY-----\nMDECAQEEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4foAoGCCqGSM49\nAwEH\n-----END EC PRIVATE KEY-----\n";
    dir.write("k", document.as_bytes());
    dir.write("k.pub", dir.run("ssh-keygen -yf k").as_bytes());
    read_and_compare(&dir, "k", KeyFormat::Sec1);
    dir.run("ssh-keygen -q -p -N '' -f k");
    read_and_compare(&dir, "k", KeyFormat::OpenSsh);
    dir.run("puttygen k -o p -O private");
    read_and_compare(&dir, "p", KeyFormat::Ppk3);
    let stored = take(&dir.read("k"), None).unwrap().key.to_openssh().unwrap();
    dir.write("s", stored.expose());
    assert_eq!(dir.fingerprint("s"), dir.fingerprint("k.pub"));
}

#[test]
fn costly_derivations_are_refused_before_they_run() {
    let started = |text: &[u8], caps: &KdfCaps| {
        intake(&Secret::new(text.to_vec()), Some(&Secret::from_text(PASSPHRASE.into())), caps).unwrap_err()
    };
    let caps = KdfCaps::default();
    let bcrypt = Dir::make("-t ed25519 -a 2 -N @", &[]).read("k");
    assert_eq!(started(&bcrypt, &KdfCaps { bcrypt_rounds: 1, ..caps }), KeyError::KdfTooExpensive);
    let text = String::from_utf8(bcrypt).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let mut bytes = data_encoding::BASE64.decode(body.as_bytes()).unwrap();
    // magic, cipher, kdf name, length, salt, then the rounds.
    let at = bytes.windows(6).position(|window| window == b"bcrypt").unwrap() + 6 + 4 + 4 + 16;
    assert_eq!(bytes[at..at + 4], 2u32.to_be_bytes());
    bytes[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    let body = data_encoding::BASE64.encode(&bytes);
    let forged = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n");
    assert_eq!(started(forged.as_bytes(), &caps), KeyError::KdfTooExpensive);

    let dir = Dir::make("-t ecdsa -m PEM -N ''", &[]);
    dir.run("openssl pkcs8 -topk8 -in k -out e -passout pass:@ -iter 5000");
    let fewer = KdfCaps { pbkdf2_iterations: 4999, ..caps };
    assert_eq!(started(&dir.read("e"), &fewer), KeyError::KdfTooExpensive);
    dir.run("openssl pkcs8 -topk8 -in k -out e -passout pass:@ -scrypt -scrypt_N 16384");
    let small = KdfCaps { scrypt_memory_bytes: 1024 * 1024, ..caps };
    assert_eq!(started(&dir.read("e"), &small), KeyError::KdfTooExpensive);

    dir.write("pass", PASSPHRASE.as_bytes());
    dir.run("puttygen k -o p -O private --new-passphrase pass --ppk-param memory=1024,passes=2");
    let putty = String::from_utf8(dir.read("p")).unwrap();
    for (old, new) in [
        ("Argon2-Memory: 1024", "Argon2-Memory: 4000000"),
        ("Argon2-Memory: 1024", "Argon2-Memory: 99999999999999"),
        ("Argon2-Passes: 2", "Argon2-Passes: 4000000000"),
        ("Argon2-Parallelism: 1", "Argon2-Parallelism: 10000"),
    ] {
        assert!(putty.contains(old));
        assert_eq!(started(putty.replace(old, new).as_bytes(), &caps), KeyError::KdfTooExpensive, "{new}");
    }
}

#[test]
fn nothing_larger_than_a_key_file_is_looked_at() {
    let dir = Dir::make("-t ed25519 -N ''", &[]);
    let mut text = dir.read("k");
    text.resize(MAX_KEY_TEXT, b'\n');
    assert!(take(&text, None).is_ok());
    text.push(b'\n');
    assert_eq!(take(&text, None).unwrap_err(), KeyError::TooLarge);
}

#[test]
fn a_passphrase_beyond_ascii_opens_every_form() {
    let passphrase = "pässwörd \u{1f511}";
    let dir = Dir::make("-t ecdsa -N ''", &["ssh-keygen -q -p -m PEM -P '' -N '' -f k"]);
    dir.write("phrase", passphrase.as_bytes());
    for code in [
        "cp k f; ssh-keygen -q -p -a 1 -P '' -N \"$(cat phrase)\" -f f",
        "openssl ec -in k -aes256 -passout file:phrase -out f",
        "openssl pkcs8 -topk8 -in k -passout file:phrase -out f",
        "openssl pkcs8 -topk8 -in k -passout file:phrase -scrypt -scrypt_N 1024 -out f",
        "openssl pkcs8 -topk8 -in k -passout file:phrase -v1 PBE-SHA1-3DES -out f",
        "puttygen k -O private --new-passphrase phrase --ppk-param version=2 -o f",
        "puttygen k -O private --new-passphrase phrase --ppk-param memory=256,passes=1 -o f",
    ] {
        dir.sh(&format!("rm -f f; {code}"));
        let file = dir.read("f");
        let taken = take(&file, Some(passphrase)).unwrap_or_else(|error| panic!("{code}: {error}"));
        assert_eq!(taken.key.public().fingerprint().to_string(), dir.fingerprint("k.pub").1, "{code}");
        assert_eq!(take(&file, Some("pässwörd")).unwrap_err(), KeyError::PassphraseIncorrect, "{code}");
    }
}

/// Before anything was derived, a passphrase that is no text is refused like any other wrong one.
#[test]
fn a_passphrase_of_bytes_is_a_wrong_one() {
    let dir = Dir::make("-t ecdsa -N ''", &["ssh-keygen -q -p -m PEM -P '' -N '' -f k"]);
    dir.sh("openssl pkcs8 -topk8 -in k -passout env:P -v1 PBE-SHA1-3DES -out f");
    let text = Secret::new(dir.read("f"));
    let error = intake(&text, Some(&Secret::new(vec![0xff, 0xfe])), &KdfCaps::default()).unwrap_err();
    assert_eq!(error, KeyError::PassphraseIncorrect);
}
