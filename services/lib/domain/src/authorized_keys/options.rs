//! The options in front of a key: a list with commas, where quoted values may hold commas, blanks and `\"`.

use std::fmt;

/// The options of one line, each as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options<'a>(Vec<&'a [u8]>);

impl<'a> Options<'a> {
    /// The options field of a line and what follows it; None where a quote stays open.
    pub(super) fn split_off(text: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let end = scan(text, |byte| byte == b' ' || byte == b'\t')?;
        text.split_at_checked(end)
    }

    pub(super) fn parse(field: &'a [u8]) -> Self {
        let mut items = Vec::new();
        let mut rest = field;
        while !rest.is_empty() {
            let end = scan(rest, |byte| byte == b',').unwrap_or(rest.len());
            let (item, after) = rest.split_at_checked(end).unwrap_or((rest, b""));
            if !item.is_empty() {
                items.push(item);
            }
            rest = after.get(1..).unwrap_or_default();
        }
        Self(items)
    }

    /// Each option as it stands in the file.
    pub fn items(&self) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().copied()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if an option of this name (in lower case) is set, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|item| option_name(item).eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The value of the first option of this name, without its quotes.
    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        let item = self.0.iter().find(|item| option_name(item).eq_ignore_ascii_case(name.as_bytes()))?;
        let raw = item.get(option_name(item).len().saturating_add(1)..)?;
        let inner = raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(raw);
        let mut value = Vec::with_capacity(inner.len());
        let mut bytes = inner.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            if byte == b'\\' && bytes.peek() == Some(&b'"') {
                continue;
            }
            value.push(byte);
        }
        Some(value)
    }
}

pub(super) fn option_name(item: &[u8]) -> &[u8] {
    item.split(|byte| *byte == b'=').next().unwrap_or(item)
}

/// Where the first unquoted byte that `stops` stands, or the end; None where a quote stays open.
fn scan(text: &[u8], stops: impl Fn(u8) -> bool) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if *byte == b'\\' && text.get(at.saturating_add(1)) == Some(&b'"') {
            escaped = true;
        } else if *byte == b'"' {
            quoted = !quoted;
        } else if !quoted && stops(*byte) {
            return Some(at);
        }
    }
    (!quoted).then_some(text.len())
}

/// One option that we put on a line, such as `restrict` or `from="10.0.0.0/8"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOption(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an option of authorized_keys; use one such as restrict or from=\"10.0.0.0/8\"")]
pub struct BadOption;

impl LineOption {
    /// Exactly one option with balanced quotes. `expiry-time` has a type of its own.
    pub fn parse(text: &str) -> Result<Self, BadOption> {
        let bytes = text.as_bytes();
        let name = option_name(bytes);
        let named = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        let whole = scan(bytes, |byte| byte == b',' || byte.is_ascii_whitespace()) == Some(bytes.len());
        let printable = !bytes.iter().any(|byte| byte.is_ascii_control());
        if named && whole && printable && !name.eq_ignore_ascii_case(b"expiry-time") {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadOption)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn name(&self) -> &str {
        self.0.split('=').next().unwrap_or(&self.0)
    }

    /// What stands between the quotes, `\"` as `"`; None without a value in exactly one pair of quotes.
    pub fn value(&self) -> Option<String> {
        let (_, raw) = self.0.split_once('=')?;
        let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
        // Of quotes only escaped ones may stand inside.
        if inner.replace("\\\"", "").contains('"') {
            return None;
        }
        Some(inner.replace("\\\"", "\""))
    }
}

/// The value of `expiry-time`: `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, with `Z` for UTC (OpenSSH 9.1 and
/// later), else in the host's local time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryTime(String);

impl ExpiryTime {
    pub fn parse(text: &str) -> Result<Self, BadOption> {
        let digits = text.strip_suffix('Z').unwrap_or(text);
        if matches!(digits.len(), 8 | 12 | 14) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadOption)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExpiryTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
