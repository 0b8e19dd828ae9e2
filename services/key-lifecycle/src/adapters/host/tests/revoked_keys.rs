//! The file of revoked keys on a real host: sshd itself says what it means.

use keywright_domain::key::PublicKey;
use keywright_domain::krl::{Head, RevokedKeys};
use keywright_domain::reason::Reason;
use keywright_kit::{HostOptions, KeyPair, KeyType, TestHost, keygen, ssh};

use super::super::Host;
use super::super::shell::local::LocalShell;
use super::over_ssh::login;
use super::setup::{CLOCK, reason};

const FILE: &str = "/run/host/revoked_keys";
const HEAD: Head<'_> = Head { version: 1, generated_at: 1_700_000_000, group: "web" };

fn list(keys: &[&KeyPair]) -> Vec<u8> {
    let keys: RevokedKeys =
        keys.iter().map(|pair| PublicKey::parse_openssh(&pair.public_line()).unwrap()).collect();
    keys.encode(&HEAD)
}

async fn key() -> KeyPair {
    keygen(KeyType::Ed25519, "").await.unwrap()
}

/// A host whose sshd reads the file, which holds this.
async fn host(content: &[u8]) -> TestHost {
    let options = HostOptions::default().config(format!("RevokedKeys {FILE}"));
    let host = TestHost::openssh(options).await.unwrap();
    host.add_user("alice");
    std::fs::write(host.outside(FILE), content).unwrap();
    host
}

fn names(host: &TestHost) -> Vec<String> {
    let entries = std::fs::read_dir(host.outside("/run/host")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("revoked_keys")).collect()
}

#[tokio::test]
async fn a_listed_key_is_refused_though_its_line_stands_there() {
    let (host, revoked, other) = (host(&list(&[])).await, key().await, key().await);
    let lines = format!("{}\n{}\n", revoked.public_line(), other.public_line());
    host.write_authorized_keys("alice", lines);
    assert!(ssh(&host, "alice", &revoked.private_file(), "true").await.ok());
    let session = login(&host, "root").await;
    let work = Host::new(&session, &CLOCK);
    let found = work.look_at_revoked_keys().await.unwrap().unwrap();
    assert!(found.path == FILE && found.holds(&list(&[])) && !found.holds(&list(&[&revoked])));

    let written = work.write_revoked_keys(&list(&[&revoked])).await.unwrap();

    assert_eq!(written.as_deref(), Some(FILE));
    assert!(work.look_at_revoked_keys().await.unwrap().unwrap().holds(&list(&[&revoked])));
    assert!(!ssh(&host, "alice", &revoked.private_file(), "true").await.ok());
    assert!(ssh(&host, "alice", &other.private_file(), "true").await.ok());
    let stat = host.exec(&["stat", "-c", "%a %u %g", FILE]).await.success();
    assert_eq!((stat.trim(), names(&host)), ("644 0 0", vec!["revoked_keys".to_owned()]));
}

#[tokio::test]
async fn what_the_hosts_own_tool_cannot_read_is_never_put_there() {
    let (host, before) = (host(&list(&[])).await, list(&[]));
    let session = login(&host, "root").await;
    let work = Host::new(&session, &CLOCK);
    let cut = list(&[&key().await]);
    for wrong in [&cut[..cut.len() - 3], b"SSHKRL\n\0", b""] {
        assert_eq!(reason(work.write_revoked_keys(wrong).await), Reason::HostEditFailed, "{}", wrong.len());
        assert_eq!(std::fs::read(host.outside(FILE)).unwrap(), before);
        assert_eq!(names(&host), ["revoked_keys"]);
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_leaves_the_old_list_or_the_new_one() {
    let (before, after) = (list(&[]), list(&[&key().await]));
    let mut shell = LocalShell::new(host(&before).await, &["dash"]);
    std::fs::write(shell.host().outside("/etc/ssh/sshd_config"), format!("RevokedKeys {FILE}\n")).unwrap();
    for (moment, whole) in [
        ("said=$( { cat >>\"$temporary\"; } 2>&1) || by \"$said\"", &before),
        ("chown 0:0 \"$temporary\" && chmod 0644 \"$temporary\" || give_up failed", &before),
        ("said=$(mv -f \"$temporary\" \"$base\" 2>&1) || by \"$said\"", &before),
        ("sync . 2>/dev/null || sync", &after),
    ] {
        std::fs::write(shell.host().outside(FILE), &before).unwrap();
        shell.before(moment, "kill -KILL $$");
        let killed = Host::local(&shell, &CLOCK).write_revoked_keys(&after).await;
        assert_eq!(reason(killed), Reason::HostEditFailed, "{moment}");
        assert_eq!(&std::fs::read(shell.host().outside(FILE)).unwrap(), whole, "{moment}");

        shell.as_it_is();
        let written = Host::local(&shell, &CLOCK).write_revoked_keys(&after).await.unwrap();
        assert_eq!(written.as_deref(), Some(FILE), "{moment}");
        assert_eq!(std::fs::read(shell.host().outside(FILE)).unwrap(), after, "{moment}");
        assert_eq!(names(shell.host()), ["revoked_keys"], "{moment}");
    }
}

#[tokio::test]
async fn a_large_list_goes_through_whole() {
    let host = host(&list(&[])).await;
    let session = login(&host, "root").await;
    let keys: Vec<PublicKey> = (0u32..20_000)
        .map(|n| {
            let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
            blob.extend_from_slice(&[0; 28]);
            blob.extend_from_slice(&n.to_be_bytes());
            PublicKey::from_blob(&blob).unwrap()
        })
        .collect();
    let large = keys.iter().collect::<RevokedKeys>().encode(&HEAD);
    assert!(large.len() > 1_000_000);
    Host::new(&session, &CLOCK).write_revoked_keys(&large).await.unwrap();
    assert_eq!(std::fs::read(host.outside(FILE)).unwrap(), large);
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_left_alone() {
    let somebodys = format!("{}\n", key().await.public_line());
    let host = host(somebodys.as_bytes()).await;
    let session = login(&host, "root").await;
    let work = Host::new(&session, &CLOCK);
    assert_eq!(work.look_at_revoked_keys().await.unwrap(), None);
    assert_eq!(work.write_revoked_keys(&list(&[])).await.unwrap(), None);
    assert_eq!(std::fs::read_to_string(host.outside(FILE)).unwrap(), somebodys);
}

#[tokio::test]
async fn hosts_without_such_a_file_have_none() {
    let plain = [
        TestHost::openssh(HostOptions::default()).await.unwrap(),
        TestHost::dropbear(HostOptions::default()).await.unwrap(),
    ];
    for host in plain {
        let session = login(&host, "root").await;
        let work = Host::new(&session, &CLOCK);
        assert_eq!(work.look_at_revoked_keys().await.unwrap(), None);
        assert_eq!(work.write_revoked_keys(&list(&[])).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_link_is_no_file_of_ours() {
    let host = host(&list(&[])).await;
    let session = login(&host, "root").await;
    let link = "mv /run/host/revoked_keys /run/host/kept && ln -s /run/host/kept /run/host/revoked_keys";
    host.exec(&["sh", "-c", link]).await.success();
    assert_eq!(Host::new(&session, &CLOCK).write_revoked_keys(&list(&[&key().await])).await.unwrap(), None);
    assert_eq!(std::fs::read(host.outside("/run/host/kept")).unwrap(), list(&[]));
}
