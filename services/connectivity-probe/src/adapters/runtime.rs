//! Facts about the system: one script, and what its answer is worth.
//!
//! Invariant: a value is taken only in the form that its fact has; whatever else the server says is dropped.

use crate::report::Facts;
use keywright_domain::clock::Instant;
use keywright_ssh::ExecLimits;
use std::collections::BTreeMap;
use std::time::Duration;

/// Read from standard input, so that every login shell can start it.
pub const COMMAND: &str = "/bin/sh -s";
pub const SCRIPT: &[u8] = include_bytes!("runtime.sh");
pub const LIMITS: ExecLimits = ExecLimits { output: 64 * 1024, deadline: Duration::from_secs(10) };

const MARK: &str = "keywright.";
/// The longest text that is kept as a fact.
const MAX_TEXT: usize = 200;

/// What is known from this side.
pub struct Observed<'a> {
    pub before: Instant,
    pub after: Instant,
    /// The identification line.
    pub server_version: &'a str,
}

pub struct Read {
    pub facts: Facts,
    pub missing: Vec<&'static str>,
}

/// Reads the script's answer; other lines (a greeting of the shell's own start files) are ignored.
pub fn read(stdout: &[u8], observed: &Observed<'_>) -> Read {
    let said = lines(stdout);
    let said = |name: &str| said.get(name).map(String::as_str);
    let number = |name: &str| said(name).and_then(|text| text.parse::<u64>().ok());
    let bytes =
        |kib: &str, bytes: &str| number(kib).and_then(|n| n.checked_mul(1024)).or_else(|| number(bytes));
    let text = |name: &str| said(name).map(ToOwned::to_owned);
    let runtime = text("containerRuntime");
    let mut values = vec![
        ("os", text("os")),
        ("kernel", text("kernel")),
        ("architecture", text("architecture")),
        ("cpus", number("cpus").map(|n| n.to_string())),
        ("memoryBytes", bytes("memoryKib", "memoryBytes").map(|n| n.to_string())),
        ("freeDiskBytes", bytes("freeDiskKib", "freeDiskBytes").map(|n| n.to_string())),
        ("uptimeSeconds", number("uptimeSeconds").map(|n| n.to_string())),
        ("clockSkewSeconds", number("clock").and_then(|clock| skew(clock, observed)).map(|n| n.to_string())),
        ("sshdVersion", software(observed.server_version)),
        ("loginShell", text("loginShell").filter(|shell| shell.starts_with('/'))),
        ("passwordlessSudo", text("passwordlessSudo").filter(|sudo| sudo == "true" || sudo == "false")),
    ];
    if runtime.as_deref() != Some("none") {
        values.push(("containerRuntimeVersion", said("containerRuntimeVersion").and_then(version)));
    }
    values.push(("containerRuntime", runtime));
    let missing = values.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
    let facts = values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    Read { facts, missing }
}

/// Names to values, the first of each; short printable text only.
fn lines(stdout: &[u8]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in String::from_utf8_lossy(stdout).lines() {
        let Some((name, value)) = line.strip_prefix(MARK).and_then(|line| line.split_once('=')) else {
            continue;
        };
        let value = value.trim();
        let fits = !value.is_empty() && value.len() <= MAX_TEXT && !value.chars().any(char::is_control);
        if fits && !found.contains_key(name) {
            found.insert(name.to_owned(), value.to_owned());
        }
    }
    found
}

/// How many seconds the server's clock is ahead of ours; 0 if both could be the same. It was read, in whole seconds,
/// some time between `before` and `after`.
fn skew(clock: u64, observed: &Observed<'_>) -> Option<i64> {
    let earliest = i64::try_from(clock).ok()?;
    let latest = earliest.checked_add(1)?;
    let (before, after) = (observed.before.secs(), observed.after.ceil_to_second().secs());
    if earliest > after {
        Some(earliest.saturating_sub(after))
    } else if latest < before {
        Some(latest.saturating_sub(before))
    } else {
        Some(0)
    }
}

