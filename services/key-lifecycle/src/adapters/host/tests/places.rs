//! Where the server looks for keys: by the connection, by its own command line, in folders that are missing yet.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use keywright_domain::account::AccountName;
use keywright_domain::key::{GenerateSpec, PrivateKey};
use keywright_domain::reason::Reason;
use keywright_kit::{HostOptions, KeyPair, KeyType, TestHost, keygen, ssh};

use super::super::Host;
use super::over_ssh::{enter, login};
use super::setup::*;
use super::ways_in::{as_shipped, with_people};

async fn pair() -> KeyPair {
    keygen(KeyType::Ed25519, "").await.unwrap()
}

/// Gives alice a key through a login of this account, sees that the server takes it, and says where it was put.
async fn put(host: &TestHost, user: &str) -> Vec<String> {
    let session = login(host, user).await;
    let pair = pair().await;
    let goal = wanted(1, vec![key(&pair.public_line(), 1)]);
    let done = Host::new(&session, &CLOCK).converge(&alice(), &goal).await.unwrap();
    assert!(ssh(host, "alice", &pair.private_file(), "true").await.ok(), "{done:?}\n{}", host.log());
    session.close().await;
    done.facts.files.into_iter().map(|file| file.path).collect()
}

fn add_config(host: &TestHost, text: &str) {
    let path = host.outside("/run/host/sshd_config");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, config + text).unwrap();
}

#[tokio::test]
async fn blocks_that_match_the_servers_own_address_and_port_count() {
    let host = with_people(TestHost::openssh(as_shipped()).await.unwrap()).await;
    host.stop_server().await;
    let port = host.port();
    add_config(
        &host,
        &format!(
            "Match User alice LocalAddress 127.0.0.0/8 LocalPort {port}\nAuthorizedKeysFile /etc/ssh/local.d/%u\n\
             Match User alice LocalPort 1\nAuthorizedKeysFile /etc/ssh/other.d/%u\n"
        ),
    );
    host.start_server().await;
    for user in ["root", "keywright"] {
        assert_eq!(put(&host, user).await, ["/etc/ssh/local.d/alice"]);
        std::fs::remove_dir_all(host.outside("/etc/ssh/local.d")).unwrap();
    }
}

#[tokio::test]
async fn what_the_server_was_started_with_counts() {
    let options = as_shipped().config("Match User alice Address 127.0.0.1\nX11Forwarding no");
    let host = with_people(TestHost::openssh(options).await.unwrap()).await;
    host.stop_server().await;
    let command = "setsid sh -c 'exec /usr/sbin/sshd -De -oUsePAM=no -o \"AuthorizedKeysFile /etc/ssh/o.d/%u \
                   .ssh/authorized_keys\" -f /run/host/sshd_config -o MaxAuthTries=9 2>>/run/host/server.log' \
                   </dev/null >/dev/null 2>&1 &";
    host.exec(&["sh", "-c", command]).await;
    let begun = std::time::Instant::now();
    while std::net::TcpStream::connect((host.address(), host.port())).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for user in ["root", "keywright"] {
        assert_eq!(put(&host, user).await, ["/etc/ssh/o.d/alice", "/home/alice/.ssh/authorized_keys"]);
        std::fs::remove_dir_all(host.outside("/etc/ssh/o.d")).unwrap();
    }
}

#[tokio::test]
async fn where_the_server_reads_no_file_none_is_edited_and_it_is_said() {
    let options = HostOptions::default().config("Match User alice\nAuthorizedKeysFile none");
    let host = with_people(TestHost::openssh(options).await.unwrap()).await;
    host.write_authorized_keys("alice", FOREIGN);
    let session = login(&host, "root").await;
    let work = Host::new(&session, &CLOCK);
    let refused = work.converge(&alice(), &wanted(1, vec![key(BLOB_A, 1)])).await.unwrap_err();
    assert!(refused.left_all_as_it_was());
    let failure = crate::adapters::hosts::failure(refused);
    assert_eq!(failure.reason, Reason::AccountNotAllowed);
    assert!(failure.message.contains("AuthorizedKeysFile none"), "{}", failure.message);
    // No key gets in by a file that is not read: nothing holds back a revocation.
    work.converge(&alice(), &wanted(2, vec![])).await.unwrap();
    assert_eq!(host.read_authorized_keys("alice").unwrap(), FOREIGN.as_bytes());
}

