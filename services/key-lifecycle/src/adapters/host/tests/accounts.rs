//! New accounts, and what an inspection tells.

use keywright_domain::account::AccountName;
use keywright_domain::clock::Instant;
use keywright_domain::reason::Reason;

use super::super::Host;
use super::super::facts::{Drop, ResidualAccess, ServerKind};
use super::setup::*;

#[tokio::test]
async fn an_account_is_made_once_and_can_log_in_by_key() {
    // Debian's BusyBox has no adduser: there, no account can be made.
    for shell in each_shell().await.into_iter().take(2) {
        let host = Host::local(&shell, &CLOCK);
        let name = AccountName::parse("tenant-abcd2345").unwrap();
        let made = host.create_account(&name).await.unwrap();
        assert!(made.created && !made.account.is_system(), "{made:?}");
        assert_eq!(made.account.home, "/home/tenant-abcd2345");
        let shadow = std::fs::read_to_string(shell.host().outside("/etc/shadow")).unwrap();
        assert!(shadow.contains("\ntenant-abcd2345:*:"), "{shadow}");
        assert!(shell.host().home(name.as_str()).is_dir());
        let again = host.create_account(&name).await.unwrap();
        assert_eq!((again.created, &again.account), (false, &made.account));

        let key = keywright_kit::keygen(keywright_kit::KeyType::Ed25519, "").await.unwrap();
        let goal = wanted(1, vec![super::setup::key(&key.public_line(), 1)]);
        host.converge(&name, &goal).await.unwrap();
        let login = keywright_kit::ssh(shell.host(), name.as_str(), &key.private_file(), "id -un").await;
        assert_eq!(login.success(), "tenant-abcd2345\n");
    }
}

#[tokio::test]
async fn a_half_made_account_is_finished_and_a_foreign_one_is_left_alone() {
    let shell = one_shell().await;
    let host = Host::local(&shell, &CLOCK);
    let exec = async |script: &str| shell.host().exec(&["sh", "-c", script]).await.success();
    exec("useradd -m -c keywright half; useradd -m theirs; cp /etc/shadow /etc/before").await;
    host.create_account(&AccountName::parse("half").unwrap()).await.unwrap();
    host.create_account(&AccountName::parse("theirs").unwrap()).await.unwrap();
    let changed = exec("diff /etc/before /etc/shadow | grep '^>'").await;
    assert!(changed.starts_with("> half:*:") && changed.lines().count() == 1, "{changed}");
}

#[tokio::test]
async fn an_inspection_tells_account_files_time_and_ways_in() {
    for shell in each_shell().await {
        let config = "AuthorizedKeysFile %h/.ssh/authorized_keys /etc/ssh/keys/%u\n\
                      AuthorizedKeysCommand /bin/false\nAuthorizedKeysCommandUser nobody\n\
                      PasswordAuthentication yes\nUsePAM no\n";
        std::fs::write(shell.host().outside("/etc/ssh/sshd_config"), config).unwrap();
        let until = Instant::from_secs(1_800_000_000);
        let host = Host::local(&shell, &CLOCK);
        let facts = host.look(&alice(), Some(until)).await.unwrap().0;
        let account = facts.account.unwrap();
        assert_eq!((account.uid, account.home.as_str()), (20_000, "/home/alice"));
        assert!(facts.settings_read);
        let paths: Vec<&str> = facts.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["/home/alice/.ssh/authorized_keys", "/etc/ssh/keys/alice"]);
        assert_eq!(facts.residual, [ResidualAccess::KeysCommand]);
        assert!(facts.version.unwrap().starts_with("OpenSSH_"));
        assert!(facts.skew.unwrap().micros().abs() < 30_000_000);
        let local = facts.local_end.unwrap();
        assert_eq!(local.means, local.end);
        assert!((0..=60).contains(&(local.end.secs() - until.secs())), "{local:?}");
        assert!(matches!(facts.drop, Drop::Setpriv | Drop::Su), "{:?}", facts.drop);
        assert_eq!(facts.server, ServerKind::Unknown);

        let nobody = AccountName::parse("nosuchname").unwrap();
        assert!(host.inspect(&nobody).await.unwrap().account.is_none());
        let said = host.converge(&nobody, &wanted(1, vec![])).await;
        assert_eq!(reason(said), Reason::AccountNotFound);
        let root = AccountName::parse("root").unwrap();
        assert!(host.inspect(&root).await.unwrap().account.unwrap().is_system());
    }
}

#[tokio::test]
async fn a_local_time_that_means_another_instant_is_told() {
    let shell = one_shell().await;
    let zone = shell.host().outside("/etc/localtime");
    let _ = std::fs::remove_file(&zone);
    std::os::unix::fs::symlink("/usr/share/zoneinfo/Europe/Berlin", &zone).unwrap();
    // 2026-10-25T00:30:00Z is the first of two 02:30 of that night in Berlin; the C library takes the other.
    let first = Instant::from_secs(1_792_888_200);
    let facts = Host::local(&shell, &CLOCK).look(&alice(), Some(first)).await.unwrap().0;
    let local = facts.local_end.unwrap();
    assert!(local.text.starts_with("2026102502"), "{local:?}");
    assert_ne!(local.means, local.end, "{local:?}");
}
