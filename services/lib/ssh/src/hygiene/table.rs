//! Every algorithm that we know, and what we think of it.
//!
//! Invariant: a name stands in one row of its kind at most, and what stands in none is said to be unknown.

use super::{Kind, Severity};

/// What we think of an algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Also markers that stand among the algorithms.
    Good,
    /// A good key exchange that a quantum computer does not undo.
    PostQuantum,
    Flawed {
        severity: Severity,
        reason: &'static str,
        remedy: &'static str,
    },
}

/// A name that ends in a star stands for all that begin so: with GSS the mechanism follows.
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) verdict: Verdict,
    pub(super) names: &'static [&'static str],
}

pub(super) fn verdict(kind: Kind, name: &str) -> Verdict {
    let is = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *pattern,
    };
    let row = TABLE.iter().find(|row| row.kind == kind && row.names.iter().any(is));
    row.map_or(UNKNOWN, |row| row.verdict)
}

const UNKNOWN: Verdict = Verdict::Flawed {
    severity: Severity::Note,
    reason: "This algorithm is not known to Keywright.",
    remedy: "Ask the server's vendor what it is; take it out if nobody needs it.",
};

const fn good(kind: Kind, names: &'static [&'static str]) -> Row {
    Row { kind, verdict: Verdict::Good, names }
}

const fn note(kind: Kind, reason: &'static str, remedy: &'static str, names: &'static [&'static str]) -> Row {
    Row { kind, verdict: Verdict::Flawed { severity: Severity::Note, reason, remedy }, names }
}

