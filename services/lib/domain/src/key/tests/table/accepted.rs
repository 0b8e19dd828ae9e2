//! What is accepted: all that the tools write of the five kinds of key.

use super::{ALGORITHMS, Row, Tool, Verdict};
use crate::key::KeyFormat;

const OPENSSH_CIPHERS: [&str; 10] = [
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
];

/// OpenSSL's options for PKCS#8, and what they mean.
const PKCS8_SCHEMES: [(&str, &str); 9] = [
    ("-v2 aes-128-cbc", "AES-128-CBC, PBKDF2 HMAC-SHA-256"),
    ("-v2 aes-192-cbc", "AES-192-CBC, PBKDF2 HMAC-SHA-256"),
    ("-v2 aes-256-cbc", "AES-256-CBC, PBKDF2 HMAC-SHA-256"),
    ("-v2 des3", "DES-EDE3-CBC, PBKDF2 HMAC-SHA-256"),
    ("-scrypt -scrypt_N 1024", "AES-256-CBC, scrypt"),
    ("-v1 PBE-MD5-DES", "PBES1 MD5, DES-CBC"),
    ("-v1 PBE-SHA1-DES", "PBES1 SHA-1, DES-CBC"),
    ("-v1 PBE-SHA1-3DES", "PKCS#12 SHA-1, DES-EDE3-CBC"),
    ("-v1 PBE-SHA1-2DES", "PKCS#12 SHA-1, DES-EDE2-CBC"),
];

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (algorithm, _) in ALGORITHMS {
        rows.extend(ssh_keygen(algorithm));
        rows.extend(openssl_legacy(algorithm));
        rows.extend(openssl_pkcs8(algorithm));
        rows.extend(puttygen(algorithm));
        rows.extend(dropbear(algorithm));
    }
    rows.extend(pseudorandom_functions());
    rows.extend(odd_ones());
    rows
}

fn row(
    tool: Tool,
    form: &'static str,
    algorithm: &'static str,
    protection: &str,
    code: String,
    verdict: Verdict,
) -> Row {
    Row { tool, form, algorithm, protection: protection.to_owned(), code, verdict }
}

fn ssh_keygen(algorithm: &'static str) -> Vec<Row> {
    let make = |form, protection: &str, options: &str, verdict| {
        let code = format!("cp k f; ssh-keygen -q -p -P '' {options} -f f");
        row(Tool::SshKeygen, form, algorithm, protection, code, verdict)
    };
    let open = KeyFormat::OpenSsh;
    let mut rows = vec![make("OpenSSH", "none", "-N ''", Verdict::Plain(open))];
    rows.extend(OPENSSH_CIPHERS.iter().map(|cipher| {
        let options = format!("-N \"$P\" -a 2 -Z {cipher}");
        make("OpenSSH", &format!("{cipher}, bcrypt"), &options, Verdict::Encrypted(open))
    }));
    if algorithm != "Ed25519" {
        let (name, format) = legacy(algorithm);
        rows.push(make(name, "none", "-m PEM -N ''", Verdict::Plain(format)));
        let encrypted = Verdict::Encrypted(format);
        rows.push(make(name, "AES-128-CBC, DEK-Info MD5", "-m PEM -N \"$P\"", encrypted));
        rows.push(make("PKCS#8", "none", "-m PKCS8 -N ''", Verdict::Plain(KeyFormat::Pkcs8)));
        let encrypted = Verdict::Encrypted(KeyFormat::Pkcs8);
        rows.push(make("PKCS#8", "its default", "-m PKCS8 -N \"$P\"", encrypted));
    }
    rows
}

fn legacy(algorithm: &str) -> (&'static str, KeyFormat) {
    if algorithm.starts_with("RSA") { ("PKCS#1", KeyFormat::Pkcs1) } else { ("SEC 1", KeyFormat::Sec1) }
}

fn openssl_legacy(algorithm: &'static str) -> Vec<Row> {
    if algorithm == "Ed25519" {
        return Vec::new();
    }
    let (form, format) = legacy(algorithm);
    let command = if form == "PKCS#1" { "openssl rsa -traditional" } else { "openssl ec" };
    let make = |form, protection: &str, code: String, verdict| {
        row(Tool::OpenSsl, form, algorithm, protection, code, verdict)
    };
    let mut rows = vec![make(form, "none", format!("{command} -in m -out f"), Verdict::Plain(format))];
    for (option, name) in
        [("aes128", "AES-128"), ("aes192", "AES-192"), ("aes256", "AES-256"), ("des3", "DES-EDE3")]
    {
        let code = format!("{command} -in m -{option} -passout env:P -out f");
        let protection = format!("{name}-CBC, DEK-Info MD5");
        rows.push(make(form, &protection, code, Verdict::Encrypted(format)));
    }
    if form == "SEC 1" {
        let plain = Verdict::Plain(format);
        rows.push(make("SEC 1, no public half", "none", "openssl ec -in m -no_public -out f".into(), plain));
        let curve = match algorithm {
            "ECDSA P-256" => "prime256v1",
            "ECDSA P-384" => "secp384r1",
            _ => "secp521r1",
        };
        let generate = format!("openssl ecparam -name {curve} -genkey -out g; ssh-keygen -y -f g >f.pub");
        rows.push(make("SEC 1 after parameters", "none", format!("{generate}; cp g f"), plain));
        let code = format!(
            "{generate}; openssl ecparam -name {curve} >f; openssl ec -in g -aes256 -passout env:P >>f"
        );
        let encrypted = Verdict::Encrypted(format);
        rows.push(make("SEC 1 after parameters", "AES-256-CBC, DEK-Info MD5", code, encrypted));
    }
    rows
}

