//! What we write is read by ssh-keygen, openssl and puttygen, and by ourselves.

use super::tools::{Dir, PASSPHRASE, take};
use crate::key::{ExportFormat, GenerateSpec, KeyAlgorithm, KeyError, PrivateKey, export};
use crate::secret::Secret;

const SPECS: [GenerateSpec; 5] = [
    GenerateSpec::Ed25519,
    GenerateSpec::EcdsaP256,
    GenerateSpec::EcdsaP384,
    GenerateSpec::EcdsaP521,
    GenerateSpec::Rsa { bits: 2048 },
];

fn passphrase() -> Secret {
    Secret::from_text(PASSPHRASE.into())
}

/// Writes the export to `k` and gives the fingerprint that it must have.
fn exported(key: &PrivateKey, format: ExportFormat, encrypted: bool) -> (Dir, (u32, String)) {
    let secret = passphrase();
    let text = export(key, format, encrypted.then_some(&secret)).unwrap();
    let dir = Dir::new();
    dir.write("k", text.expose());
    dir.write("pass", PASSPHRASE.as_bytes());
    let taken = take(text.expose(), encrypted.then_some(PASSPHRASE)).unwrap();
    assert_eq!(taken.key.public(), key.public());
    assert_eq!(taken.encrypted_at_intake, encrypted);
    (dir, (key.public().bits(), key.public().fingerprint().to_string()))
}

#[test]
fn openssh_and_pkcs8_are_read_by_ssh_keygen() {
    for spec in SPECS {
        let key = PrivateKey::generate(spec).unwrap();
        for format in [ExportFormat::OpenSsh, ExportFormat::Pkcs8Pem] {
            if format == ExportFormat::Pkcs8Pem && spec == GenerateSpec::Ed25519 {
                assert_eq!(export(&key, format, None).unwrap_err(), KeyError::FormatUnsupportedForKey);
                continue;
            }
            for encrypted in [false, true] {
                let (dir, wanted) = exported(&key, format, encrypted);
                let option = if encrypted { "-P @" } else { "-P ''" };
                dir.write("k.pub", dir.run(&format!("ssh-keygen -y {option} -f k")).as_bytes());
                assert_eq!(dir.fingerprint("k.pub"), wanted);
                if format == ExportFormat::Pkcs8Pem {
                    dir.run("openssl pkey -in k -passin pass:@ -check -noout");
                }
            }
        }
    }
}

#[test]
fn ppk_is_read_by_puttygen() {
    for spec in SPECS {
        let key = PrivateKey::generate(spec).unwrap();
        for encrypted in [false, true] {
            let (dir, (_, wanted)) = exported(&key, ExportFormat::Ppk3, encrypted);
            let option = if encrypted { "--old-passphrase pass" } else { "" };
            let line = format!("puttygen k {option} -O public-openssh");
            dir.write("k.pub", dir.run(line.replace("  ", " ").as_str()).as_bytes());
            assert_eq!(dir.fingerprint("k.pub").1, wanted);
            // The private half, too: PuTTY converts it and ssh-keygen derives the public key from it.
            std::fs::write(dir.path("empty"), b"").unwrap();
            let line = format!("puttygen k {option} -O private-openssh --new-passphrase empty -o o");
            dir.run(line.replace("  ", " ").as_str());
            dir.write("o.pub", dir.run("ssh-keygen -yf o").as_bytes());
            assert_eq!(dir.fingerprint("o.pub").1, wanted);
        }
    }
}

#[test]
fn an_empty_passphrase_never_makes_a_plain_file() {
    let key = PrivateKey::generate(GenerateSpec::Ed25519).unwrap();
    let empty = Secret::new(Vec::new());
    for format in [ExportFormat::OpenSsh, ExportFormat::Ppk3] {
        assert_eq!(export(&key, format, Some(&empty)).unwrap_err(), KeyError::PassphraseRequired);
    }
}

#[test]
fn what_custody_stores_comes_back_and_holds_no_comment() {
    for spec in SPECS {
        let key = PrivateKey::generate(spec).unwrap();
        assert_eq!(key.algorithm(), spec.algorithm());
        let stored = key.to_openssh().unwrap();
        assert_eq!(PrivateKey::from_stored(&stored).unwrap().public(), key.public());
        let dir = Dir::new();
        dir.write("k", stored.expose());
        assert_eq!(dir.run("ssh-keygen -yf k").trim(), key.public().openssh());
    }
    assert!(PrivateKey::from_stored(&Secret::from_text("nothing".into())).is_err());
}

#[test]
fn rsa_is_generated_in_known_sizes_only() {
    let spec = GenerateSpec::of(KeyAlgorithm::Rsa, 3072).unwrap();
    assert_eq!(PrivateKey::generate(spec).unwrap().public().bits(), 3072);
    assert_eq!(GenerateSpec::of(KeyAlgorithm::Rsa, 0).unwrap(), GenerateSpec::Rsa { bits: 4096 });
    assert_eq!(GenerateSpec::of(KeyAlgorithm::Rsa, 1024), Err(KeyError::GenerateSize));
    assert_eq!(PrivateKey::generate(GenerateSpec::Rsa { bits: 512 }).unwrap_err(), KeyError::GenerateSize);
}
