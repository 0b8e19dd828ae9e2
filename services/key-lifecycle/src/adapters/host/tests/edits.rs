//! Edits on every shell: what they do, what they refuse, and that a refusal changes nothing.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use keywright_domain::reason::Reason;

use super::super::Host;
use super::super::converge::Converged;
use super::super::digest::FileVersion;
use super::super::edit::Edit;
use super::super::failure::HostFailure;
use super::super::shell::local::LocalShell;
use super::setup::*;
use crate::adapters::hosts::UNTOUCHED;

const OLD: &str = "# mine\r\n\n  junk ,,, line\nssh-rsa broken\n";

async fn edit(shell: &LocalShell, expected: &FileVersion, bytes: &[u8]) -> Result<bool, HostFailure> {
    let facts = default_facts(shell);
    let edit =
        Edit { path: &facts.files[0].path, expected, owner: &owner(), revision: 5, overruled: None, bytes };
    Host::local(shell, &CLOCK).edit(&alice(), edit).await.map(|edited| edited.merged)
}

#[tokio::test]
async fn a_key_comes_and_goes_and_foreign_lines_stay_byte_for_byte() {
    for shell in each_shell().await {
        let before = format!("{OLD}from=\"10.0.0.0/8\"   {FOREIGN}\n# no line end");
        shell.host().write_authorized_keys("alice", &before);
        let path = shell.host().home("alice").join(FILE);
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let done = converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await.unwrap();
        assert_eq!(done.changed, ["/home/alice/.ssh/authorized_keys"]);
        assert_eq!(done.foreign_keys(), 1);
        let marker = "# keywright:acc_test rev=1\n";
        assert_eq!(content(&shell), format!("{before}\n{marker}{BLOB_A} keywright:acc_test:v1\n"));
        let meta = std::fs::metadata(&path).unwrap();
        let uid = shell.host().account("alice").unwrap().uid;
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o640, uid, uid));
        assert_eq!(converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await.unwrap().changed, [""; 0]);
        converge(&shell, &wanted(2, vec![])).await.unwrap();
        assert_eq!(content(&shell), format!("{before}\n# keywright:acc_test rev=2\n"));
        assert_eq!(left(&shell), ["authorized_keys"]);
    }
}

#[tokio::test]
async fn a_missing_folder_and_file_are_made_as_sshd_wants_them() {
    for shell in each_shell().await {
        converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await.unwrap();
        let home = shell.host().home("alice");
        let uid = shell.host().account("alice").unwrap().uid;
        for (path, mode) in [(home.join(".ssh"), 0o700), (home.join(FILE), 0o600)] {
            let meta = std::fs::symlink_metadata(path).unwrap();
            assert_eq!((meta.mode() & 0o777, meta.uid()), (mode, uid));
        }
    }
}

#[tokio::test]
async fn a_missing_home_is_not_made_and_holds_back_no_removal() {
    for shell in each_shell().await {
        std::fs::remove_dir_all(shell.host().home("alice")).unwrap();
        assert_eq!(reason(converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await), Reason::HostFileOwner);
        let done = converge(&shell, &wanted(2, vec![])).await.unwrap();
        assert_eq!((done.changed.len(), done.foreign_keys()), (0, 0));
        assert!(!shell.host().home("alice").exists());
    }
}