fn openssl_pkcs8(algorithm: &'static str) -> Vec<Row> {
    // The key of `m` is another one where OpenSSH does not write PEM.
    let judge = if algorithm == "Ed25519" { "; cp m.pub f.pub" } else { "" };
    let make = |form, protection: &str, code: String, verdict| {
        row(Tool::OpenSsl, form, algorithm, protection, format!("{code}{judge}"), verdict)
    };
    let plain = Verdict::Plain(KeyFormat::Pkcs8);
    let bag = "openssl pkcs12 -export -inkey m -nocerts -passout env:P -out b
        openssl pkcs12 -in b -nodes -passin env:P -out f";
    let mut rows = vec![
        make("PKCS#8", "none", "openssl pkcs8 -topk8 -nocrypt -in m -out f".into(), plain),
        make("PKCS#8, bag attributes", "none", bag.into(), plain),
    ];
    rows.extend(PKCS8_SCHEMES.iter().map(|(options, protection)| {
        let encrypted = Verdict::Encrypted(KeyFormat::Pkcs8);
        make("PKCS#8", protection, encrypt(options), encrypted)
    }));
    rows
}

fn encrypt(options: &str) -> String {
    format!("openssl pkcs8 -topk8 -in m -provider legacy -provider default {options} -passout env:P -out f")
}

fn pseudorandom_functions() -> Vec<Row> {
    let ciphers = ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des3"];
    let mut rows = Vec::new();
    for prf in ["SHA1", "SHA224", "SHA384", "SHA512"] {
        for cipher in ciphers {
            let protection = format!("{cipher}, PBKDF2 HMAC-{prf}");
            let code = encrypt(&format!("-v2 {cipher} -v2prf hmacWith{prf}"));
            let verdict = Verdict::Encrypted(KeyFormat::Pkcs8);
            rows.push(row(Tool::OpenSsl, "PKCS#8", "ECDSA P-256", &protection, code, verdict));
        }
    }
    rows
}

fn puttygen(algorithm: &'static str) -> Vec<Row> {
    let make = |form, protection: &str, options: &str, verdict| {
        let code = format!("puttygen k -O private -o p; puttygen p {options} -o f");
        row(Tool::PuttyGen, form, algorithm, protection, code, verdict)
    };
    let plain = "-C again -O private --ppk-param version";
    let encrypted = "-P -O private --new-passphrase pass --ppk-param version";
    let mut rows = vec![
        make("PPK 2", "none", &format!("{plain}=2"), Verdict::Plain(KeyFormat::Ppk2)),
        make("PPK 3", "none", &format!("{plain}=3"), Verdict::Plain(KeyFormat::Ppk3)),
        make("PPK 2", "aes256-cbc, SHA-1", &format!("{encrypted}=2"), Verdict::Encrypted(KeyFormat::Ppk2)),
        make("PPK 3", "its default", &format!("{encrypted}=3"), Verdict::Encrypted(KeyFormat::Ppk3)),
    ];
    for kdf in ["argon2i", "argon2d", "argon2id"] {
        let options = format!("{encrypted}=3,kdf={kdf},memory=1024,passes=2,parallelism=2");
        let protection = format!("aes256-cbc, {kdf}");
        rows.push(make("PPK 3", &protection, &options, Verdict::Encrypted(KeyFormat::Ppk3)));
    }
    let (name, format) = match algorithm {
        "Ed25519" => ("OpenSSH", KeyFormat::OpenSsh),
        other => legacy(other),
    };
    let old = if name == "OpenSSH" { "aes256-cbc, bcrypt" } else { "DES-EDE3-CBC, DEK-Info MD5" };
    let with = "--new-passphrase pass";
    rows.push(make(name, "none", "-O private-openssh", Verdict::Plain(format)));
    rows.push(make(name, old, &format!("-O private-openssh {with}"), Verdict::Encrypted(format)));
    let encrypted = Verdict::Encrypted(KeyFormat::OpenSsh);
    rows.push(make("OpenSSH", "aes256-cbc, bcrypt", &format!("-O private-openssh-new {with}"), encrypted));
    rows
}

fn dropbear(algorithm: &'static str) -> Option<Row> {
    let options = match algorithm {
        "Ed25519" => "ed25519",
        "ECDSA P-256" => "ecdsa -s 256",
        "ECDSA P-384" => "ecdsa -s 384",
        "ECDSA P-521" => "ecdsa -s 521",
        _ => "rsa -s 2048",
    };
    let code = format!(
        "rm -f d; dropbearkey -t {options} -f d; dropbearconvert dropbear openssh d f
         dropbearkey -y -f d | grep -e ^ssh -e ^ecdsa >f.pub"
    );
    Some(row(Tool::Dropbear, "OpenSSH", algorithm, "none", code, Verdict::Plain(KeyFormat::OpenSsh)))
}

fn odd_ones() -> Vec<Row> {
    let openssl = |algorithm, options: &str| {
        let code = format!(
            "openssl genpkey -algorithm RSA {options} -out f; chmod 600 f; ssh-keygen -y -f f >f.pub"
        );
        row(Tool::OpenSsl, "PKCS#8", algorithm, "none", code, Verdict::Plain(KeyFormat::Pkcs8))
    };
    vec![
        openssl("RSA 3072", "-pkeyopt rsa_keygen_bits:3072"),
        openssl("RSA 2049", "-pkeyopt rsa_keygen_bits:2049"),
        openssl("RSA 2048, e = 3", "-pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3"),
    ]
}
