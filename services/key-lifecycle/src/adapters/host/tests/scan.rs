//! What a scan sees of real hosts.

use super::super::Host;
use super::setup::*;
use crate::model::{Seen, SeenAccount};
use keywright_domain::account::AccountName;
use keywright_kit::{HostOptions, TestHost};
use std::time::Duration;

use super::super::shell::local::LocalShell;

/// A machine that is busy with tests is slow.
const BUDGET: Duration = Duration::from_secs(300);

async fn scan(shell: &LocalShell) -> Seen {
    Host::local(shell, &CLOCK)
        .scan(&[alice(), AccountName::parse("nosuchname").unwrap()], BUDGET)
        .await
        .unwrap()
}

fn account<'s>(seen: &'s Seen, name: &str) -> &'s SeenAccount {
    let found: Vec<&SeenAccount> = seen.accounts.iter().filter(|account| account.name == name).collect();
    assert_eq!(found.len(), 1, "{name}");
    found[0]
}

fn text(account: &SeenAccount) -> Vec<(String, String)> {
    let one = |file: &crate::model::SeenFile| {
        (file.path.clone(), String::from_utf8_lossy(&file.bytes).into_owned())
    };
    account.files.iter().map(one).collect()
}

#[tokio::test]
async fn every_account_with_a_key_file_is_read() {
    for shell in each_shell().await {
        let host = shell.host();
        host.add_user("bob");
        host.write_authorized_keys("alice", format!("{BLOB_A}\n"));
        host.write_authorized_keys("bob", format!("{BLOB_B} no end of line"));
        host.write_authorized_keys("root", format!("{FOREIGN}\n"));
        let seen = scan(&shell).await;
        assert!(seen.settings_read && !seen.truncated);
        assert_eq!(seen.accounts[0].name, "alice", "what was asked for comes first");
        assert_eq!(text(account(&seen, "alice"))[0].1, format!("{BLOB_A}\n"));
        assert_eq!(text(account(&seen, "bob"))[0].1, format!("{BLOB_B} no end of line"));
        let root = account(&seen, "root");
        assert_eq!((root.uid, text(root)[0].1.as_str()), (0, format!("{FOREIGN}\n").as_str()));
        let with_files = seen.accounts.iter().filter(|account| !account.files.is_empty()).count();
        assert_eq!(with_files, 3);
        assert!(seen.accounts.iter().all(|account| account.unreadable.is_empty()), "{seen:?}");
    }
}

#[tokio::test]
async fn files_are_those_of_the_settings_and_of_each_match() {
    let config = "AuthorizedKeysFile %h/.ssh/authorized_keys /etc/ssh/keys/%u\nPasswordAuthentication yes\nUsePAM no\n\
                  AuthorizedKeysCommand /bin/false\nAuthorizedKeysCommandUser nobody\n\
                  Match User bob\nAuthorizedKeysFile /etc/ssh/others/%U\n";
    for shell in each_shell().await {
        let host = shell.host();
        let uid = host.add_user("bob");
        std::fs::write(host.outside("/etc/ssh/sshd_config"), config).unwrap();
        for (folder, file) in
            [("keys", "alice".to_owned()), ("keys", "bob".to_owned()), ("others", uid.to_string())]
        {
            std::fs::create_dir_all(host.outside(&format!("/etc/ssh/{folder}"))).unwrap();
            std::fs::write(host.outside(&format!("/etc/ssh/{folder}/{file}")), format!("{BLOB_A}\n"))
                .unwrap();
        }
        host.exec(&["sh", "-c", "printf 'carol:$6$x$y:1:0:99999:7:::\\n' >>/etc/shadow"]).await;
        let seen = scan(&shell).await;
        assert_eq!(text(account(&seen, "alice"))[0].0, "/etc/ssh/keys/alice");
        assert_eq!(text(account(&seen, "bob"))[0].0, format!("/etc/ssh/others/{uid}"));
        assert_eq!(seen.other_ways, ["KEYS_COMMAND", "PASSWORD"]);
    }
}

