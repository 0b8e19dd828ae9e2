//! Whoever holds the account that the shipped rule names, and means harm, becomes neither root nor one who may be.

use std::path::Path;

use keywright_kit::{HostOptions, KeyPair, KeyType, Output, TestHost, keygen, ssh};

use super::super::script::HELPER;
use super::setup::{BLOB_A, BLOB_B, FOREIGN};
use super::ways_in::{as_shipped, asked_to_edit, by_hand, with_people};
use crate::adapters::host::digest::FileVersion;

async fn stolen(options: HostOptions) -> (TestHost, KeyPair) {
    let host = with_people(TestHost::openssh(options).await.unwrap()).await;
    let pair = keygen(KeyType::Ed25519, "").await.unwrap();
    host.write_authorized_keys("keywright", pair.public_line() + "\n");
    (host, pair)
}

fn etc(host: &TestHost, name: &str) -> String {
    std::fs::read_to_string(host.outside("/etc").join(name)).unwrap()
}

fn add_line(host: &TestHost, name: &str, line: &str) {
    let path = host.outside("/etc").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(path, before + line + "\n").unwrap();
}

/// What is asked for to put `new` in the place of `old` in alice's key file.
fn asked_to_replace(path: &str, old: &str, new: &str) -> String {
    let (old, version) = (FileVersion::of(old.as_bytes()), FileVersion::of(new.as_bytes()));
    format!(
        "keywright 1 edit\naccount=alice\npath={path}\nsha={}\nmd5={}\nnew_sha={}\nnew_md5={}\ntag=acc_x\nrev=1\n\
         overruled=\ntoken=abc\n\n{new}",
        old.sha256(),
        old.md5(),
        version.sha256(),
        version.md5()
    )
}

fn result(said: &Output) -> &str {
    let line = said.stdout.lines().find_map(|line| line.strip_prefix("result="));
    line.unwrap_or_else(|| panic!("no result: {said:?}"))
}

#[tokio::test]
async fn no_account_is_made_by_a_name_that_stands_for_rights() {
    let (host, pair) = stolen(as_shipped()).await;
    add_line(&host, "group", "ops:x:1500:");
    add_line(&host, "group", "crew:x:400:keywright");
    let before = ["passwd", "shadow", "group"].map(|name| etc(&host, name));
    let names = [
        "root",
        "daemon",
        "nobody",
        "sudo",
        "wheel",
        "admin",
        "docker",
        "shadow",
        "disk",
        "adm",
        "lxd",
        "kvm",
        "libvirt",
        "kmem",
        "staff",
        "incus-admin",
        "ops",
        "crew",
    ];
    for name in names {
        let said = by_hand(&host, &pair, &format!("keywright 1 create\naccount={name}\n\n")).await;
        assert_eq!(result(&said), "account_not_allowed", "{name}: {said:?}");
    }
    let long = "a".repeat(33);
    for name in [
        "", "0", "1000", "9lives", "-u0", "-o", "Alice", "a b", "../x", "a/b", "a:0:0", "a;id", "$(id)", "é",
        &long,
    ] {
        let said = by_hand(&host, &pair, &format!("keywright 1 create\naccount={name}\n\n")).await;
        assert_eq!(result(&said), "failed", "{name}: {said:?}");
    }
    // A second line is no part of the name, and what follows the empty line is nothing that is asked.
    for input in ["account=bob\naccount=-o\n\n", "account=bob\nuid=0\n\n", "account=bob\ngroups=sudo\n\n"] {
        let said = by_hand(&host, &pair, &format!("keywright 1 create\n{input}")).await;
        assert_eq!(result(&said), "failed", "{input}");
    }
    assert_eq!(["passwd", "shadow", "group"].map(|name| etc(&host, name)), before);
    let made = by_hand(&host, &pair, "keywright 1 create\naccount=bob\n\n").await;
    assert_eq!(result(&made), "done");
    let groups = host.exec(&["id", "-Gn", "bob"]).await.success();
    assert_eq!((groups.as_str(), host.account("bob").unwrap().uid >= 1000), ("bob\n", true));
}

#[tokio::test]
async fn no_parameter_becomes_a_command() {
    let (host, pair) = stolen(as_shipped().config("AuthorizedKeysFile /etc/ssh/keys.d/%u")).await;
    std::fs::create_dir(host.outside("/etc/ssh/keys.d")).unwrap();
    std::fs::write(host.outside("/etc/ssh/keys.d/keywright"), pair.public_line()).unwrap();
    let asked = asked_to_edit("alice", "/etc/ssh/keys.d/alice");
    let md5 = asked.lines().find_map(|line| line.strip_prefix("new_md5=")).unwrap();
    for (parameter, value) in
        [("sha", "absent"), ("md5", "absent"), ("new_md5", md5), ("rev", "1"), ("token", "abc")]
    {
        let line = format!("\n{parameter}={value}\n");
        assert!(asked.contains(&line), "{parameter}");
        let input = asked.replace(&line, &format!("\n{parameter}={value} /usr/bin/touch /tmp/got\n"));
        let said = by_hand(&host, &pair, &input).await;
        assert!(!host.outside("/tmp/got").exists(), "{parameter} is a command");
        assert_eq!(result(&said), "failed", "{parameter}: {said:?}");
    }
    let as_root = "keywright 1 inspect\naccount=alice\nfrom=127.0.0.1,user=root\nepoch=1\ntoken=abc\n\n";
    assert_eq!(result(&by_hand(&host, &pair, as_root).await), "failed");
    assert_eq!(result(&by_hand(&host, &pair, &asked).await), "done");
}

