//! The bench still runs, from its first host to its last row. What it measures in a round so short says nothing.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

#[test]
fn a_short_round_fills_every_row() {
    fills(
        &["--smoke"],
        &[
            "login and `true`, Keywright's client",
            "login and `true`, ssh, same key exchange",
            "rotation, confirm to promoted",
            "revocation, request to proven refused",
            "rotation to promoted, p50 in own logins",
            "revocation to refused, p99 in own logins",
            "host CPU per rotation, ms",
            "client CPU per scripted rotation, ms",
            "rate over cores / (host CPU + own CPU)",
            "rate over scripted ssh, same steps",
        ],
    );
}

/// Without anybody who would have to be installed first.
#[test]
fn a_short_round_of_the_probe_fills_every_row() {
    fills(
        &["--probe", "--smoke"],
        &[
            "Keywright's client  ",
            "Keywright, test of a fleet by REST, all checks  ",
            "ssh, same key exchange",
            "ssh, same key exchange and commands",
            "ssh, the key exchange it prefers",
            "  own CPU over the server's",
            "  rate over cores / (server CPU + own CPU)",
            "  rate over ssh, same key exchange  ",
            "  rate over ssh, same key exchange and commands",
            "own p50 over ssh's",
            "rate over ssh-keyscan's",
            "resident, KiB",
            "an ssh process, its own pages alone, KiB",
        ],
    );
}

#[test]
fn a_short_round_of_the_audit_log_fills_every_row() {
    fills(
        &["--audit", "--smoke"],
        &[
            "the engine on PostgreSQL",
            "  a hash chain inside each transaction, 16 clients",
            "  single rows without a chain, 16 clients",
            "  raw batches of 8 by one writer",
            "the engine on SQLite",
            "  raw batches on PostgreSQL",
            "  raw batches on SQLite",
            "one caller: its own milliseconds",
            "  the command's verifier",
        ],
    );
}

fn fills(arguments: &[&str], rows: &[&str]) {
    let bench = Path::new(env!("CARGO_BIN_EXE_keywright-bench"));
    let mut command = Command::new(bench);
    command.args(arguments).env("KEYWRIGHT_TEST_BINARIES", bench.parent().unwrap());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let told = format!("{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    for row in rows {
        let line = said.lines().find(|line| line.starts_with(row));
        let line = line.unwrap_or_else(|| panic!("no row `{row}`: {told}"));
        assert!(!line.contains("NaN") && !line.contains("inf") && !line.contains("not compared"), "{told}");
    }
}

#[test]
fn fewer_rounds_than_a_median_needs_are_refused() {
    for mode in [&["--rounds", "4"][..], &["--probe", "--rounds", "4"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keywright-bench"));
        let output = command.args(mode).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
    }
}
