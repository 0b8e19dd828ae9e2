//! Every form and encryption that is read, and what each fault is called.

use super::tools::{Dir, PASSPHRASE, take};
use crate::key::{KdfCaps, KeyError, KeyFormat, intake};
use crate::secret::Secret;

const TYPES: [&str; 5] =
    ["-t ed25519", "-t ecdsa -b 256", "-t ecdsa -b 384", "-t ecdsa -b 521", "-t rsa -b 2048"];

/// Reads `file` and compares with what ssh-keygen says of `k.pub`.
fn read_and_compare(dir: &Dir, file: &str, encrypted: bool, format: KeyFormat) {
    let bytes = dir.read(file);
    let taken = take(&bytes, encrypted.then_some(PASSPHRASE)).unwrap();
    assert_eq!((taken.encrypted_at_intake, taken.format), (encrypted, format));
    let public = taken.key.public();
    assert_eq!((public.bits(), public.fingerprint().to_string()), dir.fingerprint("k.pub"));
    if encrypted {
        assert_eq!(take(&bytes, None).unwrap_err(), KeyError::PassphraseRequired);
        assert_eq!(take(&bytes, Some("")).unwrap_err(), KeyError::PassphraseRequired);
        assert_eq!(take(&bytes, Some("wrong")).unwrap_err(), KeyError::PassphraseIncorrect);
    } else {
        assert!(!take(&bytes, Some("not needed")).unwrap().encrypted_at_intake);
    }
}

#[test]
fn openssh_plain_and_encrypted() {
    for options in TYPES {
        read_and_compare(&Dir::make(&format!("{options} -N ''"), &[]), "k", false, KeyFormat::OpenSsh);
        read_and_compare(&Dir::make(&format!("{options} -a 2 -N @"), &[]), "k", true, KeyFormat::OpenSsh);
    }
}

#[test]
fn openssh_with_every_cipher() {
    for cipher in [
        "3des-cbc",
        "aes128-cbc",
        "aes192-cbc",
        "aes256-cbc",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
    ] {
        let dir = Dir::new();
        // The at sign of a cipher's name is not the passphrase.
        let status = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-a", "2", "-N", PASSPHRASE, "-Z", cipher, "-f"])
            .arg(dir.path("k"))
            .status()
            .unwrap();
        assert!(status.success(), "{cipher}");
        read_and_compare(&dir, "k", true, KeyFormat::OpenSsh);
    }
}

#[test]
fn pkcs1_plain_and_in_the_old_encryption() {
    read_and_compare(&Dir::make("-t rsa -b 2048 -m PEM -N ''", &[]), "k", false, KeyFormat::Pkcs1);
    let dir = Dir::make("-t rsa -b 2048 -m PEM -N ''", &[]);
    for cipher in ["aes128", "aes192", "aes256", "des3"] {
        dir.run(&format!("openssl rsa -traditional -in k -{cipher} -passout pass:@ -out e"));
        read_and_compare(&dir, "e", true, KeyFormat::Pkcs1);
    }
    dir.run("openssl rsa -traditional -in k -camellia128 -passout pass:@ -out e");
    assert_eq!(take(&dir.read("e"), Some(PASSPHRASE)).unwrap_err(), KeyError::Unsupported);
}

#[test]
fn sec1_plain_and_in_the_old_encryption() {
    for bits in ["256", "384", "521"] {
        let dir = Dir::make(&format!("-t ecdsa -b {bits} -m PEM -N ''"), &[]);
        read_and_compare(&dir, "k", false, KeyFormat::Sec1);
        for cipher in ["aes128", "aes256", "des3"] {
            dir.run(&format!("openssl ec -in k -{cipher} -passout pass:@ -out e"));
            read_and_compare(&dir, "e", true, KeyFormat::Sec1);
        }
        // Without the public half, and with OpenSSL's parameters in front.
        dir.run("openssl ec -in k -no_public -out n");
        read_and_compare(&dir, "n", false, KeyFormat::Sec1);
    }
    let dir = Dir::new();
    dir.write("k", dir.run("openssl ecparam -name prime256v1 -genkey").as_bytes());
    dir.write("k.pub", dir.run("ssh-keygen -yf k").as_bytes());
    read_and_compare(&dir, "k", false, KeyFormat::Sec1);
}