/// `sudo` itself runs as root, and by whatever name and with whatever prompt its caller gives it.
#[tokio::test]
async fn sudo_that_is_called_sshd_names_no_configuration() {
    let (host, pair) = stolen(as_shipped()).await;
    let attack = async |keys_file: &str, input: &str| {
        let input = input.replace('\'', r"'\''");
        let command = format!(
            "ln -sf /usr/bin/sudo ./sshd; printf %s '{input}' >./asked; \
             [ -e ./key ] || ssh-keygen -q -t ed25519 -N '' -f ./key <&-; echo \"HostKey $HOME/key\" >./config; \
             echo 'AuthorizedKeysFile {keys_file}' >>./config; \
             ./sshd -n -p \" -f $HOME/config \" {HELPER} <./asked"
        );
        ssh(&host, "keywright", &pair.private_file(), &command).await
    };
    let edited = attack("/etc/got/x", &asked_to_edit("alice", "/etc/got/x")).await;
    assert_eq!(result(&edited), "failed", "{edited:?}");
    assert!(!host.outside("/etc/got").exists());
    let read = attack("/etc/shadow", "keywright 1 read\naccount=alice\npath=/etc/shadow\n\n").await;
    assert!(result(&read) == "failed" && !read.stdout.contains("base64="), "{read:?}");
}

#[tokio::test]
async fn nothing_of_the_callers_environment_counts() {
    let (host, pair) = stolen(as_shipped()).await;
    let command = format!(
        "mkdir -p bin; printf '#!/bin/sh\\n/usr/bin/touch /tmp/got\\n' >bin/x; chmod 755 bin/x; \
         for tool in id getent useradd usermod ls sshd cat grep sed date sleep setpriv; do ln -s x bin/$tool; done; \
         export ENV=$HOME/bin/x BASH_ENV=$HOME/bin/x IFS=/ CDPATH=$HOME LD_PRELOAD=$HOME/bin/x PS4='$(touch /tmp/got)' \
         SHELLOPTS=xtrace TMPDIR=$HOME PATH=$HOME/bin:$PATH; \
         printf 'keywright 1 create\\naccount=bob\\n\\n' | /usr/bin/sudo -n {HELPER}; \
         printf 'keywright 1 inspect\\naccount=bob\\nepoch=1\\ntoken=abc\\n\\n' | /usr/bin/sudo -n -E {HELPER}; \
         printf 'keywright 1 inspect\\naccount=bob\\n\\n' | /usr/bin/sudo -n PATH=$HOME/bin {HELPER}"
    );
    let said = ssh(&host, "keywright", &pair.private_file(), &command).await;
    assert!(said.stdout.contains("result=done\n"), "{said:?}");
    assert!(!host.outside("/tmp/got").exists(), "{said:?}");
    assert_eq!(host.account("bob").unwrap().home, Path::new("/home/bob"));
}

#[tokio::test]
async fn an_account_that_may_become_root_gets_no_key_but_loses_one() {
    let (host, pair) = stolen(as_shipped()).await;
    let path = "/home/alice/.ssh/authorized_keys";
    let ways_to_root = [
        ("usermod -aG sudo alice", "usermod -G '' alice"),
        ("groupadd -g 1600 docker; usermod -aG docker alice", "usermod -G '' alice"),
        ("usermod -g root alice", "usermod -g alice alice"),
        ("echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice", "rm /etc/sudoers.d/alice"),
    ];
    for (give, take) in ways_to_root {
        let old = format!("{FOREIGN}\n{BLOB_A}\n");
        host.write_authorized_keys("alice", &old);
        host.exec(&["sh", "-c", give]).await.success();
        for new in [
            format!("{old}{BLOB_B}\n"),
            format!("{FOREIGN}\nno-pty {BLOB_A}\n"),
            format!("{FOREIGN}\n {BLOB_B}\n"),
            format!("{FOREIGN}\n{BLOB_A} x\n"),
        ] {
            let said = by_hand(&host, &pair, &asked_to_replace(path, &old, &new)).await;
            assert_eq!(result(&said), "account_not_allowed", "{give}: {new}");
            assert_eq!(host.read_authorized_keys("alice").unwrap(), old.as_bytes(), "{give}");
        }
        // A line may end earlier for one program than for another.
        let zero = asked_to_replace(path, &old, &format!("# x\0{BLOB_B}\n"));
        let by_su = ["su", "-s", "/bin/sh", "keywright", "-c", &format!("sudo -n {HELPER}")];
        let said = host.exec_with_input(&by_su, zero.as_bytes()).await;
        assert_eq!(result(&said), "account_not_allowed", "{give}: {said:?}");
        let less = format!("{FOREIGN}\n# keywright:acc_x rev=1\n");
        assert_eq!(
            result(&by_hand(&host, &pair, &asked_to_replace(path, &old, &less)).await),
            "done",
            "{give}"
        );
        assert_eq!(host.read_authorized_keys("alice").unwrap(), less.as_bytes());
        let none = asked_to_replace(path, &less, "");
        assert_eq!(result(&by_hand(&host, &pair, &none).await), "done", "{give}");
        // Root may say that this account is meant all the same.
        add_line(&host, "keywright/privileged-accounts", "alice");
        let more = format!("{BLOB_B}\n");
        assert_eq!(
            result(&by_hand(&host, &pair, &asked_to_replace(path, "", &more)).await),
            "done",
            "{give}"
        );
        std::fs::remove_dir_all(host.outside("/etc/keywright")).unwrap();
        host.exec(&["sh", "-c", take]).await.success();
        let all = format!("{more}{FOREIGN}\n");
        assert_eq!(
            result(&by_hand(&host, &pair, &asked_to_replace(path, &more, &all)).await),
            "done",
            "{give}"
        );
    }
}