#[tokio::test]
async fn what_an_account_lays_out_hurts_nobody_else() {
    for shell in each_shell().await {
        let host = shell.host();
        for name in ["fifo", "link", "large", "locked", "bob"] {
            host.add_user(name);
        }
        for name in ["bob", "fifo", "link", "large", "locked"] {
            host.write_authorized_keys(name, format!("{BLOB_B}\n"));
        }
        std::fs::write(host.outside("/etc/secret"), "root's own").unwrap();
        let script = "chmod 600 /etc/secret
            cd /home/fifo/.ssh && rm authorized_keys && mkfifo authorized_keys && chown fifo authorized_keys
            cd /home/link/.ssh && rm authorized_keys && ln -s /etc/secret authorized_keys
            cd /home/large/.ssh && dd if=/dev/zero of=authorized_keys bs=1024 count=2048 2>/dev/null
            chown root /home/locked/.ssh && chmod 700 /home/locked/.ssh";
        host.exec(&["sh", "-c", script]).await.success();
        let seen = scan(&shell).await;
        let unreadable = |name: &str| account(&seen, name).unreadable.join(" ");
        assert!(unreadable("fifo").ends_with("HOST_FILE_NOT_REGULAR"), "{}", unreadable("fifo"));
        assert!(unreadable("link").ends_with("HOST_FILE_OWNER"), "{}", unreadable("link"));
        assert!(unreadable("large").ends_with("HOST_FILE_TOO_LARGE"), "{}", unreadable("large"));
        assert!(unreadable("locked").ends_with("HOST_FILE_OWNER"), "{}", unreadable("locked"));
        assert!(account(&seen, "link").files.is_empty(), "root's file was read for an account");
        assert_eq!(text(account(&seen, "bob"))[0].1, format!("{BLOB_B}\n"));
    }
}

#[tokio::test]
async fn roots_file_is_read_as_root_only_where_root_alone_changes_it() {
    let shell = one_shell().await;
    let config = "AuthorizedKeysFile /home/alice/shared/%u\n";
    std::fs::write(shell.host().outside("/etc/ssh/sshd_config"), config).unwrap();
    let script =
        "mkdir /home/alice/shared; echo 'x' >/home/alice/shared/root; chown -R alice /home/alice/shared";
    shell.host().exec(&["sh", "-c", script]).await.success();
    let seen = scan(&shell).await;
    assert_eq!(account(&seen, "root").unreadable, ["/home/alice/shared/root: HOST_FILE_OWNER"]);
    assert!(account(&seen, "root").files.is_empty());
}

#[tokio::test]
async fn hundreds_of_accounts_and_ten_thousand_lines_are_seen_within_the_limits() {
    let shell = LocalShell::new(TestHost::openssh(HostOptions::default()).await.unwrap(), &["dash"]);
    let host = shell.host();
    host.add_user("alice");
    let script = "n=0; while [ $n -lt 300 ]; do n=$((n + 1)); echo \"u$n:x:$((30000 + n)):$((30000 + n))::/home/u$n:/bin/sh\"; \
                  mkdir -p /home/u$n/.ssh; i=0; while [ $i -lt 33 ]; do i=$((i + 1)); echo \"$1 line $i\"; done >/home/u$n/.ssh/authorized_keys; \
                  chown -R $((30000 + n)):$((30000 + n)) /home/u$n; done >>/etc/passwd";
    host.exec(&["sh", "-c", script, "sh", BLOB_A]).await.success();
    let seen = scan(&shell).await;
    let lines: usize = seen
        .accounts
        .iter()
        .flat_map(|account| &account.files)
        .map(|file| file.bytes.iter().filter(|byte| **byte == b'\n').count())
        .sum();
    assert!(!seen.truncated && lines == 9_900, "{lines} lines, truncated: {}", seen.truncated);
}

const KEY: &str = "SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDaJdfh5uKbRGGhBqs";

async fn log(shell: &LocalShell) -> crate::model::LogLines {
    let wanted = [keywright_domain::fingerprint::Fingerprint::parse(KEY).unwrap()];
    let alice = AccountName::parse("alice").unwrap();
    Host::local(shell, &CLOCK).log("root", &alice, &wanted).await.unwrap()
}

