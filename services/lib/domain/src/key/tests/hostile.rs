//! No bytes make a reader panic, and no mutation of a key makes a different key that is accepted.

use super::tools::{Dir, PASSPHRASE, take};
use crate::key::{
    ExportFormat, GenerateSpec, KdfCaps, PrivateKey, PublicKey, UserauthRequest, export, intake,
};
use crate::secret::Secret;
use proptest::prelude::*;
use std::sync::OnceLock;

/// Small caps, so that a mutated cost does not make the test slow.
const CAPS: KdfCaps = KdfCaps {
    bcrypt_rounds: 4,
    argon2_memory_kib: 1024,
    argon2_work_kib: 4096,
    pbkdf2_iterations: 5000,
    scrypt_memory_bytes: 4 * 1024 * 1024,
    scrypt_work_bytes: 8 * 1024 * 1024,
};

fn read(bytes: &[u8]) -> Option<PublicKey> {
    let passphrase = Secret::from_text(PASSPHRASE.into());
    intake(&Secret::new(bytes.to_vec()), Some(&passphrase), &CAPS)
        .ok()
        .map(|taken| taken.key.public().clone())
}

/// One file of each form, as the other tools write them.
fn corpus() -> &'static [Vec<u8>] {
    static CORPUS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CORPUS.get_or_init(|| {
        let mut files = Vec::new();
        for options in ["-t ed25519", "-t ecdsa -b 256", "-t ecdsa -b 521", "-t rsa -b 2048"] {
            let dir = Dir::make(&format!("{options} -N ''"), &[]);
            files.push(dir.read("k"));
            dir.write("pass", PASSPHRASE.as_bytes());
            dir.run("puttygen k -o p -O private");
            files.push(dir.read("p"));
            dir.run("puttygen k -o p -O private --new-passphrase pass --ppk-param memory=256,passes=1");
            files.push(dir.read("p"));
            dir.run("ssh-keygen -q -p -a 1 -N @ -f k");
            files.push(dir.read("k"));
            if !options.contains("ed25519") {
                dir.run("ssh-keygen -q -p -m PEM -P @ -N '' -f k");
                files.push(dir.read("k"));
                dir.run("openssl pkcs8 -topk8 -nocrypt -in k -out e");
                files.push(dir.read("e"));
                dir.run("openssl pkcs8 -topk8 -in k -out e -passout pass:@");
                files.push(dir.read("e"));
                dir.run("openssl pkcs8 -topk8 -in k -out e -passout pass:@ -scrypt -scrypt_N 1024");
                files.push(dir.read("e"));
            }
        }
        files
    })
}

/// Changes the bytes under the armor, where there is one, so that the mutation reaches the inner readers.
fn mutate_inside(file: &[u8], at: usize, value: u8) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(file).ok()?;
    let lines: Vec<&str> = text.lines().collect();
    let (first, last) = (lines.first()?, lines.last()?);
    if !first.starts_with("-----") {
        return None;
    }
    let mut bytes = data_encoding::BASE64.decode(lines[1..lines.len() - 1].concat().as_bytes()).ok()?;
    let length = bytes.len();
    bytes[at % length] = value;
    Some(format!("{first}\n{}\n{last}\n", data_encoding::BASE64.encode(&bytes)).into_bytes())
}

#[test]
fn the_corpus_is_read() {
    assert!(corpus().iter().all(|file| read(file).is_some()));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(take(&bytes, Some(PASSPHRASE)).is_err());
        prop_assert!(PublicKey::from_blob(&bytes).is_err());
        prop_assert!(UserauthRequest::parse(&bytes).is_err());
        let _ = PublicKey::parse_openssh(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn arbitrary_bytes_in_armor_are_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..512),
        label in prop_oneof![
            Just("OPENSSH PRIVATE KEY"), Just("RSA PRIVATE KEY"), Just("EC PRIVATE KEY"),
            Just("PRIVATE KEY"), Just("ENCRYPTED PRIVATE KEY"),
        ],
        magic in any::<bool>(),
    ) {
        let bytes = if magic { [b"openssh-key-v1\0", &bytes[..]].concat() } else { bytes };
        let body = data_encoding::BASE64.encode(&bytes);
        let text = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        prop_assert!(take(text.as_bytes(), Some(PASSPHRASE)).is_err());
    }

    #[test]
    fn a_changed_file_is_the_same_key_or_none(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let file = &corpus()[file.index(corpus().len())];
        let key = read(file);
        let mut changed = file.clone();
        let place = at.index(changed.len());
        changed[place] = value;
        if let Some(inside) = mutate_inside(file, place, value) {
            let _ = read(&inside);
        }
        if let Some(read) = read(&changed) {
            prop_assert_eq!(Some(read), key);
        }
        prop_assert!(read_cut(file, place));
    }

    #[test]
    fn every_exported_key_comes_back(seed in 0u8..4, format in 0u8..3) {
        let spec = [GenerateSpec::Ed25519, GenerateSpec::EcdsaP256, GenerateSpec::EcdsaP384, GenerateSpec::EcdsaP521][usize::from(seed)];
        let format = [ExportFormat::OpenSsh, ExportFormat::Pkcs8Pem, ExportFormat::Ppk3][usize::from(format)];
        let key = PrivateKey::generate(spec).unwrap();
        if let Ok(text) = export(&key, format, None) {
            let taken = take(text.expose(), None).unwrap();
            prop_assert_eq!(taken.key.public(), key.public());
        }
    }
}

/// A file cut anywhere before its last line is no key.
fn read_cut(file: &[u8], at: usize) -> bool {
    let end = file.len() - file.iter().rev().skip(1).position(|byte| *byte == b'\n').unwrap_or(0) - 1;
    read(&file[..at.min(end.saturating_sub(1))]).is_none()
}
