use std::collections::BTreeSet;

use keywright_domain::host::KnownHost;

use super::*;
use table::TABLE;

/// A server without a fault, which each test spoils in one way.
fn spotless() -> AlgorithmOffer {
    let list = |names: &str| names.split(',').map(str::to_owned).collect();
    AlgorithmOffer {
        kex: list("mlkem768x25519-sha256,curve25519-sha256,ext-info-s,kex-strict-s-v00@openssh.com"),
        host_keys: list("ssh-ed25519,rsa-sha2-512"),
        ciphers: list("chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes256-ctr"),
        macs: list("hmac-sha2-512-etm@openssh.com,umac-128-etm@openssh.com"),
        compression: list("none,zlib@openssh.com"),
    }
}

/// The grade and the findings once `spoil` was done to it.
fn spoiled(spoil: impl FnOnce(&mut AlgorithmOffer)) -> (Grade, Vec<(Severity, String)>) {
    let mut offer = spotless();
    spoil(&mut offer);
    let Assessment { grade, findings, .. } = assess(&offer);
    (grade, findings.into_iter().map(|f| (f.severity, f.name)).collect())
}

#[test]
fn nothing_is_found_where_all_is_good() {
    let assessment = assess(&spotless());
    assert_eq!(assessment.grade, Grade::A);
    assert!(assessment.post_quantum && assessment.strict_kex);
    assert_eq!(assessment.findings, []);
}

#[test]
fn one_bad_algorithm_decides_the_grade() {
    use Severity::{Broken, Note, Weak};
    for (kind, name, severity, grade) in [
        (Kind::KeyExchange, "diffie-hellman-group1-sha1", Broken, Grade::F),
        (Kind::KeyExchange, "gss-group1-sha1-toWM5Slw5Ew8Mqkay+al2w==", Broken, Grade::F),
        (Kind::KeyExchange, "diffie-hellman-group14-sha1", Weak, Grade::C),
        (Kind::KeyExchange, "ecdh-sha2-nistp256", Note, Grade::A),
        (Kind::HostKey, "ssh-dss", Broken, Grade::F),
        (Kind::HostKey, "ssh-rsa", Weak, Grade::C),
        (Kind::HostKey, "ecdsa-sha2-nistp256", Note, Grade::A),
        (Kind::Cipher, "none", Broken, Grade::F),
        (Kind::Cipher, "arcfour", Broken, Grade::F),
        (Kind::Cipher, "3des-cbc", Broken, Grade::F),
        (Kind::Cipher, "aes128-cbc", Weak, Grade::C),
        (Kind::Mac, "hmac-md5", Broken, Grade::F),
        (Kind::Mac, "hmac-sha1-etm@openssh.com", Weak, Grade::C),
        (Kind::Mac, "umac-64-etm@openssh.com", Weak, Grade::C),
        (Kind::Mac, "hmac-sha2-256", Weak, Grade::C),
        (Kind::Mac, "home-made@example.org", Note, Grade::A),
    ] {
        let found = spoiled(|offer| {
            let list = match kind {
                Kind::KeyExchange => &mut offer.kex,
                Kind::HostKey => &mut offer.host_keys,
                Kind::Cipher => &mut offer.ciphers,
                Kind::Mac | Kind::Server => &mut offer.macs,
            };
            list.push(name.to_owned());
        });
        assert_eq!(found, (grade, vec![(severity, name.to_owned())]), "{kind:?}");
    }
}

#[test]
fn without_a_post_quantum_exchange_it_is_a_b() {
    let found = spoiled(|offer| offer.kex.retain(|name| !name.starts_with("mlkem")));
    assert_eq!(found, (Grade::B, vec![(Severity::Note, "post-quantum-kex".to_owned())]));
}

#[test]
fn without_the_strict_marker_it_depends_on_the_ciphers() {
    let unmarked = |ciphers: &[&str], macs: &[&str]| {
        let (grade, found) = spoiled(|offer| {
            offer.kex.retain(|name| name != STRICT_KEX);
            offer.ciphers = ciphers.iter().map(|&name| name.to_owned()).collect();
            offer.macs = macs.iter().map(|&name| name.to_owned()).collect();
        });
        (grade, found.iter().any(|(_, name)| name == "strict-kex"))
    };
    let etm = "hmac-sha2-512-etm@openssh.com";
    assert_eq!(unmarked(&["chacha20-poly1305@openssh.com"], &[etm]), (Grade::C, true));
    assert_eq!(unmarked(&["aes128-cbc"], &[etm]), (Grade::C, true));
    assert_eq!(unmarked(&["aes128-cbc"], &["hmac-sha2-512"]), (Grade::C, false));
    assert_eq!(unmarked(&["aes256-gcm@openssh.com", "aes256-ctr"], &[etm]), (Grade::A, false));
}

#[test]
fn compression_before_the_login_is_a_note() {
    let found = spoiled(|offer| offer.compression.push("zlib".to_owned()));
    assert_eq!(found, (Grade::A, vec![(Severity::Note, "zlib".to_owned())]));
}

#[test]
fn the_worst_comes_first() {
    let (_, found) = spoiled(|offer| {
        offer.kex = vec!["ecdh-sha2-nistp256".to_owned()];
        offer.macs = vec!["hmac-sha1".to_owned(), "none".to_owned()];
    });
    let names: Vec<_> = found.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["none", "hmac-sha1", "strict-kex", "ecdh-sha2-nistp256", "post-quantum-kex"]);
}

#[test]
fn the_table_names_everything_once_and_says_what_to_do() {
    let mut seen = BTreeSet::new();
    for row in TABLE {
        for name in row.names {
            assert!(seen.insert((row.kind, name)), "{name} twice");
            assert_eq!(table::verdict(row.kind, name), row.verdict, "{name} is hidden by a row above it");
        }
        if let Verdict::Flawed { reason, remedy, .. } = row.verdict {
            assert!(reason.ends_with('.') && remedy.ends_with('.'), "{reason} {remedy}");
        }
    }
}

#[test]
fn nothing_that_keywright_itself_would_use_is_broken() {
    let ours = crate::algorithms::preferring(&KnownHost::default());
    let offer = AlgorithmOffer {
        kex: ours.kex.iter().map(|name| name.as_ref().to_owned()).collect(),
        host_keys: ours.key.iter().map(ToString::to_string).collect(),
        ciphers: ours.cipher.iter().map(|name| name.as_ref().to_owned()).collect(),
        macs: ours.mac.iter().map(|name| name.as_ref().to_owned()).collect(),
        compression: vec!["none".to_owned()],
    };
    let Assessment { findings, post_quantum, .. } = assess(&offer);
    assert!(post_quantum);
    for finding in findings {
        assert!(finding.severity < Severity::Broken && !finding.reason.contains("not known"), "{finding:?}");
    }
}