const fn weak(kind: Kind, reason: &'static str, names: &'static [&'static str]) -> Row {
    flawed(kind, Severity::Weak, reason, names)
}

const fn broken(kind: Kind, reason: &'static str, names: &'static [&'static str]) -> Row {
    flawed(kind, Severity::Broken, reason, names)
}

const fn flawed(kind: Kind, severity: Severity, reason: &'static str, names: &'static [&'static str]) -> Row {
    Row { kind, verdict: Verdict::Flawed { severity, reason, remedy: removal(kind) }, names }
}

const fn removal(kind: Kind) -> &'static str {
    match kind {
        Kind::KeyExchange => {
            "Take it out of KexAlgorithms in sshd_config; with Dropbear, out of localoptions.h when it is built."
        }
        Kind::HostKey => {
            "Take it out of HostKeyAlgorithms in sshd_config and have an Ed25519 host key; an RSA key goes on with \
             rsa-sha2-512 and rsa-sha2-256."
        }
        Kind::Cipher => {
            "Take it out of Ciphers in sshd_config; with Dropbear, out of localoptions.h when it is built."
        }
        Kind::Mac | Kind::Server => {
            "Take it out of MACs in sshd_config, where what ends in -etm@openssh.com is enough; with Dropbear, out of \
             localoptions.h when it is built."
        }
    }
}

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    // Key exchange.
    Row { kind: Kind::KeyExchange, verdict: Verdict::PostQuantum, names: &[
        "mlkem768x25519-sha256", "mlkem768nistp256-sha256", "mlkem1024nistp384-sha384",
        "sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com",
    ] },
    good(Kind::KeyExchange, &[
        "curve25519-sha256", "curve25519-sha256@libssh.org", "curve448-sha512", "curve448-sha512@libssh.org",
        "diffie-hellman-group-exchange-sha256", "diffie-hellman-group15-sha512", "diffie-hellman-group16-sha512",
        "diffie-hellman-group17-sha512", "diffie-hellman-group18-sha512", "diffie-hellman-group16-sha512@ssh.com",
        "diffie-hellman-group18-sha512@ssh.com", "diffie-hellman-group15-sha256", "diffie-hellman-group16-sha256",
        "gss-curve25519-sha256-*", "gss-curve448-sha512-*", "gss-gex-sha256-*", "gss-group15-sha512-*",
        "gss-group16-sha512-*", "gss-group17-sha512-*", "gss-group18-sha512-*",
        "ext-info-s", "ext-info-c", "kex-strict-s-v00@openssh.com", "kex-strict-c-v00@openssh.com",
        "kexguess2@matt.ucc.asn.au",
    ]),
    note(Kind::KeyExchange, "No weakness is known, but where the curve's constants come from was never explained.",
        "Nothing has to change; curve25519-sha256 and the post-quantum exchanges on X25519 do without.", &[
        "ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "ecdh-sha2-1.2.840.10045.3.1.7",
        "ecdh-sha2-1.3.132.0.34", "ecdh-sha2-1.3.132.0.35",
        "gss-nistp256-sha256-*", "gss-nistp384-sha256-*", "gss-nistp384-sha384-*", "gss-nistp521-sha512-*",
    ]),
    note(Kind::KeyExchange, "Its 2048-bit group has a strength of about 112 bits, the least that is still recommended.",
        "Prefer diffie-hellman-group16-sha512 or curve25519-sha256; take this one out once no old client needs it.",
        &["diffie-hellman-group14-sha256", "diffie-hellman-group14-sha256@ssh.com", "gss-group14-sha256-*"]),
    note(Kind::KeyExchange, "An early draft of a post-quantum exchange, since replaced by others.",
        "Update the SSH server; mlkem768x25519-sha256 is what became of it.", &[
        "sntrup4591761x25519-sha512@tinyssh.org", "x25519-kyber-512r3-sha256-d00@amazon.com",
        "x25519-kyber512-sha512@aws.amazon.com", "ecdh-nistp256-kyber-512r3-sha256-d00@openquantumsafe.org",
        "ecdh-nistp384-kyber-768r3-sha384-d00@openquantumsafe.org",
        "ecdh-nistp521-kyber-1024r3-sha512-d00@openquantumsafe.org",
    ]),
    weak(Kind::KeyExchange, "It seals the exchange with SHA-1, for which collisions can be computed.", &[
        "diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1", "gss-group14-sha1-*", "gss-gex-sha1-*",
        "kexAlgoDH14SHA1",
    ]),
    weak(Kind::KeyExchange, "Its curve has fewer than 256 bits, less margin than is expected today.", &[
        "ecdh-sha2-nistp192", "ecdh-sha2-nistp224", "ecdh-sha2-nistk163", "ecdh-sha2-nistk233", "ecdh-sha2-nistb233",
        "ecdh-sha2-1.2.840.10045.3.1.1", "ecdh-sha2-1.3.132.0.1", "ecdh-sha2-1.3.132.0.26", "ecdh-sha2-1.3.132.0.27",
        "ecdh-sha2-1.3.132.0.33",
    ]),
    weak(Kind::KeyExchange, "Hardly anybody outside one country or one product has examined it.", &[
        "ecdh-sha2-nistk283", "ecdh-sha2-nistk409", "ecdh-sha2-nistb409", "ecdh-sha2-nistt571", "ecmqv-sha2",
        "sm2kep-sha2-nistp256", "m383-sha384@libassh.org", "m511-sha512@libassh.org",
    ]),
    weak(Kind::KeyExchange, "Its RSA key may serve many sessions, all of which are open to whoever gets that key.",
        &["rsa2048-sha256"]),
    broken(Kind::KeyExchange, "Its 1024 bits can be overcome by somebody with much computing power, also afterwards.", &[
        "diffie-hellman-group1-sha1", "diffie-hellman-group1-sha256", "gss-group1-sha1-*", "rsa1024-sha1",
        "kexAlgoDH1SHA1",
    ]),

    // How the server proves that it holds its host key.
    good(Kind::HostKey, &[
        "ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519@openssh.com",
        "sk-ssh-ed25519-cert-v01@openssh.com", "ssh-ed448", "rsa-sha2-512", "rsa-sha2-256",
        "rsa-sha2-512-cert-v01@openssh.com", "rsa-sha2-256-cert-v01@openssh.com", "x509v3-rsa2048-sha256",
        "ssh-mldsa44-ed25519@openssh.com", "ssh-mldsa-44", "ssh-mldsa-65", "ssh-mldsa-87",
    ]),
    note(Kind::HostKey, "No weakness is known, but each signature needs good random numbers, or it reveals the key.",
        "Nothing has to change; an Ed25519 host key (HostKey in sshd_config) does without random numbers.", &[
        "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "ecdsa-sha2-nistp384-cert-v01@openssh.com", "ecdsa-sha2-nistp521-cert-v01@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com", "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "webauthn-sk-ecdsa-sha2-nistp256@openssh.com", "webauthn-sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "x509v3-ecdsa-sha2-nistp256", "x509v3-ecdsa-sha2-nistp384", "x509v3-ecdsa-sha2-nistp521",
    ]),
    weak(Kind::HostKey, "It signs with SHA-1, for which collisions can be computed.", &[
        "ssh-rsa", "ssh-rsa-cert-v00@openssh.com", "ssh-rsa-cert-v01@openssh.com", "x509v3-ssh-rsa", "x509v3-sign-rsa",
        "x509v3-sign-rsa-sha1",
    ]),
    weak(Kind::HostKey, "Its curve has fewer than 256 bits, less margin than is expected today.", &[
        "ecdsa-sha2-nistp192", "ecdsa-sha2-nistp224", "ecdsa-sha2-nistk163", "ecdsa-sha2-nistk233",
        "ecdsa-sha2-nistb233",
    ]),
    weak(Kind::HostKey, "Hardly anybody outside one country or one product has examined it.", &[
        "ecdsa-sha2-nistk283", "ecdsa-sha2-nistk409", "ecdsa-sha2-nistb409", "ecdsa-sha2-nistt571", "ssh-gost2001",
        "ssh-gost2012-256", "ssh-gost2012-512", "eddsa-e382-shake256@libassh.org", "eddsa-e521-shake256@libassh.org",
    ]),
    broken(Kind::HostKey, "DSA keys of 1024 bits can be overcome, and one bad random number in a signature reveals them.", &[
        "ssh-dss", "ssh-dsa", "ssh-dss-cert-v00@openssh.com", "ssh-dss-cert-v01@openssh.com", "ssh-dss-sha224@ssh.com",
        "ssh-dss-sha256@ssh.com", "ssh-dss-sha384@ssh.com", "ssh-dss-sha512@ssh.com", "x509v3-ssh-dss",
        "x509v3-sign-dss", "x509v3-sign-dss-sha1", "x509v3-sign-dss-sha224@ssh.com", "x509v3-sign-dss-sha256@ssh.com",
        "x509v3-sign-dss-sha384@ssh.com", "x509v3-sign-dss-sha512@ssh.com", "pgp-sign-dss", "spki-sign-dss",
    ]),
    broken(Kind::HostKey, "The server does not prove who it is.", &["null"]),

    // Ciphers.
    good(Kind::Cipher, &[
        "chacha20-poly1305@openssh.com", "chacha20-poly1305", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com",
        "aes128-gcm", "aes256-gcm", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM", "aes128-ctr", "aes192-ctr", "aes256-ctr",
        "camellia128-ctr", "camellia192-ctr", "camellia256-ctr", "camellia128-ctr@openssh.org",
        "camellia192-ctr@openssh.org", "camellia256-ctr@openssh.org", "twofish128-ctr", "twofish192-ctr",
        "twofish256-ctr",
    ]),
    weak(Kind::Cipher, "CBC mode lets somebody on the path learn pieces of the plain text from the server's reactions.", &[
        "aes128-cbc", "aes192-cbc", "aes256-cbc", "rijndael-cbc@lysator.liu.se", "rijndael-cbc@ssh.com",
        "rijndael128-cbc", "rijndael192-cbc", "rijndael256-cbc", "camellia128-cbc", "camellia192-cbc",
        "camellia256-cbc", "camellia128-cbc@openssh.org", "camellia192-cbc@openssh.org",
        "camellia256-cbc@openssh.org", "serpent128-cbc", "serpent192-cbc", "serpent256-cbc", "seed-cbc@ssh.com",
        "twofish-cbc", "twofish128-cbc", "twofish192-cbc", "twofish256-cbc",
    ]),
    weak(Kind::Cipher, "Hardly anybody outside one country or one product has examined it in SSH.", &[
        "seed-ctr@ssh.com", "serpent128-ctr", "serpent192-ctr", "serpent256-ctr", "serpent128-gcm@libassh.org",
        "serpent256-gcm@libassh.org", "grasshopper-ctr128", "crypticore128@ssh.com",
    ]),
    broken(Kind::Cipher, "Its 64-bit blocks repeat in a long session, which gives away what was encrypted (Sweet32).", &[
        "3des-cbc", "3des-ctr", "3des-cfb", "3des-ofb", "3des-ecb", "3des", "blowfish-cbc", "blowfish-ctr",
        "blowfish-cfb", "blowfish-ofb", "blowfish-ecb", "blowfish", "cast128-cbc", "cast128-ctr", "cast128-cfb",
        "cast128-ofb", "cast128-ecb", "cast128-12-cbc", "cast128-12-cbc@ssh.com",
        "cast128-12-cfb", "cast128-12-ofb", "cast128-12-ecb", "idea-cbc", "idea-ctr", "idea-cfb",
        "idea-ofb", "idea-ecb",
    ]),
    broken(Kind::Cipher, "RC4 leaves patterns in what it encrypts, from which parts of the plain text were recovered.",
        &["arcfour", "arcfour128", "arcfour256"]),
    broken(Kind::Cipher, "A key of 56 bits is found by trying them all.",
        &["des", "des-cbc", "des-cfb", "des-ofb", "des-ecb", "des-cbc-ssh1", "des-cbc@ssh.com"]),
    broken(Kind::Cipher, "Nothing is encrypted.", &["none"]),

    // Message authentication; ciphers with their own (GCM, Poly1305) do not use it.
    good(Kind::Mac, &[
        "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "umac-128-etm@openssh.com",
        "AEAD_AES_128_GCM", "AEAD_AES_256_GCM", "aes128-gcm", "aes256-gcm", "chacha20-poly1305@openssh.com",
    ]),
    weak(Kind::Mac, "It authenticates the plain text beside the cipher (encrypt-and-MAC): what comes is decrypted unchecked.", &[
        "hmac-sha2-224", "hmac-sha2-256", "hmac-sha2-384", "hmac-sha2-512", "hmac-sha256", "hmac-sha512",
        "hmac-sha256@ssh.com", "hmac-sha256-2@ssh.com", "hmac-sha384@ssh.com", "hmac-sha512@ssh.com", "hmac-sha3-224",
        "hmac-sha3-256", "hmac-sha3-384", "hmac-sha3-512", "hmac-whirlpool", "umac-128", "umac-128@openssh.com",
    ]),
    weak(Kind::Mac, "Its tag has 96 bits or fewer, so that a forged packet passes by luck sooner than it should.", &[
        "umac-32@openssh.com", "umac-64@openssh.com", "umac-64-etm@openssh.com", "umac-96@openssh.com",
        "hmac-sha2-256-96", "hmac-sha2-512-96", "hmac-sha2-256-96-etm@openssh.com",
        "hmac-sha2-512-96-etm@openssh.com", "hmac-sha256-96", "hmac-sha256-96@ssh.com",
    ]),
    weak(Kind::Mac, "SHA-1 is broken as a hash; within HMAC it still holds, but without much margin.", &[
        "hmac-sha1", "hmac-sha1-96", "hmac-sha1-96@openssh.com", "hmac-sha1-etm@openssh.com",
        "hmac-sha1-96-etm@openssh.com",
    ]),
    weak(Kind::Mac, "It rests on RIPEMD, which hardly anybody has examined in the last years.", &[
        "hmac-ripemd", "hmac-ripemd160", "hmac-ripemd160-96", "hmac-ripemd160@openssh.com",
        "hmac-ripemd160-etm@openssh.com",
    ]),
    broken(Kind::Mac, "It rests on MD5, which has been broken as a hash for twenty years.",
        &["hmac-md5", "hmac-md5-96", "hmac-md5-etm@openssh.com", "hmac-md5-96-etm@openssh.com"]),
    broken(Kind::Mac, "A bare hash or a block cipher of old times in place of a construction that is made for this.", &[
        "md5", "md5-8", "sha1", "sha1-8", "ripemd160", "ripemd160-8", "cbcmac-des", "cbcmac-3des", "cbcmac-blowfish",
        "cbcmac-twofish", "cbcmac-rijndael", "cbcmac-aes",
    ]),
    weak(Kind::Mac, "Hardly anybody outside one product has examined it.", &["crypticore-mac@ssh.com"]),
    broken(Kind::Mac, "Nobody notices when packets are changed on the way.", &["none"]),
];