/// As on OpenWrt, whose server is built to read root's keys from its own folder.
#[tokio::test]
async fn roots_keys_are_where_dropbear_was_built_to_read_them() {
    let host = TestHost::dropbear(HostOptions::default()).await.unwrap();
    host.stop_server().await;
    let command = format!(
        "mkdir -p /etc/dropbear /root/.ssh; chmod 700 /etc/dropbear /root/.ssh; \
         cp \"$(command -v dropbear)\" /run/host/dropbear; echo /etc/dropbear/authorized_keys >>/run/host/dropbear; \
         mount --bind /etc/dropbear /root/.ssh; \
         setsid sh -c 'exec /run/host/dropbear -F -E -s -p 127.0.0.1:{} -r /run/host/host_ed25519 \
         -r /run/host/host_ecdsa -r /run/host/host_rsa' </dev/null >/dev/null 2>>/run/host/server.log &",
        host.port()
    );
    host.exec(&["sh", "-c", &command]).await;
    let begun = std::time::Instant::now();
    while std::net::TcpStream::connect((host.address(), host.port())).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What this server finds below root's home is that folder, and nothing else.
    let mine = PrivateKey::generate(GenerateSpec::Ed25519).unwrap();
    let file = host.outside("/etc/dropbear/authorized_keys");
    std::fs::write(&file, mine.public().openssh() + "\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let session = enter(&host, "root", mine).await;
    let work = Host::new(&session, &CLOCK);
    let root = AccountName::parse("root").unwrap();
    let new = pair().await;
    let mut goal = wanted(1, vec![key(&new.public_line(), 1)]);
    goal.all_blobs.push(goal.keys[0].public_key.blob().to_vec());
    let done = work.converge(&root, &goal).await.unwrap();
    let files: Vec<&str> = done.facts.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(files, ["/etc/dropbear/authorized_keys", "/root/.ssh/authorized_keys"]);
    assert!(done.changed.contains(&"/etc/dropbear/authorized_keys".to_owned()), "{:?}", done.changed);
}

#[tokio::test]
async fn folders_that_are_missing_are_made_as_the_server_wants_them() {
    for shell in each_shell().await {
        let config = |file: &str| {
            let text = format!("AuthorizedKeysFile {file}\nUsePAM no\n");
            std::fs::write(shell.host().outside("/etc/ssh/sshd_config"), text).unwrap();
        };
        let of = |path: &str| {
            let meta = std::fs::symlink_metadata(shell.host().outside(path)).unwrap();
            (meta.uid(), meta.mode() & 0o7777)
        };
        let uid = shell.host().account("alice").unwrap().uid;
        config("/etc/ssh/keys/by/%u/authorized_keys");
        converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await.unwrap();
        for folder in ["/etc/ssh/keys", "/etc/ssh/keys/by", "/etc/ssh/keys/by/alice"] {
            assert_eq!(of(folder), (0, 0o755), "{folder}");
        }
        assert_eq!(of("/etc/ssh/keys/by/alice/authorized_keys"), (0, 0o644));
        config("%h/.config/ssh/keys/authorized_keys");
        converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await.unwrap();
        for folder in [".config", ".config/ssh", ".config/ssh/keys"] {
            assert_eq!(of(&format!("/home/alice/{folder}")), (uid, 0o700), "{folder}");
        }
        assert_eq!(of("/home/alice/.config/ssh/keys/authorized_keys"), (uid, 0o600));
        // In a folder of everybody's, anybody may be first.
        shell.host().exec(&["sh", "-c", "mkdir /srv/keys; chmod 1777 /srv/keys"]).await.success();
        for minds in ["yes", "no"] {
            config(&format!("/srv/keys/%u/authorized_keys\nStrictModes {minds}"));
            let said = converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await;
            assert_eq!(reason(said), Reason::HostFileOwner, "{minds}");
            assert_eq!(std::fs::read_dir(shell.host().outside("/srv/keys")).unwrap().count(), 0);
        }
        // And where the account cannot make one, that is said.
        shell.host().exec(&["sh", "-c", "chmod 755 /srv/keys; chown daemon /srv/keys"]).await.success();
        let said = converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await;
        assert_eq!(reason(said), Reason::HostFileReadOnly);
    }
}

#[tokio::test]
async fn options_come_along_when_a_key_moves_to_another_file() {
    let shell = one_shell().await;
    let config = "AuthorizedKeysFile /etc/ssh/keys.d/%u .ssh/authorized_keys\nUsePAM no\n";
    std::fs::write(shell.host().outside("/etc/ssh/sshd_config"), config).unwrap();
    let options = "from=\"10.0.0.0/8\",command=\"/bin/true\",restrict";
    shell
        .host()
        .write_authorized_keys("alice", format!("{options} {BLOB_A} keywright:acc_test:v1\n{FOREIGN}\n"));
    converge(&shell, &wanted(1, vec![key(BLOB_A, 1), key(BLOB_B, 2)])).await.unwrap();
    let central = std::fs::read_to_string(shell.host().outside("/etc/ssh/keys.d/alice")).unwrap();
    let line = |blob: &str, version: u32| format!("{options} {blob} keywright:acc_test:v{version}\n");
    assert_eq!(central, format!("# keywright:acc_test rev=1\n{}{}", line(BLOB_A, 1), line(BLOB_B, 2)));
    assert_eq!(content(&shell), format!("{FOREIGN}\n# keywright:acc_test rev=1\n"));
}
