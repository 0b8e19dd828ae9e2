//! One record as one message of RFC 5424.
//!
//! Invariant: a message is one line whatever its values hold: a control character or a separator of lines becomes U+FFFD;
//! a value never ends its element.

use crate::store::record::Record;
use std::fmt::Write;

/// Facility 13, log audit.
const FACILITY: u8 = 13;

/// The private enterprise number is that of examples (RFC 5612).
const ELEMENT: &str = "keywright@32473";

/// What a name in the head may have at most.
const LONGEST_HOST: usize = 255;
const LONGEST_ID: usize = 32;

/// A value of a datagram, in bytes; the whole then is some KB at most.
const LONGEST_CUT: usize = 256;

/// The HOSTNAME of what is sent from this machine.
pub struct Host(String);

impl Host {
    pub fn own() -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self(word(&name, LONGEST_HOST))
    }
}

/// Whether long values are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Nothing,
    ToDatagram,
}

pub fn message(record: &Record, host: &Host, cut: Cut) -> String {
    let priority = FACILITY.saturating_mul(8).saturating_add(severity(&record.outcome));
    let mut text = format!(
        "<{priority}>1 {} {} keywright - {} [{ELEMENT}",
        record.time,
        host.0,
        word(&record.action, LONGEST_ID)
    );
    let details = if record.details.is_empty() {
        String::new()
    } else {
        keywright_log::leaf::canonical(&record.details)
    };
    let values = [
        ("sequence", &record.sequence),
        ("eventId", &record.event_id),
        ("kind", &record.kind),
        ("outcome", &record.outcome),
        ("action", &record.action),
        ("actor", &record.actor),
        ("actorKind", &record.actor_kind),
        ("tenantId", &record.tenant_id),
        ("target", &record.target),
        ("reason", &record.reason),
        ("sourceIp", &record.source_ip),
        ("requestId", &record.request_id),
        ("traceId", &record.trace_id),
        ("leafHash", &record.leaf_hash),
        ("userAgent", &record.user_agent),
        ("comment", &record.comment),
        ("details", &details),
    ];
    for (name, value) in values.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a String never fails.
        let _ = write!(text, " {name}=\"");
        push_escaped(&mut text, shortened(value, cut));
        text.push('"');
    }
    text.push_str("] \u{feff}");
    push_line(&mut text, record, cut);
    text
}

/// What a person reads: who did what to what, and how it went.
fn push_line(text: &mut String, record: &Record, cut: Cut) {
    let words = [
        ("", record.action.as_str()),
        (" ", &record.outcome.to_ascii_lowercase()),
        (" ", &record.reason),
        (" by ", &record.actor),
        (" on ", &record.target),
        (" from ", &record.source_ip),
    ];
    for (before, value) in words.into_iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(before);
        text.extend(shortened(value, cut).chars().map(harmless));
    }
}

/// Of syslog: informational, notice for what has not ended, warning for what did not succeed.
fn severity(outcome: &str) -> u8 {
    match outcome {
        "SUCCEEDED" => 6,
        "PENDING" => 5,
        _ => 4,
    }
}

fn push_escaped(text: &mut String, value: &str) {
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            text.push('\\');
        }
        text.push(harmless(c));
    }
}

fn harmless(c: char) -> char {
    // The separators of lines and paragraphs, and the byte order mark.
    if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') { '\u{fffd}' } else { c }
}

fn shortened(value: &str, cut: Cut) -> &str {
    match cut {
        Cut::Nothing => value,
        Cut::ToDatagram => value.get(..value.floor_char_boundary(LONGEST_CUT)).unwrap_or_default(),
    }
}

/// Printable ASCII without spaces; `-` for nothing.
fn word(value: &str, longest: usize) -> String {
    let word: String = value.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}
