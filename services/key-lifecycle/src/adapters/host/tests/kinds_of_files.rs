//! Every kind of key file that a host may have, over SSH on both servers: each ends in success or untouched with a
//! reason. Prints the table.

use std::os::unix::net::UnixListener;

use keywright_domain::account::AccountName;
use keywright_domain::reason::Reason;
use keywright_kit::{HostOptions, KeyPair, KeyType, TestHost, keygen, ssh};
use keywright_ssh::Session;

use super::super::Host;
use super::over_ssh::login;
use super::setup::{CLOCK, FOREIGN, key, wanted};

struct Kind {
    name: &'static str,
    /// Run on the host as root in the account's home: $f is the key file, $u the account. `.ssh` and its owner are set.
    make: &'static str,
    /// None: success.
    refused: Option<Reason>,
}

const fn done(name: &'static str, make: &'static str) -> Kind {
    Kind { name, make, refused: None }
}

const fn refused(name: &'static str, make: &'static str, reason: Reason) -> Kind {
    Kind { name, make, refused: Some(reason) }
}

const KINDS: &[Kind] = &[
    done("no .ssh", "rmdir .ssh"),
    done("no file", ":"),
    done("empty file", ": >$f"),
    done("one line", "echo '# theirs' >$f"),
    done("no newline at the end", "printf '%s' '# theirs' >$f"),
    done("CRLF", "printf '# a\\r\\n\\r\\n# b\\r\\n' >$f"),
    done("binary junk and NUL", "head -c 5000 /dev/urandom >$f; printf 'a\\000b\\n\\000\\n' >>$f"),
    done("almost 1 MiB", "yes '# a line of theirs' | head -c 1048000 >$f; echo >>$f"),
    done("read-only file", "echo '# theirs' >$f; chmod 400 $f"),
    done("readable by all", "echo '# theirs' >$f; chmod 644 $f"),
    refused("group-writable home", "chgrp 100 .; chmod g+w .", Reason::HostFileOwner),
    refused("home that all may write", "chmod o+w .", Reason::HostFileOwner),
    refused(".ssh that all may write", "chmod o+w .ssh", Reason::HostFileOwner),
    refused("file that all may write", "echo '# theirs' >$f; chmod 666 $f", Reason::HostFileOwner),
    refused("2 MiB", "yes '# a line of theirs' | head -c 2097152 >$f", Reason::HostFileTooLarge),
    refused("symlink", "echo '# theirs' >other; ln -s ../other $f", Reason::HostFileSymlink),
    refused("dangling symlink", "ln -s ../nowhere $f", Reason::HostFileSymlink),
    refused("symlink to root's file", "ln -s /root/.ssh/authorized_keys $f", Reason::HostFileSymlink),
    refused(
        ".ssh is a symlink",
        "mv .ssh aside; echo '# theirs' >aside/authorized_keys; ln -s aside .ssh",
        Reason::HostFileSymlink,
    ),
    refused("directory", "mkdir $f", Reason::HostFileNotRegular),
    refused("FIFO", "mkfifo $f", Reason::HostFileNotRegular),
    refused("socket", ": socket", Reason::HostFileNotRegular),
    refused("device", "mknod $f c 1 3", Reason::HostFileNotRegular),
    refused(".ssh is a file", "rmdir .ssh; echo x >.ssh", Reason::HostFileNotRegular),
    refused("root's file", "echo '# theirs' >$f; chmod 644 $f; keep=yes", Reason::HostFileOwner),
    refused("root's file, closed", "echo '# theirs' >$f; chmod 600 $f; keep=yes", Reason::HostFileOwner),
    refused(
        "root's .ssh",
        "echo '# theirs' >$f; chown root:root .ssh; chmod 755 .ssh; keep=yes",
        Reason::HostFileOwner,
    ),
    refused(".ssh without write", "echo '# theirs' >$f; chmod 500 .ssh", Reason::HostFileReadOnly),
    refused("immutable file", "echo '# theirs' >$f; chown $u: $f; chattr +i $f", Reason::HostFileReadOnly),
    refused("immutable .ssh", "echo '# theirs' >$f; chown $u: $f; chattr +i .ssh", Reason::HostFileReadOnly),
    refused(
        "read-only file system",
        "echo '# theirs' >$f; chown $u: $f; mount --bind .ssh .ssh && mount -o remount,bind,ro .ssh",
        Reason::HostFileReadOnly,
    ),
    refused("full disk", "echo '# theirs' >$f; chown $u: $f; : full", Reason::HostFileDiskFull),
];

