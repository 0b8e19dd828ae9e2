//! The bench still runs, from its first host to its last row. What it measures in a round so short says nothing.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

const ROWS: [&str; 10] = [
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
];

#[test]
fn a_short_round_fills_every_row() {
    let bench = Path::new(env!("CARGO_BIN_EXE_keywright-bench"));
    let mut command = Command::new(bench);
    command.arg("--smoke").env("KEYWRIGHT_TEST_BINARIES", bench.parent().unwrap());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let told = format!("{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    for row in ROWS {
        let line = said.lines().find(|line| line.starts_with(row));
        let line = line.unwrap_or_else(|| panic!("no row `{row}`: {told}"));
        assert!(!line.contains("NaN") && !line.contains("inf"), "{told}");
    }
}

#[test]
fn fewer_rounds_than_a_median_needs_are_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywright-bench"));
    let output = command.args(["--rounds", "4"]).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
}
