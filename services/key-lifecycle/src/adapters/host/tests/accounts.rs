//! New accounts, and what an inspection tells.

use keywright_domain::account::AccountName;
use keywright_domain::clock::Instant;
use keywright_domain::reason::Reason;

use super::super::Host;
use super::super::facts::{Drop, ResidualAccess, ServerKind};
use super::super::shell::local::LocalShell;
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

/// Cut off at any moment: the next try makes of it an account that logs in.
#[tokio::test]
async fn a_half_made_account_is_finished() {
    let mut shell = one_shell().await;
    let exec =
        async |shell: &LocalShell, script: String| shell.host().exec(&["sh", "-c", &script]).await.success();
    let cut_off = [
        "true",
        "usermod -p '!' NAME",
        "sed -i /^NAME:/d /etc/shadow",
        "sed -i /^NAME:/d /etc/group /etc/gshadow",
        "rm -r /home/NAME",
        "chown 0:0 /home/NAME; chmod 0 /home/NAME",
        "sed -i /^NAME:/d /etc/shadow /etc/group /etc/gshadow; rm -r /home/NAME",
    ];
    let pair = keywright_kit::keygen(keywright_kit::KeyType::Ed25519, "").await.unwrap();
    for (at, how) in cut_off.into_iter().enumerate() {
        let name = AccountName::parse(&format!("half{at}")).unwrap();
        shell.before("  created=yes", "  kill -KILL $$");
        assert!(Host::local(&shell, &CLOCK).create_account(&name).await.is_err(), "{how}");
        shell.as_it_is();
        exec(&shell, how.replace("NAME", name.as_str())).await;
        let host = Host::local(&shell, &CLOCK);
        let made = host.create_account(&name).await.unwrap();
        assert!(!made.created, "{how}");
        let shadow = std::fs::read_to_string(shell.host().outside("/etc/shadow")).unwrap();
        assert!(shadow.contains(&format!("\n{name}:*:")), "{how}: {shadow}");
        assert_eq!(
            exec(&shell, format!("id -gn {name}; ls -a /etc | grep making || :")).await,
            format!("{name}\n")
        );
        host.converge(&name, &wanted(1, vec![super::setup::key(&pair.public_line(), 1)])).await.unwrap();
        let login =
            keywright_kit::ssh(shell.host(), name.as_str(), &pair.private_file(), "cd && id -un").await;
        assert_eq!(login.success(), format!("{name}\n"), "{how}");
    }
}

/// An account can call itself ours; that opens no account that its administrator has locked.
#[tokio::test]
async fn an_account_that_only_says_that_it_is_ours_is_left_alone() {
    let shell = one_shell().await;
    let host = Host::local(&shell, &CLOCK);
    let exec = async |script: &str| shell.host().exec(&["sh", "-c", script]).await.success();
    exec(
        "useradd -m -c keywright forged; useradd -m theirs; useradd -m other; \
         ln -s keywright /etc/.keywright-making.other; cp /etc/passwd /etc/shadow /tmp",
    )
    .await;
    for name in ["forged", "theirs", "other"] {
        assert!(!host.create_account(&AccountName::parse(name).unwrap()).await.unwrap().created);
    }
    exec("cmp /etc/shadow /tmp/shadow && cmp /etc/passwd /tmp/passwd").await;
    assert_eq!(
        reason(host.create_account(&AccountName::parse("root").unwrap()).await),
        Reason::AccountNotAllowed
    );
    assert_eq!(
        reason(host.create_account(&AccountName::parse("wheel").unwrap()).await),
        Reason::AccountNotAllowed
    );
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