/// What the host has in `.ssh`, to see whether anything changed.
const LOOK: &str = "cd \"$1\" || exit; stat -c '%n %F %a %u %g' .ssh; \
                    stat -c '%n %F %a %u %g %s %Y' .ssh/* .ssh/.[!.]* 2>/dev/null; \
                    find .ssh/ -type f -exec md5sum {} + 2>/dev/null | sort";

async fn make(host: &TestHost, kind: &Kind, account: &str) -> String {
    if kind.make.ends_with(": full") {
        host.add_user_on_small_disk(account)
    } else {
        host.add_user(account)
    };
    let home = host.account(account).unwrap().home.to_string_lossy().into_owned();
    let script = format!(
        "cd {home}; u={account} f=.ssh/authorized_keys keep=no; mkdir -m 700 .ssh; chown $u: .ssh; umask 077; {}; \
         [ $keep = yes ] || [ -L .ssh ] || [ -L $f ] || chown $u: $f .ssh 2>/dev/null; true",
        kind.make
    );
    host.exec(&["sh", "-c", &script]).await.success();
    if kind.make == ": socket" {
        // The name of a path like this would be too long where the test runs.
        let short = tempfile::Builder::new().prefix("s").tempdir_in("/tmp").unwrap();
        drop(UnixListener::bind(short.path().join("s")).unwrap());
        std::fs::rename(short.path().join("s"), host.home(account).join(".ssh/authorized_keys")).unwrap();
    }
    if kind.make.ends_with(": full") {
        host.fill_small_disk().await;
    }
    home
}

async fn row(host: &TestHost, session: &Session, kind: &Kind, account: &str, pair: &KeyPair) -> String {
    let home = make(host, kind, account).await;
    let look = async || host.exec(&["sh", "-c", LOOK, "look", &home]).await.stdout;
    let file = async || std::fs::read(host.home(account).join(".ssh/authorized_keys")).unwrap_or_default();
    let (seen, bytes) = (look().await, if kind.refused.is_none() { file().await } else { Vec::new() });
    let name = AccountName::parse(account).unwrap();
    let goal = wanted(1, vec![key(&pair.public_line(), 1)]);
    let said = Host::new(session, &CLOCK).converge(&name, &goal).await;
    let said = said.map_err(|error| crate::adapters::hosts::failure(error).reason);
    assert_eq!(said.as_ref().err(), kind.refused.as_ref(), "{}", kind.name);
    if kind.refused.is_some() {
        assert_eq!(look().await, seen, "{}: something changed", kind.name);
    } else {
        assert!(file().await.starts_with(&bytes), "{}: foreign bytes changed", kind.name);
        let accepted = ssh(host, account, &pair.private_file(), "true").await.ok();
        assert!(accepted, "{}", kind.name);
    }
    let undo = format!("cd {home}; umount .ssh; chattr -i .ssh .ssh/authorized_keys; rm -f /srv/filler");
    host.exec(&["sh", "-c", &undo]).await;
    said.map_or_else(|reason| reason.as_str(), |_| "done").to_owned()
}

#[tokio::test]
async fn table_of_key_files() {
    let hosts = [
        TestHost::openssh(HostOptions::default()).await.unwrap(),
        TestHost::dropbear(HostOptions::default()).await.unwrap(),
    ];
    let pair = keygen(KeyType::Ed25519, "").await.unwrap();
    let mut table = format!("{:<24} {:<24} {:<24}\n", "key file", "OpenSSH", "Dropbear");
    let mut columns = Vec::new();
    for host in &hosts {
        host.write_authorized_keys("root", format!("{FOREIGN}\n"));
        let session = login(host, "root").await;
        let mut column = Vec::new();
        for (at, kind) in KINDS.iter().enumerate() {
            column.push(row(host, &session, kind, &format!("user{at}"), &pair).await);
        }
        columns.push(column);
        let roots = String::from_utf8(host.read_authorized_keys("root").unwrap()).unwrap();
        assert!(!roots.contains("keywright:"), "root's own file was edited");
    }
    for (at, kind) in KINDS.iter().enumerate() {
        table += &format!("{:<24} {:<24} {:<24}\n", kind.name, columns[0][at], columns[1][at]);
    }
    println!("{table}");
}