#[test]
fn pkcs8_plain_and_with_pbes2() {
    for options in &TYPES[1..] {
        let dir = Dir::make(&format!("{options} -m PEM -N ''"), &[]);
        dir.run("openssl pkcs8 -topk8 -nocrypt -in k -out p");
        read_and_compare(&dir, "p", false, KeyFormat::Pkcs8);
        for scheme in [
            "-v2 aes-128-cbc -v2prf hmacWithSHA1",
            "-v2 aes-192-cbc -v2prf hmacWithSHA384",
            "-v2 aes-256-cbc",
            "-v2 aes-256-cbc -v2prf hmacWithSHA512",
            "-v2 des3",
            "-scrypt -scrypt_N 1024",
        ] {
            dir.run(&format!("openssl pkcs8 -topk8 -in k -out e -passout pass:@ {scheme}"));
            read_and_compare(&dir, "e", true, KeyFormat::Pkcs8);
        }
        dir.run("openssl pkcs8 -topk8 -in k -out e -passout pass:@ -v1 PBE-SHA1-3DES");
        assert_eq!(take(&dir.read("e"), Some(PASSPHRASE)).unwrap_err(), KeyError::Unsupported);
    }
}

#[test]
fn pkcs8_ed25519_as_openssl_writes_it() {
    let dir = Dir::new();
    dir.run("openssl genpkey -algorithm ed25519 -out p");
    let der = dir.run("openssl pkey -in p -pubout -outform PEM");
    let spki = data_encoding::BASE64.decode(der.lines().nth(1).unwrap().as_bytes()).unwrap();
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend_from_slice(&spki[spki.len() - 32..]);
    let taken = take(&dir.read("p"), None).unwrap();
    assert_eq!(taken.key.public().blob(), blob);
    for (options, wanted) in [
        ("-algorithm ed448", KeyError::Unsupported),
        ("-algorithm x25519", KeyError::Unsupported),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1", KeyError::Unsupported),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:1024", KeyError::TooWeak),
        ("-algorithm RSA -pkeyopt rsa_keygen_pubexp:8589934593", KeyError::Unsupported),
        ("-algorithm RSA -pkeyopt rsa_keygen_primes:3", KeyError::Unsupported),
        ("-algorithm RSA-PSS", KeyError::Unsupported),
    ] {
        dir.run(&format!("openssl genpkey {options} -out p"));
        assert_eq!(take(&dir.read("p"), None).unwrap_err(), wanted, "{options}");
    }
}

#[test]
fn putty_2_and_3() {
    for options in TYPES {
        let dir = Dir::make(&format!("{options} -N ''"), &[]);
        dir.write("pass", PASSPHRASE.as_bytes());
        for (version, format) in [("2", KeyFormat::Ppk2), ("3", KeyFormat::Ppk3)] {
            let parameters = format!("--ppk-param version={version}");
            dir.run(&format!("puttygen k -o p -O private -C remark {parameters}"));
            read_and_compare(&dir, "p", false, format);
            dir.run(&format!("puttygen k -o e -O private --new-passphrase pass {parameters}"));
            read_and_compare(&dir, "e", true, format);
        }
        for kdf in ["argon2i", "argon2d"] {
            let parameters = format!("--ppk-param version=3,kdf={kdf},memory=1024,passes=2,parallelism=2");
            dir.run(&format!("puttygen k -o e -O private --new-passphrase pass {parameters}"));
            read_and_compare(&dir, "e", true, KeyFormat::Ppk3);
        }
    }
}

#[test]
fn scalars_with_a_zero_in_front_are_read() {
    // One key of 256 has one; OpenSSH and PuTTY leave the zero out.
    let dir = Dir::new();
    let document = "-----BEGIN EC PRIVATE KEY-----\nMDECAQEEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4foAoGCCqGSM49\nAwEH\n-----END EC PRIVATE KEY-----\n";
    dir.write("k", document.as_bytes());
    dir.write("k.pub", dir.run("ssh-keygen -yf k").as_bytes());
    read_and_compare(&dir, "k", false, KeyFormat::Sec1);
    dir.run("ssh-keygen -q -p -N '' -f k");
    read_and_compare(&dir, "k", false, KeyFormat::OpenSsh);
    dir.run("puttygen k -o p -O private");
    read_and_compare(&dir, "p", false, KeyFormat::Ppk3);
    let stored = take(&dir.read("k"), None).unwrap().key.to_openssh().unwrap();
    dir.write("s", stored.expose());
    assert_eq!(dir.fingerprint("s"), dir.fingerprint("k.pub"));
}

#[test]
fn what_pasting_does_is_repaired() {
    for options in ["-t ed25519 -N ''", "-t rsa -b 2048 -m PEM -N ''"] {
        let dir = Dir::make(options, &["puttygen k -o p -O private -C remark"]);
        for file in ["k", "p"] {
            let text = String::from_utf8(dir.read(file)).unwrap();
            let indented: String = text.lines().map(|line| format!("   {line}  \n")).collect();
            for variant in [
                text.replace('\n', "\r\n"),
                text.replace('\n', "\r"),
                text.trim_end().to_owned(),
                format!("\n\n  \n{text}\n\n\n"),
                format!("\u{feff}{text}"),
                format!("Here is the key: as agreed\n\n{text}\nRegards: A.\n"),
                indented,
            ] {
                let taken =
                    take(variant.as_bytes(), None).unwrap_or_else(|error| panic!("{variant}: {error}"));
                assert_eq!(taken.key.public().fingerprint().to_string(), dir.fingerprint("k.pub").1);
            }
        }
        let one_line = String::from_utf8(dir.read("k")).unwrap().replace('\n', " ");
        assert!(take(one_line.as_bytes(), None).is_ok());
    }
}