#[tokio::test]
async fn what_is_no_regular_file_of_the_account_is_refused() {
    for shell in each_shell().await {
        let host = shell.host();
        let home = host.home("alice");
        let uid = host.account("alice").unwrap().uid;
        let goal = wanted(1, vec![key(BLOB_A, 1)]);
        let absent = FileVersion::Absent;

        symlink("/tmp", home.join(".ssh")).unwrap();
        assert_eq!(reason(converge(&shell, &goal).await), Reason::HostFileSymlink);
        assert_eq!(reason(edit(&shell, &absent, b"x").await), Reason::HostFileSymlink);
        std::fs::remove_file(home.join(".ssh")).unwrap();

        host.write_authorized_keys("alice", FOREIGN);
        let file = home.join(FILE);
        std::fs::rename(&file, home.join(".ssh/other")).unwrap();
        symlink("other", &file).unwrap();
        assert_eq!(reason(converge(&shell, &goal).await), Reason::HostFileSymlink);
        assert_eq!(reason(edit(&shell, &absent, b"x").await), Reason::HostFileSymlink);
        assert_eq!(std::fs::read_to_string(home.join(".ssh/other")).unwrap(), FOREIGN);
        std::fs::remove_file(&file).unwrap();

        std::fs::create_dir(&file).unwrap();
        assert_eq!(reason(converge(&shell, &goal).await), Reason::HostFileNotRegular);
        assert_eq!(reason(edit(&shell, &absent, b"x").await), Reason::HostFileNotRegular);
        std::fs::remove_dir(&file).unwrap();

        host.exec(&["mkfifo", "/home/alice/.ssh/authorized_keys"]).await.success();
        chown(&file, Some(uid), Some(uid)).unwrap();
        assert_eq!(reason(converge(&shell, &goal).await), Reason::HostFileNotRegular);
        assert_eq!(reason(edit(&shell, &absent, b"x").await), Reason::HostFileNotRegular);
        std::fs::remove_file(&file).unwrap();

        let huge = vec![b'#'; 2 * 1024 * 1024];
        host.write_authorized_keys("alice", &huge);
        assert_eq!(reason(converge(&shell, &goal).await), Reason::HostFileTooLarge);
        assert_eq!(reason(edit(&shell, &FileVersion::of(&huge), b"x").await), Reason::HostFileTooLarge);

        host.write_authorized_keys("alice", FOREIGN);
        chown(&file, Some(0), Some(0)).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(reason(converge(&shell, &goal).await), Reason::HostFileOwner);
        assert_eq!(content(&shell), FOREIGN);
        assert_eq!(left(&shell), ["authorized_keys", "other"]);
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_said_and_left_alone() {
    for shell in each_shell().await {
        let host = shell.host();
        let goal = wanted(1, vec![key(BLOB_A, 1)]);
        host.write_authorized_keys("alice", FOREIGN);
        let folder = host.home("alice").join(".ssh");
        std::fs::set_permissions(&folder, Permissions::from_mode(0o500)).unwrap();
        assert_eq!(reason(converge(&shell, &goal).await), Reason::HostFileReadOnly);
        std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();

        // The test machine's file system knows the attribute, if any does.
        let path = host.home("alice").join(FILE);
        let immutable = |flag: &str| {
            std::process::Command::new("chattr")
                .arg(flag)
                .arg(&path)
                .status()
                .is_ok_and(|status| status.success())
        };
        assert!(immutable("+i"), "chattr does not work on this file system");
        let said = converge(&shell, &goal).await;
        immutable("-i");
        assert_eq!(reason(said), Reason::HostFileReadOnly);
        assert_eq!(content(&shell), FOREIGN);
        assert_eq!(left(&shell), ["authorized_keys"]);

        // A file that its owner made read-only can be replaced, and stays read-only.
        std::fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        converge(&shell, &goal).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o400);
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_the_file_stays() {
    for shell in each_shell().await {
        let host = shell.host();
        let full = AccountOnSmallDisk::new(&shell);
        host.write_authorized_keys("dora", FOREIGN);
        host.fill_small_disk().await;
        let goal = wanted(1, vec![key(BLOB_A, 1)]);
        let said = Host::local(&shell, &CLOCK).converge(&full.0, &goal).await;
        assert_eq!(reason(said), Reason::HostFileDiskFull);
        assert_eq!(host.read_authorized_keys("dora").unwrap(), FOREIGN.as_bytes());
        let names = host.exec(&["ls", "-A", "/srv/dora/.ssh"]).await.success();
        assert_eq!(names, "authorized_keys\n");
    }
}

pub(super) struct AccountOnSmallDisk(pub(super) keywright_domain::account::AccountName);

impl AccountOnSmallDisk {
    pub(super) fn new(shell: &LocalShell) -> Self {
        shell.host().add_user_on_small_disk("dora");
        Self(keywright_domain::account::AccountName::parse("dora").unwrap())
    }
}

#[tokio::test]
async fn a_file_that_changed_is_not_overwritten() {
    for mut shell in each_shell().await {
        shell.host().write_authorized_keys("alice", FOREIGN);
        assert_eq!(reason(edit(&shell, &FileVersion::of(b"else"), b"x").await), Reason::HostFileChanged);
        assert_eq!(reason(edit(&shell, &FileVersion::Absent, b"x").await), Reason::HostFileChanged);
        // Rewritten in place after the comparison: the owner's text comes back.
        shell.before("  look_again\n  flush .", "  printf 'rewritten\\n' >\"$old\"");
        assert_eq!(
            reason(edit(&shell, &FileVersion::of(FOREIGN.as_bytes()), b"x").await),
            Reason::HostFileChanged
        );
        assert_eq!(content(&shell), "rewritten\n");
        shell.as_it_is();
        // Made by somebody else meanwhile.
        std::fs::remove_file(shell.host().home("alice").join(FILE)).unwrap();
        shell.before("flush \"$temporary\"\n", "printf 'theirs\\n' >\"$base\"");
        assert_eq!(reason(edit(&shell, &FileVersion::Absent, b"x").await), Reason::HostFileChanged);
        assert_eq!(content(&shell), "theirs\n");
        assert_eq!(left(&shell), ["authorized_keys"]);
    }
}

#[tokio::test]
async fn an_append_during_the_edit_is_merged() {
    for mut shell in each_shell().await {
        let before = format!("{FOREIGN}\n");
        shell.host().write_authorized_keys("alice", &before);
        // Somebody who opened the file before the rename writes after it.
        shell.before("  look_again\n  flush .", "  printf 'appended one\\n' >>\"$old\"");
        shell.before("  flush .\n  look_again", "  printf 'appended two\\n' >>\"$old\"");
        assert!(edit(&shell, &FileVersion::of(before.as_bytes()), b"new\n").await.unwrap());
        assert_eq!(content(&shell), "new\nappended one\nappended two\n");
        assert_eq!(left(&shell), ["authorized_keys"]);
    }
}

#[tokio::test]
async fn a_stale_lock_is_taken_over_and_a_fresh_one_is_respected() {
    for shell in each_shell().await {
        shell.host().write_authorized_keys("alice", FOREIGN);
        let lock = shell.host().home("alice").join(".ssh/.authorized_keys.keywright-lock");
        let now = CLOCK.now().secs();
        let version = FileVersion::of(FOREIGN.as_bytes());
        symlink(format!("{}.other", now - 61), &lock).unwrap();
        std::fs::write(shell.host().home("alice").join(".ssh/.authorized_keys.keywright-new.dead"), "x")
            .unwrap();
        edit(&shell, &version, b"x").await.unwrap();
        assert_eq!(left(&shell), ["authorized_keys"]);
        symlink(format!("{}.other", now + 30), &lock).unwrap();
        assert_eq!(reason(edit(&shell, &FileVersion::of(b"x"), b"y").await), Reason::HostFileChanged);
        assert_eq!(content(&shell), "x");
        assert!(lock.is_symlink(), "the other's lock was touched");
        // A folder that was shut under the other edit, which could not take its lock away.
        let folder = shell.host().home("alice").join(".ssh");
        std::fs::set_permissions(&folder, Permissions::from_mode(0o500)).unwrap();
        assert_eq!(reason(edit(&shell, &FileVersion::of(b"x"), b"y").await), Reason::HostFileReadOnly);
    }
}

#[tokio::test]
async fn a_newer_revision_stops_an_edit_unless_it_was_never_issued() {
    for shell in each_shell().await {
        let newer = format!("{BLOB_A} x\n# keywright:acc_test rev=7\n# keywright:acc_other rev=99\n");
        shell.host().write_authorized_keys("alice", &newer);
        let version = FileVersion::of(newer.as_bytes());
        let said = edit(&shell, &version, b"x").await;
        assert!(matches!(said, Err(HostFailure::Superseded { found: 7 })), "{said:?}");
        let mut goal = wanted(6, vec![]);
        assert!(matches!(converge(&shell, &goal).await, Err(HostFailure::Superseded { found: 7 })));
        assert_eq!(content(&shell), newer);
        goal.overruled = Some(7);
        converge(&shell, &goal).await.unwrap();
        assert_eq!(content(&shell), "# keywright:acc_other rev=99\n# keywright:acc_test rev=6\n");
    }
}

#[tokio::test]
async fn a_cut_input_never_becomes_the_file() {
    for mut shell in each_shell().await {
        shell.host().write_authorized_keys("alice", FOREIGN);
        shell.before("digest_of \"$temporary\"\n", "printf x >>\"$temporary\"");
        let version = FileVersion::of(FOREIGN.as_bytes());
        assert_eq!(reason(edit(&shell, &version, b"half").await), Reason::HostEditFailed);
        assert_eq!((content(&shell).as_str(), left(&shell).len()), (FOREIGN, 1));
    }
}

#[tokio::test]
async fn an_edit_that_hangs_ends_itself_and_cleans_up() {
    for mut shell in each_shell().await {
        shell.host().write_authorized_keys("alice", FOREIGN);
        shell.before("flush \"$temporary\"\n", "mkfifo \"$dir/pipe\"; cat \"$dir/pipe\"; echo unreachable");
        shell.replace("guard 20", "guard 1");
        let version = FileVersion::of(FOREIGN.as_bytes());
        assert_eq!(reason(edit(&shell, &version, b"new").await), Reason::HostEditFailed);
        assert_eq!(content(&shell), FOREIGN);
        assert_eq!(left(&shell), ["authorized_keys", "pipe"]);
    }
}

#[tokio::test]
async fn a_central_file_is_edited_as_root_and_other_files_lose_the_key() {
    let host = keywright_kit::TestHost::openssh(keywright_kit::HostOptions::default()).await.unwrap();
    let shell = LocalShell::new(host, &["dash"]);
    shell.host().add_user("alice");
    let etc = shell.host().outside("/etc/ssh/sshd_config");
    std::fs::write(etc, "AuthorizedKeysFile /etc/ssh/keys.d/%u .ssh/authorized_keys\nUsePAM no\n").unwrap();
    shell.host().write_authorized_keys("alice", format!("{BLOB_A} old\n{FOREIGN}\n"));
    let done = converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await.unwrap();
    assert_eq!(done.changed, ["/etc/ssh/keys.d/alice", "/home/alice/.ssh/authorized_keys"]);
    let central = std::fs::metadata(shell.host().outside("/etc/ssh/keys.d/alice")).unwrap();
    assert_eq!((central.uid(), central.mode() & 0o777), (0, 0o644));
    assert_eq!(content(&shell), format!("{FOREIGN}\n# keywright:acc_test rev=1\n"));
    let done = converge(&shell, &wanted(2, vec![])).await.unwrap();
    assert_eq!((done.changed.len(), done.foreign_keys()), (2, 1));
}

#[tokio::test]
async fn hosts_without_base64_od_or_sha256sum_are_served_too() {
    for mut shell in each_shell().await {
        let before = b"# \xff\x00 binary\r\n".to_vec();
        shell.host().write_authorized_keys("alice", &before);
        let facts = default_facts(&shell);
        for missing in ["base64", "od"] {
            shell.replace(&format!("command -v {missing} "), "command -v nothing-like-it ");
            let read = Host::local(&shell, &CLOCK).read_file(&alice(), &facts.files[0]).await.unwrap();
            assert_eq!(read.bytes(), before);
        }
        shell.as_it_is();
        shell.replace("command -v sha256sum ", "command -v nothing-like-it ");
        assert_eq!(reason(edit(&shell, &FileVersion::of(b"else"), b"x").await), Reason::HostFileChanged);
        edit(&shell, &FileVersion::of(&before), b"new\n").await.unwrap();
        assert_eq!(content(&shell), "new\n");
    }
}

#[tokio::test]
async fn what_sshd_would_pass_over_is_refused_before_it_is_touched_and_holds_back_no_removal() {
    for shell in each_shell().await {
        let host = shell.host();
        let config = host.outside("/etc/ssh/sshd_config");
        let open = |mode| {
            std::fs::set_permissions(host.home("alice"), Permissions::from_mode(mode)).unwrap();
        };
        open(0o777);
        let before = format!("{FOREIGN}\n");
        host.write_authorized_keys("alice", &before);
        assert_eq!(reason(converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await), Reason::HostFileOwner);
        assert_eq!(content(&shell), before);
        std::fs::write(&config, "StrictModes no\n").unwrap();
        converge(&shell, &wanted(2, vec![key(BLOB_A, 1)])).await.unwrap();
        std::fs::write(&config, "StrictModes yes\n").unwrap();
        converge(&shell, &wanted(3, vec![])).await.unwrap();
        assert!(!content(&shell).contains(BLOB_A));
        // A group that nobody else is in: whether sshd minds depends on its maker, and the proof tells.
        open(0o770);
        converge(&shell, &wanted(4, vec![key(BLOB_A, 1)])).await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_refused_is_told_untouched_and_holds_back_nothing_that_is_as_it_should_be() {
    let shell = one_shell().await;
    let host = shell.host();
    let file = host.home("alice").join(FILE);
    host.write_authorized_keys("alice", "");
    std::fs::remove_file(&file).unwrap();
    let refused = |result: Result<_, HostFailure>| {
        let failure = crate::adapters::hosts::failure(result.map(|_: Converged| ()).unwrap_err());
        (failure.reason, failure.metadata.contains_key(UNTOUCHED))
    };
    std::fs::create_dir(&file).unwrap();
    let said = converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await;
    assert_eq!(refused(said), (Reason::HostFileNotRegular, true));
    converge(&shell, &wanted(2, vec![])).await.unwrap();
    std::fs::remove_dir(&file).unwrap();

    // A link to a file that has what is wanted, and nothing that is not.
    std::fs::write(host.home("alice").join("other"), format!("{FOREIGN}\n{BLOB_A} keywright:acc_test:v1\n"))
        .unwrap();
    symlink("../other", &file).unwrap();
    converge(&shell, &wanted(3, vec![key(BLOB_A, 1)])).await.unwrap();
    let said = converge(&shell, &wanted(4, vec![key(BLOB_B, 2)])).await;
    assert_eq!(refused(said), (Reason::HostFileSymlink, true));
    let said = converge(&shell, &wanted(5, vec![])).await;
    assert_eq!(refused(said), (Reason::HostFileSymlink, true));

    // The first of two files was edited, the second was refused.
    std::fs::remove_file(&file).unwrap();
    let second = host.home("alice").join(".ssh/authorized_keys2");
    std::fs::write(&second, vec![b'#'; 2 * 1024 * 1024]).unwrap();
    let said = converge(&shell, &wanted(6, vec![key(BLOB_A, 1)])).await;
    assert_eq!(refused(said), (Reason::HostFileTooLarge, false));
}
