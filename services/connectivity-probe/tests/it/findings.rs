//! What a test finds on real hosts, with a one-time key.

use crate::rig::{World, assert_failed_at, assert_healthy, check, fingerprints, with_alice};
use keywright_kit::{HostOptions, KeyType, TestHost, free_port, keygen};
use keywright_proto::probe::{CheckStatus, CreateConnectivityTestRequest, OneTimeCredential};

async fn openssh() -> TestHost {
    TestHost::openssh(HostOptions::default()).await.unwrap()
}

/// Gives the account another login shell.
fn set_shell(host: &TestHost, user: &str, shell: &str) {
    let passwd = host.outside("/etc/passwd");
    let text = std::fs::read_to_string(&passwd).unwrap();
    let line = |line: &str| match line.rsplit_once(':') {
        Some((head, _)) if line.starts_with(&format!("{user}:")) => format!("{head}:{shell}\n"),
        _ => format!("{line}\n"),
    };
    std::fs::write(passwd, text.lines().map(line).collect::<String>()).unwrap();
}

#[tokio::test]
async fn a_working_login_is_healthy_on_every_kind_of_host() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    for host in [
        openssh().await,
        TestHost::dropbear(HostOptions::default()).await.unwrap(),
        TestHost::dropbear(HostOptions::default().busybox()).await.unwrap(),
    ] {
        let host = with_alice(host, &key.public_line());
        let server = world.register(&host, &host.host_keys());
        let test = world.test_once(&server, &key, "alice").await;
        assert_healthy(&test);
        assert!(
            test.id.starts_with("ctest_") && test.server_id == server.id && test.credential_id.is_empty()
        );
        assert_eq!(check(&test, "key").metadata["fingerprint"], key.fingerprint().await);
        assert_eq!(check(&test, "tcp").metadata["address"], format!("127.0.0.1:{}", host.port()));
        let shown = &check(&test, "host-key").metadata["fingerprint"];
        assert!(fingerprints(&host.host_keys()).contains(shown));

        let facts = &check(&test, "runtime").metadata;
        assert_eq!(facts["architecture"], std::env::consts::ARCH);
        assert_eq!((facts["loginShell"].as_str(), facts["clockSkewSeconds"].as_str()), ("/bin/sh", "0"));
        assert!(facts["kernel"].starts_with("Linux ") && !facts["os"].is_empty());
        for number in ["cpus", "memoryBytes", "freeDiskBytes", "uptimeSeconds"] {
            assert!(facts[number].parse::<u64>().is_ok_and(|n| n > 0), "{number}: {}", facts[number]);
        }
        assert!(check(&test, "handshake").metadata["serverVersion"].contains(&facts["sshdVersion"]));
        assert!(facts.contains_key("passwordlessSudo") && facts.contains_key("containerRuntime"));
        // Nothing else was asked of the store than the server, and nobody else signed.
        assert!(world.store.signed().is_empty());
    }
}

#[tokio::test]
async fn a_server_that_allows_one_session_at_a_time_is_healthy() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let options = HostOptions::default().config("MaxSessions 1");
    let host = with_alice(TestHost::openssh(options).await.unwrap(), &key.public_line());
    let server = world.register(&host, &host.host_keys());
    for _ in 0..8 {
        assert_healthy(&world.test_once(&server, &key, "alice").await);
    }
}

#[tokio::test]
async fn an_unknown_host_key_stops_before_any_authentication_and_shows_what_to_approve() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let host = with_alice(openssh().await, &key.public_line());
    let server = world.register(&host, &[]);
    let test = world.test_once(&server, &key, "alice").await;
    assert_failed_at(&test, "host-key", "HOST_KEY_UNKNOWN");
    let mut shown: Vec<String> =
        check(&test, "host-key").metadata["fingerprints"].split(", ").map(str::to_owned).collect();
    let mut real = fingerprints(&host.host_keys());
    shown.sort();
    real.sort();
    assert_eq!(shown, real);
    assert!(!host.log().contains("alice"), "{}", host.log());
}

#[tokio::test]
async fn a_changed_host_key_fails_closed_with_both_fingerprints() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let mut host = with_alice(openssh().await, &key.public_line());
    let server = world.register(&host, &host.host_keys()[..1]);
    let before = fingerprints(&host.host_keys());
    host.replace_host_keys().await;
    let test = world.test_once(&server, &key, "alice").await;
    assert_failed_at(&test, "host-key", "HOST_KEY_MISMATCH");
    let facts = &check(&test, "host-key").metadata;
    assert_eq!(facts["pinned"], before[0]);
    assert!(fingerprints(&host.host_keys()).contains(&facts["presented"]));
    assert!(!host.log().contains("alice"), "{}", host.log());
}

#[tokio::test]
async fn a_server_of_which_other_keys_are_pinned_fails_closed_with_all_fingerprints() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let (host, other) = (with_alice(openssh().await, &key.public_line()), openssh().await);
    let server = world.register(&host, &other.host_keys());
    let test = world.test_once(&server, &key, "alice").await;
    assert_failed_at(&test, "host-key", "HOST_KEY_MISMATCH");
    let facts = &check(&test, "host-key").metadata;
    assert_eq!(facts["pinned"].split(", ").collect::<Vec<_>>(), fingerprints(&other.host_keys()));
    assert!(fingerprints(&host.host_keys()).contains(&facts["presented"]));
    assert!(!host.log().contains("alice"), "{}", host.log());
}