#[test]
fn what_is_not_one_private_key_has_its_name() {
    let dir =
        Dir::make("-t ed25519 -N ''", &["ssh-keygen -q -s k -I i -n u k.pub", "puttygen k -o p -O private"]);
    let key = String::from_utf8(dir.read("k")).unwrap();
    let putty = String::from_utf8(dir.read("p")).unwrap();
    let rfc4716 = dir.run("ssh-keygen -e -f k.pub");
    dir.run("openssl genpkey -algorithm ed25519 -out q");
    let spki = dir.run("openssl pkey -in q -pubout");
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let dsa = "-----BEGIN DSA PRIVATE KEY-----\nMA==\n-----END DSA PRIVATE KEY-----\n";
    let cases = [
        (String::new(), KeyError::Unparsable),
        ("hello".into(), KeyError::Unparsable),
        (String::from_utf8(dir.read("k.pub")).unwrap(), KeyError::PublicKeyGiven),
        (rfc4716, KeyError::PublicKeyGiven),
        (spki, KeyError::PublicKeyGiven),
        (String::from_utf8(dir.read("k-cert.pub")).unwrap(), KeyError::CertificateGiven),
        (format!("{key}{key}"), KeyError::MultipleKeys),
        (format!("{key}{putty}"), KeyError::MultipleKeys),
        (format!("{putty}{putty}"), KeyError::MultipleKeys),
        (cut(&key), KeyError::Truncated),
        (cut(&putty), KeyError::Truncated),
        (key.split_once('\n').unwrap().1.to_owned(), KeyError::Truncated),
        (dsa.into(), KeyError::Unsupported),
        (key.replace("OPENSSH PRIVATE", "MY PRIVATE"), KeyError::Unsupported),
        ("x".repeat(70_000), KeyError::TooLarge),
        (putty.replace("File-3", "File-1"), KeyError::Unsupported),
        (putty.replace("Comment: ", "Comment: x"), KeyError::Inconsistent),
    ];
    for (text, wanted) in cases {
        assert_eq!(take(text.as_bytes(), None).unwrap_err(), wanted, "{text}");
    }
    let middle_gone: Vec<&str> =
        key.lines().enumerate().filter(|(at, _)| *at != 3).map(|(_, line)| line).collect();
    assert_eq!(take(middle_gone.join("\n").as_bytes(), None).unwrap_err(), KeyError::Truncated);
}

#[test]
fn parts_that_do_not_belong_together_are_no_key() {
    // The scalar of one key beside the point of another.
    let (one, other) = (Dir::make("-t ecdsa -m PEM -N ''", &[]), Dir::make("-t ecdsa -m PEM -N ''", &[]));
    let der = |dir: &Dir| {
        let text = String::from_utf8(dir.read("k")).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        data_encoding::BASE64.decode(body.as_bytes()).unwrap()
    };
    // SEC 1: the scalar stands in bytes 7 to 38.
    let (mut mixed, foreign) = (der(&one), der(&other));
    mixed[7..39].copy_from_slice(&foreign[7..39]);
    let body = data_encoding::BASE64.encode(&mixed);
    let text = format!("-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----\n");
    assert_eq!(take(text.as_bytes(), None).unwrap_err(), KeyError::Inconsistent);
    // RSA with one bit of d turned over.
    let rsa = Dir::make("-t rsa -b 2048 -m PEM -N ''", &[]);
    let mut mixed = der(&rsa);
    mixed[400] ^= 1;
    let body = data_encoding::BASE64.encode(&mixed);
    let text = format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n");
    assert_eq!(take(text.as_bytes(), None).unwrap_err(), KeyError::Inconsistent);
}

#[test]
fn weak_and_foreign_keys_are_refused() {
    let rsa = Dir::make("-t rsa -b 1024 -N ''", &[]);
    assert_eq!(take(&rsa.read("k"), None).unwrap_err(), KeyError::TooWeak);
    let encrypted = Dir::make("-t rsa -b 1024 -a 1 -N @", &[]);
    assert_eq!(take(&encrypted.read("k"), None).unwrap_err(), KeyError::TooWeak);
    let dsa = Dir::make("-t dsa -N ''", &[]);
    assert_eq!(take(&dsa.read("k"), None).unwrap_err(), KeyError::Unsupported);
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
