//! The security context of files, on hosts with the tools for it: fakes that write down how they were called.

use std::os::unix::fs::PermissionsExt;

use keywright_domain::reason::Reason;

use super::super::shell::local::LocalShell;
use super::setup::*;

/// On this host `tool` is a fake that ends with `code`.
fn fake(shell: &LocalShell, tool: &str, code: i32) {
    let folder = shell.host().outside("/tmp/fakes");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(tool);
    std::fs::write(&path, format!("#!/bin/sh\necho \"{tool} $*\" >>/tmp/called\nexit {code}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

async fn with_fakes(tools: &[(&str, i32)]) -> LocalShell {
    let mut shell = one_shell().await;
    for (tool, code) in tools {
        fake(&shell, tool, *code);
    }
    let called = shell.host().outside("/tmp/called");
    std::fs::write(&called, "").unwrap();
    std::fs::set_permissions(called, std::fs::Permissions::from_mode(0o666)).unwrap();
    shell.replace("PATH=/usr/sbin:", "PATH=/tmp/fakes:/usr/sbin:");
    shell
}

fn called(shell: &LocalShell) -> String {
    std::fs::read_to_string(shell.host().outside("/tmp/called")).unwrap()
}

#[tokio::test]
async fn a_new_file_gets_its_context_and_a_replaced_one_keeps_it() {
    let shell = with_fakes(&[("restorecon", 0), ("chcon", 0), ("selinuxenabled", 0)]).await;
    converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await.unwrap();
    let made = called(&shell);
    assert!(
        made.starts_with("restorecon /home/alice/.ssh\nrestorecon .authorized_keys.keywright-new."),
        "{made}"
    );
    assert!(!made.contains("chcon"), "{made}");
    converge(&shell, &wanted(2, vec![])).await.unwrap();
    let replaced = called(&shell).split_off(made.len());
    assert!(
        replaced.starts_with(
            "selinuxenabled \nchcon --reference=authorized_keys .authorized_keys.keywright-new."
        ),
        "{replaced}"
    );
}

#[tokio::test]
async fn a_context_that_cannot_be_kept_matters_where_it_is_enforced() {
    for (enabled, fails) in [(0, true), (1, false)] {
        let shell = with_fakes(&[("chcon", 1), ("selinuxenabled", enabled)]).await;
        shell.host().write_authorized_keys("alice", FOREIGN);
        let said = converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await;
        if fails {
            assert_eq!(reason(said), Reason::HostEditFailed);
            assert_eq!((content(&shell).as_str(), left(&shell).len()), (FOREIGN, 1));
        } else {
            said.unwrap();
        }
    }
}

#[tokio::test]
async fn a_directory_with_an_access_list_is_not_roots_alone() {
    let mut shell = one_shell().await;
    let config = "AuthorizedKeysFile /etc/ssh/keys.d/%u\n";
    std::fs::write(shell.host().outside("/etc/ssh/sshd_config"), config).unwrap();
    std::fs::create_dir(shell.host().outside("/etc/ssh/keys.d")).unwrap();
    converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await.unwrap();
    assert!(shell.host().outside("/etc/ssh/keys.d/alice").exists());
    // As `ls` tells it of a directory that some account may change besides.
    let folder = shell.host().outside("/tmp/fakes");
    std::fs::create_dir_all(&folder).unwrap();
    let listing = folder.join("ls");
    std::fs::write(&listing, "#!/bin/sh\n/bin/ls \"$@\" | sed 's/^\\(d[^ ]*\\)/\\1+/'\n").unwrap();
    std::fs::set_permissions(listing, std::fs::Permissions::from_mode(0o755)).unwrap();
    shell.replace("PATH=/usr/sbin:", "PATH=/tmp/fakes:/usr/sbin:");
    let said = converge(&shell, &wanted(2, vec![])).await;
    assert_eq!(reason(said), Reason::HostFileOwner);
    assert!(shell.host().outside("/etc/ssh/keys.d/alice").exists());
}