/// What follows the protocol version in an identification line.
fn software(identification: &str) -> Option<String> {
    let software = identification.strip_prefix("SSH-")?.split_once('-')?.1.trim();
    (!software.is_empty()).then(|| software.chars().take(MAX_TEXT).collect())
}

/// The first word of the line that is a version.
fn version(line: &str) -> Option<String> {
    let words = line.split_ascii_whitespace().map(|word| word.trim_matches(','));
    let mut versions = words.map(|word| word.strip_prefix('v').unwrap_or(word));
    versions.find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "Welcome to web-1!\n\
        keywright.clock=1700000100\n\
        keywright.os=Debian GNU/Linux 12 (bookworm)\n\
        keywright.kernel=Linux 6.1.0-18-amd64\n\
        keywright.architecture=x86_64\n\
        keywright.cpus=4\n\
        keywright.memoryKib=2048\n\
        keywright.freeDiskKib=1024\n\
        keywright.uptimeSeconds=86400\n\
        keywright.loginShell=/bin/bash\n\
        keywright.containerRuntimeVersion=Docker version 24.0.5, build 24.0.5-1\n\
        keywright.containerRuntime=docker\n\
        keywright.passwordlessSudo=false\n";

    fn observed(before: i64, after: i64) -> Observed<'static> {
        Observed {
            before: Instant::from_secs(before),
            after: Instant::from_secs(after),
            server_version: "SSH-2.0-OpenSSH_9.2p1 Debian-2",
        }
    }

    fn fact<'a>(read: &'a Read, name: &str) -> Option<&'a str> {
        read.facts.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_whole_answer_is_read() {
        let read = read(ANSWER.as_bytes(), &observed(1_700_000_000, 1_700_000_001));
        assert!(read.missing.is_empty(), "{:?}", read.missing);
        for (name, value) in [
            ("os", "Debian GNU/Linux 12 (bookworm)"),
            ("memoryBytes", "2097152"),
            ("freeDiskBytes", "1048576"),
            ("clockSkewSeconds", "99"),
            ("sshdVersion", "OpenSSH_9.2p1 Debian-2"),
            ("containerRuntime", "docker"),
            ("containerRuntimeVersion", "24.0.5"),
            ("passwordlessSudo", "false"),
        ] {
            assert_eq!(fact(&read, name), Some(value), "{name}");
        }
    }

    #[test]
    fn the_clock_is_compared_as_exactly_as_it_was_read() {
        let skew = |before, after| skew(1000, &observed(before, after));
        assert_eq!(skew(999, 1000), Some(0));
        assert_eq!(skew(1001, 1001), Some(0));
        assert_eq!(skew(990, 991), Some(9));
        assert_eq!(skew(1010, 1011), Some(-9));
    }

    #[test]
    fn what_is_missing_or_malformed_is_named_and_nothing_else_is_taken() {
        let answer = "keywright.os=\u{1b}[31mred\nkeywright.cpus=many\nkeywright.kernel=Linux\nkeywright.kernel=Evil\n";
        let read = read(answer.as_bytes(), &observed(0, 1));
        assert_eq!(fact(&read, "kernel"), Some("Linux"));
        assert_eq!(read.facts.len(), 2, "{:?}", read.facts);
        assert!(
            ["os", "cpus", "memoryBytes", "containerRuntime"].iter().all(|name| read.missing.contains(name))
        );
    }

    #[test]
    fn versions_are_found_in_what_the_tools_print() {
        for (line, found) in [
            ("podman version 4.3.1", Some("4.3.1")),
            ("containerd github.com/containerd/containerd v1.6.20 2806fc1", Some("1.6.20")),
            ("crio version 1.28.0", Some("1.28.0")),
            ("cannot connect", None),
        ] {
            assert_eq!(version(line).as_deref(), found);
        }
    }
}
