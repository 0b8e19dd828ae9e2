use std::time::Duration;

use super::{HostOptions, TestHost};
use crate::process::eventually;
use crate::ssh::{KeyType, keygen, ssh};

const LIMIT: Duration = Duration::from_secs(20);

async fn every_kind() -> [TestHost; 3] {
    [
        TestHost::openssh(HostOptions::default()).await.unwrap(),
        TestHost::openssh_10(HostOptions::default()).await.unwrap(),
        TestHost::dropbear(HostOptions::default()).await.unwrap(),
    ]
}

#[tokio::test]
async fn the_installed_key_logs_in_and_another_does_not() {
    let (key, other) =
        (keygen(KeyType::Ed25519, "").await.unwrap(), keygen(KeyType::EcdsaP256, "").await.unwrap());
    for host in every_kind().await {
        let uid = host.add_user("alice");
        host.write_authorized_keys("alice", key.public_line() + "\n");
        let output = ssh(&host, "alice", &key.private_file(), "id -u; echo $HOME").await;
        assert_eq!(output.success(), format!("{uid}\n/home/alice\n"));
        let refused = ssh(&host, "alice", &other.private_file(), "true").await;
        assert_eq!(refused.code, 255);
        assert!(refused.stderr.contains("Permission denied"), "{}", refused.stderr);
        assert_eq!(host.read_authorized_keys("alice"), Some((key.public_line() + "\n").into_bytes()));
        let fingerprint = key.fingerprint().await;
        assert!(host.log().contains(fingerprint.trim_start_matches("SHA256:")), "{}", host.log());
    }
}

#[tokio::test]
async fn useradd_and_root_work_inside_and_nothing_reaches_the_machine() {
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    for host in every_kind().await {
        host.write_authorized_keys("root", key.public_line());
        let script = "useradd -m -p '*' -s /bin/sh tenant-abcdefgh && id -u tenant-abcdefgh";
        let output = ssh(&host, "root", &key.private_file(), script).await.success();
        let account = host.account("tenant-abcdefgh").unwrap();
        assert_eq!(output.trim(), account.uid.to_string());
        assert!(host.home("tenant-abcdefgh").is_dir());
        host.write_authorized_keys("tenant-abcdefgh", key.public_line());
        assert!(ssh(&host, "tenant-abcdefgh", &key.private_file(), "true").await.ok());
        assert!(!std::fs::read_to_string("/etc/passwd").unwrap().contains("tenant-abcdefgh"));
        assert!(!std::path::Path::new("/home/tenant-abcdefgh").exists());
    }
}

#[tokio::test]
async fn sessions_are_seen_and_end_with_the_host() {
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    for host in every_kind().await {
        host.add_user("bob");
        host.write_authorized_keys("bob", key.public_line());
        let (port, pid) = (host.port(), host.pid());
        let file = key.private_file();
        let session = async { ssh(&host, "bob", &file, "exec sleep 600").await };
        let seen = eventually(LIMIT, async || host.sessions("bob").await.len() == 1);
        tokio::select! {
            output = session => panic!("the session ended: {output:?}"),
            seen = seen => assert!(seen, "no session seen"),
        }
        let folder = host.home("bob");
        drop(host);
        assert!(!crate::port::listening((std::net::Ipv4Addr::LOCALHOST, port).into()));
        assert!(!std::path::Path::new(&format!("/proc/{pid}/stat")).exists());
        assert!(!folder.exists());
    }
}

#[tokio::test]
async fn a_server_stops_starts_again_and_changes_its_keys() {
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    for mut host in every_kind().await {
        host.add_user("carol");
        host.write_authorized_keys("carol", key.public_line());
        host.stop_server().await;
        assert_eq!(ssh(&host, "carol", &key.private_file(), "true").await.code, 255);
        host.start_server().await;
        assert!(ssh(&host, "carol", &key.private_file(), "true").await.ok());
        let before = host.host_keys();
        host.replace_host_keys().await;
        assert_ne!(host.host_keys(), before);
        assert!(ssh(&host, "carol", &key.private_file(), "true").await.ok());
    }
}

#[tokio::test]
async fn the_small_disk_fills_up() {
    let host = TestHost::openssh(HostOptions::default()).await.unwrap();
    host.add_user_on_small_disk("dora");
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    host.write_authorized_keys("dora", key.public_line());
    assert!(ssh(&host, "dora", &key.private_file(), "true").await.ok());
    host.fill_small_disk().await;
    let output = ssh(&host, "dora", &key.private_file(), "head -c 8192 /dev/zero >more").await;
    assert!(output.stderr.contains("No space left"), "{output:?}");
}

#[tokio::test]
async fn extra_lines_of_configuration_are_obeyed() {
    let options = HostOptions::default().config("Match User erin").config("  ForceCommand echo forced");
    let host = TestHost::openssh(options).await.unwrap();
    host.add_user("erin");
    let key = keygen(KeyType::Rsa(2048), "").await.unwrap();
    host.write_authorized_keys("erin", key.public_line());
    assert_eq!(ssh(&host, "erin", &key.private_file(), "echo asked").await.success(), "forced\n");
}

#[tokio::test]
async fn a_busybox_host_has_busybox_commands() {
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    for host in [
        TestHost::dropbear(HostOptions::default().busybox()).await.unwrap(),
        TestHost::openssh(HostOptions::default().busybox()).await.unwrap(),
    ] {
        host.add_user("frank");
        host.write_authorized_keys("frank", key.public_line());
        let script = "readlink /bin/mktemp; command -v useradd bash; id -un";
        assert_eq!(ssh(&host, "frank", &key.private_file(), script).await.success(), "busybox\nfrank\n");
        let writes = host.exec(&["sh", "-c", "setpriv --help 2>&1 | head -1; mktemp /root/x.XXXXXX"]).await;
        assert!(writes.success().starts_with("BusyBox"));
    }
}

#[tokio::test]
async fn a_host_listens_on_both_addresses_if_asked_to() {
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    for host in [
        TestHost::openssh(HostOptions::default().ipv6()).await.unwrap(),
        TestHost::dropbear(HostOptions::default().ipv6()).await.unwrap(),
    ] {
        host.write_authorized_keys("root", key.public_line());
        assert!(ssh(&host, "root", &key.private_file(), "true").await.ok());
        assert!(std::net::TcpStream::connect((std::net::Ipv6Addr::LOCALHOST, host.port())).is_ok());
        host.stop_server().await;
        assert!(std::net::TcpStream::connect((std::net::Ipv6Addr::LOCALHOST, host.port())).is_err());
    }
}
