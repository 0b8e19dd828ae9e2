//! Edits that are held up at each stage: by a stop that outlasts the lock, by a disk that fills up.

use std::time::Duration;

use keywright_kit::{TestHost, eventually};

use super::super::Host;
use super::super::failure::HostFailure;
use super::super::shell::local::LocalShell;
use super::edits::AccountOnSmallDisk;
use super::setup::*;
use keywright_domain::reason::Reason;

const LIMIT: Duration = Duration::from_secs(30);
const OLD: &str = "# theirs\r\nno newline at the end";

/// Each line of the script before which it may be held up, and what is about to happen there.
const STAGES: &[(&str, &str)] = &[
    ("the lock", "# The lock is a dangling link"),
    ("the sweeping", "# What a killed edit left behind."),
    ("the comparison", "[ ! -L \"$base\" ] || fail symlink"),
    ("the new file", "# The new file, complete and on disk"),
    ("the second look at the lock", "# Whoever takes the lock over"),
    ("the content", "said=$( { cat >>"),
    ("the context", "# The security context of the file"),
    ("the flush", "flush \"$temporary\"\n"),
    ("the link", "  old=.$base.keywright-old.$token"),
    ("the comparison of the link", "  [ ! -L \"$old\" ] && [ -f \"$old\" ]"),
    ("the rename", "  said=$(mv -f \"$temporary\" \"$base\""),
    ("the first look back", "  undo() {"),
    ("the second look back", "  flush .\n  look_again"),
    ("the end", "fail done"),
];

async fn is_stopped(host: &TestHost) -> bool {
    let state = host.exec(&["sh", "-c", "grep -c '^State:.*T' /proc/$(cat /tmp/stopped)/status"]).await;
    state.stdout == "1\n"
}

/// An edit of revision 4 stops; the clock goes on by hours (or back), and revision 9 takes all keys away; then the
/// first one wakes up.
async fn an_old_edit_wakes_up(shell: &LocalShell, stage: &str, line: &str, clock: &str) {
    let host = shell.host();
    host.exec(&["rm", "-f", "/tmp/stopped"]).await;
    let before = format!("{OLD}\n{BLOB_A} keywright:acc_test:v1\n# keywright:acc_test rev=3\n");
    host.write_authorized_keys("alice", &before);
    let (mut stopping, mut newer) = (shell.beside(), shell.beside());
    stopping.only("edit");
    stopping.before(line, "echo $$ >/tmp/stopped; kill -STOP $$");
    stopping.replace("guard 20", "guard 55");
    stopping.replace("guard 30", "guard 55");
    newer.only("edit");
    newer.replace("  now=$(date +%s)", &format!("  now=$(($(date +%s) {clock}))"));

    let older = wanted(4, vec![key(BLOB_A, 1), key(BLOB_B, 2)]);
    let old = converge(&stopping, &older);
    let meanwhile = async {
        assert!(eventually(LIMIT, async || is_stopped(host).await).await, "{stage}: it never stopped");
        let done = converge(&newer, &wanted(9, vec![])).await;
        host.exec(&["sh", "-c", "kill -CONT $(cat /tmp/stopped)"]).await.success();
        done
    };
    let (old, done) = tokio::join!(old, meanwhile);
    done.unwrap_or_else(|error| panic!("{stage}: {error:?}"));
    match stage {
        // All of it was done, and seen to be, before the newer one came.
        "the end" => assert!(old.is_ok(), "{stage}: {old:?}"),
        _ => assert!(matches!(old, Err(HostFailure::Superseded { found: 9 })), "{stage}: {old:?}"),
    }
    assert_eq!(content(shell), format!("{OLD}\n# keywright:acc_test rev=9\n"), "{stage}");
    assert_eq!(left(shell), ["authorized_keys"], "{stage}");
}

#[tokio::test]
async fn an_edit_that_wakes_up_late_brings_nothing_back() {
    let full = std::env::var_os("KEYWRIGHT_TEST_FULL").is_some();
    let shells = if full { each_shell().await } else { vec![one_shell().await] };
    for shell in shells {
        for (at, (stage, line)) in STAGES.iter().enumerate() {
            let both = ["+ 7200", "- 7200"];
            let clocks = if full { both.to_vec() } else { vec![both[at % 2]] };
            for clock in clocks {
                an_old_edit_wakes_up(&shell, stage, line, clock).await;
            }
        }
    }
}

/// The lines that an edit of this length adds do not fit into the page that the file has.
fn long() -> String {
    format!("{}{FOREIGN}\n", "# a line of theirs that takes some room\n".repeat(300))
}

#[tokio::test]
async fn a_disk_that_fills_up_at_any_stage_leaves_the_file_or_the_whole_edit() {
    for shell in each_shell().await {
        let account = AccountOnSmallDisk::new(&shell).0;
        let host = shell.host();
        for (stage, line) in STAGES {
            let before = long();
            host.write_authorized_keys("dora", &before);
            let mut filling = shell.beside();
            filling.only("edit");
            filling.before(line, "cat /dev/zero >/srv/dora/filler 2>/dev/null");
            let said =
                Host::local(&filling, &CLOCK).converge(&account, &wanted(1, vec![key(BLOB_A, 1)])).await;
            let file = String::from_utf8(host.read_authorized_keys("dora").unwrap()).unwrap();
            match said {
                Ok(_) => {
                    let edited = format!("# keywright:acc_test rev=1\n{BLOB_A} keywright:acc_test:v1\n");
                    assert_eq!(file, format!("{before}{edited}"), "{stage}");
                }
                Err(error) => {
                    assert_eq!(
                        crate::adapters::hosts::failure(error).reason,
                        Reason::HostFileDiskFull,
                        "{stage}"
                    );
                    assert_eq!(file, before, "{stage}");
                }
            }
            let names = host.exec(&["ls", "-A", "/srv/dora/.ssh"]).await.success();
            assert_eq!(names, "authorized_keys\n", "{stage}");
            host.exec(&["rm", "-f", "/srv/dora/filler"]).await;
        }
    }
}

#[tokio::test]
async fn an_append_that_no_longer_fits_gives_the_old_file_back_with_it() {
    for shell in each_shell().await {
        let account = AccountOnSmallDisk::new(&shell).0;
        shell.host().write_authorized_keys("dora", format!("{FOREIGN}\n"));
        let mut filling = shell.beside();
        filling.only("edit");
        let append = "i=0; while [ $i -lt 300 ]; do echo '# appended, and not short either' >>\"$old\"; i=$((i + 1)); done";
        filling.before(
            "  look_again\n  flush .",
            &format!("  {append}; cat /dev/zero >/srv/dora/filler 2>/dev/null"),
        );
        let said = Host::local(&filling, &CLOCK).converge(&account, &wanted(1, vec![key(BLOB_A, 1)])).await;
        assert_eq!(reason(said), Reason::HostFileDiskFull);
        let file = String::from_utf8(shell.host().read_authorized_keys("dora").unwrap()).unwrap();
        assert_eq!(file, format!("{FOREIGN}\n{}", "# appended, and not short either\n".repeat(300)));
        assert_eq!(shell.host().exec(&["ls", "-A", "/srv/dora/.ssh"]).await.stdout, "authorized_keys\n");
    }
}