#[tokio::test]
async fn a_log_is_read_for_the_keys_that_were_asked_for_alone() {
    for shell in each_shell().await {
        let log_of_host = format!(
            "Mar  1 10:00:00 web kernel: first\nMar  1 11:00:00 web sshd[9]: Accepted publickey for bob from 192.0.2.9 port 1 ssh2: ED25519 SHA256:{}\n\
             Mar  1 11:30:00 web sshd[9]: Accepted publickey for bob from 192.0.2.9 port 1 ssh2: ED25519 {KEY}\n\
             Mar  1 12:00:00 web sshd[9]: Accepted publickey for alice from 192.0.2.9 port 1 ssh2: ED25519 {KEY}\n\
             [7] Mar 01 12:00:00 Pubkey auth succeeded for 'alice' with ssh-ed25519 key {KEY} from 192.0.2.9:4\n\
             Mar  1 12:00:01 web sshd[9]: Accepted publickey for root from 192.0.2.1 port 2 ssh2: ED25519 SHA256:{}\n",
            "A".repeat(43),
            "B".repeat(43)
        );
        std::fs::write(shell.host().outside("/var/log/auth.log"), log_of_host).unwrap();
        let lines = log(&shell).await;
        assert_eq!((lines.keys.len(), lines.own.len()), (2, 1), "{lines:?}");
        assert!(lines.keys.iter().all(|line| line.contains("alice")) && lines.own[0].contains("root"));
        assert!(lines.first[0].starts_with("Mar  1 10:00:00") && lines.host_time.is_some());
    }
}

#[tokio::test]
async fn no_flood_of_names_pushes_a_log_in_out_of_sight() {
    for shell in each_shell().await {
        let accepted = |user: &str| {
            format!(
                "Mar  1 12:00:00 web sshd[9]: Accepted publickey for {user} from 192.0.2.9 port 1 ssh2: ED25519 {KEY}\n"
            )
        };
        let stranger = accepted("alice")
            .replace("Accepted", "Invalid user x]: Accepted")
            .replace('\n', " from 198.51.100.1 port 9\n");
        let log_of_host =
            format!("{}{}", accepted("alice"), [stranger, accepted("bob")].concat().repeat(2_500));
        std::fs::write(shell.host().outside("/var/log/auth.log"), log_of_host).unwrap();
        assert_eq!(log(&shell).await.keys, [accepted("alice").trim_end()]);
    }
}

/// Where the journal is told of log-ins, what an account can have written into a file is not looked at.
#[tokio::test]
async fn the_journal_alone_is_believed_where_it_knows_us() {
    let journalctl =
        HostOptions::default().program("/usr/local/bin/journalctl", "#!/bin/sh\ncat /run/journal\n");
    let shell = LocalShell::new(TestHost::openssh(journalctl).await.unwrap(), &["dash"]);
    shell.host().add_user("alice");
    let over = "[ ! -e /usr/bin/journalctl ] || mount --bind /usr/local/bin/journalctl /usr/bin/journalctl";
    shell.host().exec(&["sh", "-c", over]).await.success();
    let forged = format!(
        "Mar  1 12:00:00 web sshd[9]: Accepted publickey for alice from 192.0.2.9 port 1 ssh2: ED25519 {KEY}\n"
    );
    std::fs::write(shell.host().outside("/var/log/auth.log"), forged).unwrap();
    let tell = |line: &str| {
        let text = format!("1772366300.1 web sshd[1]: Server listening on 0.0.0.0 port 22.\n{line}\n");
        std::fs::write(shell.host().outside("/run/journal"), text).unwrap();
    };
    tell("1772366400.5 web sshd[1]: Received signal 15; terminating.");
    assert_eq!(log(&shell).await.keys.len(), 1, "a journal that hears nothing of log-ins is none");
    tell(
        "1772366400.5 web sshd[1]: Accepted publickey for root from 192.0.2.1 port 7 ssh2: ED25519 SHA256:x",
    );
    let lines = log(&shell).await;
    assert_eq!((lines.keys.len(), lines.own.len()), (0, 1), "{lines:?}");
    assert!(lines.first[0].starts_with("1772366300"), "{lines:?}");
}