#[tokio::test]
async fn a_closed_port_refuses_and_a_forbidden_address_is_not_dialled() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let port = free_port().unwrap();
    let server = world.register_at("127.0.0.1", port.number(), &[]);
    assert_failed_at(&world.test_once(&server, &key, "alice").await, "tcp", "CONNECTION_REFUSED");
    let server = world.register_at("169.254.169.254", 22, &[]);
    assert_failed_at(&world.test_once(&server, &key, "alice").await, "dns", "TARGET_NOT_ALLOWED");
}

#[tokio::test]
async fn a_wrong_key_or_user_is_rejected() {
    let world = World::new().await;
    let (key, other) =
        (keygen(KeyType::Ed25519, "").await.unwrap(), keygen(KeyType::EcdsaP256, "").await.unwrap());
    for host in [openssh().await, TestHost::dropbear(HostOptions::default()).await.unwrap()] {
        let host = with_alice(host, &key.public_line());
        let server = world.register(&host, &host.host_keys());
        for test in [
            world.test_once(&server, &other, "alice").await,
            world.test_once(&server, &key, "nobody-here").await,
        ] {
            assert_failed_at(&test, "authentication", "AUTHENTICATION_REJECTED");
        }
    }
}

#[tokio::test]
async fn what_stands_in_for_a_shell_is_named() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let host = with_alice(openssh().await, &key.public_line());
    let server = world.register(&host, &host.host_keys());
    // The second knows the fixed question of the transport, the third prints what was asked for.
    for command in ["echo hello", "echo keywright-42", r#"echo \"$SSH_ORIGINAL_COMMAND\""#] {
        host.write_authorized_keys("alice", format!("command=\"{command}\" {}\n", key.public_line()));
        let test = world.test_once(&server, &key, "alice").await;
        assert_failed_at(&test, "session", "FORCED_COMMAND");
    }
    host.write_authorized_keys("alice", key.public_line());
    set_shell(&host, "alice", "/usr/sbin/nologin");
    assert_failed_at(&world.test_once(&server, &key, "alice").await, "session", "NOLOGIN");
}

#[tokio::test]
async fn a_server_that_opens_no_session_is_told_from_one_without_facts() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let options = HostOptions::default().config("MaxSessions 0");
    let host = with_alice(TestHost::openssh(options).await.unwrap(), &key.public_line());
    let server = world.register(&host, &host.host_keys());
    assert_failed_at(&world.test_once(&server, &key, "alice").await, "session", "SESSION_REFUSED");

    let host = with_alice(openssh().await, &key.public_line());
    let server = world.register(&host, &host.host_keys());
    let shell = host.home("alice").join("shell");
    std::fs::write(&shell, "#!/bin/sh\ncase \"$2\" in *' -s') exit 3 ;; esac\nexec /bin/sh \"$@\"\n")
        .unwrap();
    host.exec(&["chmod", "755", "/home/alice/shell", "/home/alice"]).await.success();
    set_shell(&host, "alice", "/home/alice/shell");
    let test = world.test_once(&server, &key, "alice").await;
    assert_failed_at(&test, "runtime", "RUNTIME_UNREADABLE");
    let facts = &check(&test, "runtime").metadata;
    assert!(facts["missing"].contains("memoryBytes") && facts.contains_key("sshdVersion"), "{facts:?}");
}

#[tokio::test]
async fn an_encrypted_key_needs_its_passphrase_and_without_it_nobody_is_contacted() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "correct horse").await.unwrap();
    let host = with_alice(openssh().await, &key.public_line());
    let server = world.register(&host, &host.host_keys());
    let with = |passphrase: &str| CreateConnectivityTestRequest {
        server_id: server.id.clone(),
        one_time: Some(OneTimeCredential {
            private_key: key.private_text(),
            passphrase: passphrase.to_owned(),
            username: "alice".to_owned(),
        }),
        ..Default::default()
    };
    let test = world.test(with("")).await.unwrap();
    assert_failed_at(&test, "passphrase", "PASSPHRASE_REQUIRED");
    assert_failed_at(&world.test(with("wrong")).await.unwrap(), "passphrase", "PASSPHRASE_INCORRECT");
    assert!(!host.log().contains("Connection from"), "{}", host.log());
    let test = world.test(with("correct horse")).await.unwrap();
    assert_healthy(&test);
    assert!(host.log().contains("Connection from"), "{}", host.log());
    assert_eq!(check(&test, "passphrase").status(), CheckStatus::Passed);
}

#[tokio::test]
async fn no_secret_is_kept_or_logged() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "canary passphrase").await.unwrap();
    let host = with_alice(openssh().await, &key.public_line());
    let server = world.register(&host, &host.host_keys());
    let request = CreateConnectivityTestRequest {
        server_id: server.id.clone(),
        one_time: Some(OneTimeCredential {
            private_key: key.private_text(),
            passphrase: "canary passphrase".to_owned(),
            username: "alice".to_owned(),
        }),
        ..Default::default()
    };
    let test = world.test(request).await.unwrap();
    assert_healthy(&test);
    let outcome = world.last_outcome().await;
    assert!(world.is_stored(&test.id), "the search finds what is there");
    let said = format!("{test:?} {:?} {outcome:?} {:?}", world.log.intents(), world.store.recorded());
    let text = key.private_text();
    for secret in text.lines().skip(1).take(3).chain(["canary passphrase"]) {
        assert!(!world.is_stored(secret) && !said.contains(secret), "{secret} was found");
    }
}
