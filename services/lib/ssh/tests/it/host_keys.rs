//! Host keys: the three verdicts, the scan, and which addresses are dialled at all.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use keywright_domain::key::{KeyAlgorithm, PublicKey};
use keywright_ssh::{Dialer, FailureCode, Greeted, HostKeyVerdict, Stage, Target, TargetRules, Timeouts};

use crate::hosts::{Host, dialer, dropbear, key, openssh, openssh_with_keys, root, rules};

async fn greet(host: &Host, pins: &[PublicKey]) -> Greeted {
    let dialer = dialer();
    let resolved = dialer.resolve(&host.target()).await.unwrap().value;
    let dialed = dialer.dial(&resolved).await.unwrap().value;
    dialer.handshake(dialed, pins).await.unwrap().value
}

fn prints(keys: &[PublicKey]) -> BTreeSet<String> {
    keys.iter().map(|k| k.fingerprint().to_string()).collect()
}

#[tokio::test]
async fn a_pinned_key_of_any_kind_is_recognised() {
    for host in [openssh(&[], ""), dropbear(&[])] {
        assert_eq!(host.host_keys.len(), 3);
        for pin in &host.host_keys {
            let greeted = greet(&host, std::slice::from_ref(pin)).await;
            assert_eq!(*greeted.verdict(), HostKeyVerdict::Pinned);
            assert_eq!(greeted.host_key(), pin, "the server was asked for the kind that is pinned");
            let agreed = greeted.key_exchange().unwrap();
            assert!(agreed.kex.starts_with("curve25519-sha256") && !agreed.post_quantum, "{agreed:?}");
            assert!(greeted.verify().is_ok());
        }
    }
}

#[tokio::test]
async fn an_unpinned_server_is_unknown_and_goes_no_further() {
    let host = openssh(&[], "");
    let greeted = greet(&host, &[]).await;
    let shown = greeted.host_key().fingerprint();
    assert!(host.host_keys.iter().any(|k| k.fingerprint() == shown));
    assert_eq!(*greeted.verdict(), HostKeyVerdict::Unknown { presented: shown.clone() });
    let failure = greeted.verify().err().unwrap();
    assert_eq!((failure.code, failure.stage), (FailureCode::HostKeyUnknown, Stage::HostKey));
    assert_eq!(failure.fact("presented"), Some(shown.as_str()));
}

#[tokio::test]
async fn another_key_is_a_mismatch_with_both_fingerprints_and_no_login_is_tried() {
    let login = key("ed25519");
    let host = openssh(&[("", login.public())], "");
    let foreign = key("ecdsa").public().clone();
    let error =
        dialer().connect(&host.target(), std::slice::from_ref(&foreign), &root(login)).await.err().unwrap();
    let failure = error.failure().unwrap();
    assert_eq!((failure.code, failure.stage), (FailureCode::HostKeyMismatch, Stage::HostKey));
    assert_eq!(failure.fact("pinned"), Some(foreign.fingerprint().as_str()));
    assert!(prints(&host.host_keys).contains(failure.fact("presented").unwrap()));
    let log = host.log_with("Connection closed by").await;
    assert!(!log.contains("Accepted") && !log.contains("root"), "{log}");
}

#[tokio::test]
async fn a_scan_finds_every_key() {
    for host in [openssh(&[], ""), dropbear(&[])] {
        let found = dialer().scan_host_keys(&host.target()).await.unwrap().keys;
        assert_eq!(prints(&found), prints(&host.host_keys));
        assert_eq!(found[0].algorithm(), KeyAlgorithm::Ed25519);
    }
}

#[tokio::test]
async fn a_scan_leaves_out_what_is_too_weak_to_pin() {
    let host = openssh_with_keys(&[], "", &[("ecdsa", "521"), ("rsa", "1024")]);
    let found = dialer().scan_host_keys(&host.target()).await.unwrap().keys;
    assert_eq!(found.iter().map(PublicKey::algorithm).collect::<Vec<_>>(), [KeyAlgorithm::EcdsaP521]);
    let weak_only = openssh_with_keys(&[], "", &[("rsa", "1024")]);
    let failure = dialer().scan_host_keys(&weak_only.target()).await.unwrap_err().failure().cloned().unwrap();
    assert_eq!(failure.code, FailureCode::NoCommonAlgorithm);
}

#[tokio::test]
async fn a_server_with_nothing_in_common_says_what_is_missing() {
    let host = openssh(&[], "KexAlgorithms diffie-hellman-group14-sha1");
    let failure = dialer().scan_host_keys(&host.target()).await.unwrap_err().failure().cloned().unwrap();
    assert_eq!(failure.code, FailureCode::NoCommonAlgorithm);
    assert_eq!(failure.fact("missing"), Some("key exchange"));
}

#[tokio::test]
async fn forbidden_targets_are_never_dialled() {
    let own: SocketAddr = "127.0.0.1:8480".parse().unwrap();
    let strict = TargetRules::default();
    let mine = TargetRules { own_listeners: vec![own], ..rules() };
    for (rules, host, port) in [
        (&strict, "127.0.0.1", 22),
        (&strict, "localhost", 22),
        (&strict, "[::1]", 22),
        (&strict, "0x7f000001", 22),
        (&mine, "169.254.169.254", 80),
        (&mine, "127.0.0.1", 8480),
        (&mine, "::ffff:127.0.0.1", 8480),
    ] {
        let dialer = Dialer::new(Arc::new(rules.clone()), Timeouts::default());
        let failure = dialer.resolve(&Target::new(host, port)).await.unwrap_err();
        assert_eq!((failure.code, failure.stage), (FailureCode::TargetNotAllowed, Stage::Dns), "{host}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_not_resolved() {
    let failure = dialer().resolve(&Target::new("no-such-host.invalid", 22)).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::HostResolutionFailed);
}

#[tokio::test]
async fn a_listener_on_every_address_is_found_out_by_the_connection() {
    let host = openssh(&[], "");
    let dialer_of = |own: &str| {
        let rules = TargetRules { own_listeners: vec![own.parse().unwrap()], ..rules() };
        Dialer::new(Arc::new(rules), Timeouts::default())
    };
    // Resolved under rules that do not know it yet, dialled under rules that do.
    let resolved = dialer().resolve(&host.target()).await.unwrap().value;
    let failure = dialer_of(&format!("0.0.0.0:{}", host.port))
        .dial(&resolved)
        .await
        .unwrap_err()
        .failure()
        .cloned()
        .unwrap();
    assert_eq!(failure.code, FailureCode::TargetNotAllowed);
    assert!(dialer_of("0.0.0.0:1").dial(&resolved).await.is_ok());
}
