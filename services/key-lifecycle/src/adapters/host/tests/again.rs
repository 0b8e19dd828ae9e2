//! An edit that follows another at once takes what that one left for known, as far as a comparison on the host covers it.

use super::super::Host;
use super::super::converge::{Converged, DesiredKeys, Seen};
use super::super::shell::local::LocalShell;
use super::setup::*;

async fn again(shell: &LocalShell, wanted: &DesiredKeys, seen: Seen) -> Converged {
    Host::local(shell, &CLOCK).converge_from(&alice(), wanted, Some(seen)).await.unwrap()
}

/// A look fails.
fn blind(shell: &mut LocalShell) {
    shell.only("inspect");
    shell.replace("guard 30", "result failed");
}

#[tokio::test]
async fn what_an_edit_left_is_not_looked_at_again() {
    for mut shell in each_shell().await {
        shell.host().write_authorized_keys("alice", format!("{FOREIGN}\n"));
        let seen = converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await.unwrap().into_seen();
        blind(&mut shell);
        let seen = again(&shell, &wanted(2, vec![key(BLOB_B, 2)]), seen).await.into_seen();
        again(&shell, &wanted(3, vec![]), seen).await;
        assert_eq!(content(&shell), format!("{FOREIGN}\n# keywright:acc_test rev=3\n"));
        shell.as_it_is();
    }
}

#[tokio::test]
async fn somebody_elses_change_in_between_is_met_and_stays() {
    let shell = one_shell().await;
    let seen = converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await.unwrap().into_seen();
    let theirs = format!("{}{FOREIGN}\n{BLOB_A} once more\n", content(&shell));
    shell.host().write_authorized_keys("alice", theirs);
    let done = again(&shell, &wanted(2, vec![]), seen).await;
    assert_eq!(content(&shell), format!("# keywright:acc_test rev=2\n{FOREIGN}\n"));
    assert_eq!(done.foreign_keys(), 1);
}

/// What needs no edit would be believed without a look.
#[tokio::test]
async fn a_file_that_seems_right_is_looked_at() {
    let shell = one_shell().await;
    let goal = wanted(1, vec![key(BLOB_A, 1)]);
    let seen = converge(&shell, &goal).await.unwrap().into_seen();
    shell.host().write_authorized_keys("alice", format!("{FOREIGN}\n"));
    again(&shell, &goal, seen).await;
    assert!(content(&shell).contains(BLOB_A));
}
