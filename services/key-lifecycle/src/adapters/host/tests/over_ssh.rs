//! The whole way: our own SSH client, OpenSSH's and Dropbear's servers, their own idea of who may log in.

use std::sync::Arc;

use keywright_domain::account::AccountName;
use keywright_domain::clock::Instant;
use keywright_domain::key::{GenerateSpec, PrivateKey, PublicKey};
use keywright_domain::reason::Reason;
use keywright_kit::{HostOptions, KeyType, TestHost, keygen, ssh};
use keywright_ssh::{Dialer, Identity, Session, Target, TargetRules, Timeouts};

use super::super::facts::ServerKind;
use super::super::{Grace, Host, ResidualAccess};
use super::setup::{CLOCK, FOREIGN, reason, wanted};

pub(super) async fn login(host: &TestHost, user: &str) -> Session {
    let key = PrivateKey::generate(GenerateSpec::Ed25519).unwrap();
    let before = host.read_authorized_keys(user).unwrap_or_default();
    host.write_authorized_keys(user, [before, format!("{}\n", key.public().openssh()).into_bytes()].concat());
    enter(host, user, key).await
}

/// With a key that the account has already.
pub(super) async fn enter(host: &TestHost, user: &str, key: PrivateKey) -> Session {
    let pins: Vec<PublicKey> =
        host.host_keys().iter().map(|line| PublicKey::parse_openssh(line).unwrap()).collect();
    let rules = TargetRules { allow_loopback: true, ..TargetRules::default() };
    let dialer = Dialer::new(Arc::new(rules), Timeouts::default());
    let target = Target::new(host.address(), host.port());
    let connected = dialer.connect(&target, &pins, &Identity::one_time(user, key)).await;
    connected.unwrap_or_else(|error| panic!("no login: {error}")).session
}

async fn servers() -> [(TestHost, ServerKind); 3] {
    [
        (TestHost::openssh(HostOptions::default()).await.unwrap(), ServerKind::OpenSsh),
        (TestHost::dropbear(HostOptions::default()).await.unwrap(), ServerKind::Dropbear),
        (TestHost::dropbear(HostOptions::default().busybox()).await.unwrap(), ServerKind::Dropbear),
    ]
}

#[tokio::test]
async fn a_key_is_installed_graced_and_removed() {
    for (host, kind) in servers().await {
        host.add_user("alice");
        host.write_authorized_keys("alice", format!("{FOREIGN}\n"));
        let session = login(&host, "root").await;
        let work = Host::new(&session, &CLOCK);
        let alice = AccountName::parse("alice").unwrap();
        let (old, new) =
            (keygen(KeyType::Ed25519, "").await.unwrap(), keygen(KeyType::Ed25519, "").await.unwrap());
        let key = |pair: &keywright_kit::KeyPair, version| super::setup::key(&pair.public_line(), version);
        let mut goal = wanted(1, vec![key(&old, 1), key(&new, 2)]);
        goal.all_blobs.extend(goal.keys.iter().map(|key| key.public_key.blob().to_vec()).collect::<Vec<_>>());

        let done = work.converge(&alice, &goal).await.unwrap();
        assert_eq!(done.facts.server, kind);
        assert_eq!(done.residual, [ResidualAccess::ForeignKeys(1)]);
        for pair in [&old, &new] {
            assert!(ssh(&host, "alice", &pair.private_file(), "true").await.ok());
        }

        goal.revision = 2;
        let until = Instant::from_secs(CLOCK.now().secs() + 3600);
        goal.keys[0].until = Some(until);
        let done = work.converge(&alice, &goal).await.unwrap();
        let by_sshd = matches!(done.grace[0].by, Grace::Sshd(_));
        assert_eq!(by_sshd, kind == ServerKind::OpenSsh, "{:?}", done.grace);
        assert!(ssh(&host, "alice", &old.private_file(), "true").await.ok());

        // An end that has passed: the server itself refuses.
        goal.revision = 3;
        goal.keys[0].until = Some(Instant::from_secs(CLOCK.now().secs() - 60));
        work.converge(&alice, &goal).await.unwrap();
        assert_eq!(ssh(&host, "alice", &old.private_file(), "true").await.ok(), !by_sshd);

        goal.revision = 4;
        goal.keys.remove(0);
        work.converge(&alice, &goal).await.unwrap();
        assert!(!ssh(&host, "alice", &old.private_file(), "true").await.ok());
        assert!(ssh(&host, "alice", &new.private_file(), "true").await.ok());
        session.close().await;
    }
}

#[tokio::test]
async fn the_configuration_of_the_server_that_serves_us_counts() {
    let options = HostOptions::default()
        .config("Match User alice")
        .config("  AuthorizedKeysFile /etc/ssh/keys.d/%u .ssh/authorized_keys");
    let host = TestHost::openssh(options).await.unwrap();
    host.add_user("alice");
    let session = login(&host, "root").await;
    let work = Host::new(&session, &CLOCK);
    let pair = keygen(KeyType::Ed25519, "").await.unwrap();
    let goal = wanted(1, vec![super::setup::key(&pair.public_line(), 1)]);
    let done = work.converge(&AccountName::parse("alice").unwrap(), &goal).await.unwrap();
    assert_eq!(done.changed, ["/etc/ssh/keys.d/alice"]);
    assert!(ssh(&host, "alice", &pair.private_file(), "true").await.ok());
}

#[tokio::test]
async fn a_login_without_sudo_is_told_and_changes_nothing() {
    for (host, _) in servers().await {
        host.add_user("alice");
        host.add_user("carol");
        let session = login(&host, "carol").await;
        let work = Host::new(&session, &CLOCK);
        let alice = AccountName::parse("alice").unwrap();
        assert_eq!(reason(work.inspect(&alice).await), Reason::SudoUnavailable);
        assert_eq!(reason(work.create_account(&alice).await), Reason::SudoUnavailable);
        assert_eq!(reason(work.converge(&alice, &wanted(1, vec![])).await), Reason::SudoUnavailable);
        assert!(host.read_authorized_keys("alice").is_none());
    }
}

#[tokio::test]
async fn the_session_that_asks_is_spared_when_all_of_its_account_end() {
    let host = TestHost::openssh(HostOptions::default()).await.unwrap();
    let session = login(&host, "root").await;
    let work = Host::new(&session, &CLOCK);
    let root = AccountName::parse("root").unwrap();
    let ended = work.end_sessions(&root, super::super::SessionScope::All).await.unwrap();
    assert_eq!(ended.sessions, super::super::SessionCount::Ended(0));
    assert!(work.inspect(&root).await.is_ok());
}
