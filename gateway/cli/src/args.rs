//! Arguments that several commands share, and the readers of typed values.

use clap::Args;

/// Which tenant an access belongs to.
#[derive(Args)]
pub struct TenantArg {
    /// The tenant, `ten_…`; by default the one your token is bound to
    #[arg(long, value_name = "ID", env = "KEYWRIGHT_TENANT", value_parser = id)]
    pub tenant: Option<String>,
}

/// How much of a list.
#[derive(Args)]
pub struct PageArgs {
    /// At most this many; following pages are fetched as needed
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000), conflicts_with = "all")]
    pub limit: u32,
    /// All of them
    #[arg(long)]
    pub all: bool,
    /// Begin where an earlier list ended (`nextPageToken`)
    #[arg(long, value_name = "TOKEN")]
    pub page_token: Option<String>,
}

/// An exact id instead of a question.
#[derive(Args)]
pub struct ConfirmArg {
    /// Confirm by repeating the exact id; required without a terminal
    #[arg(long, value_name = "ID")]
    pub confirm: Option<String>,
}

/// Safe repetition.
#[derive(Args)]
pub struct IdempotencyArg {
    /// With the same key and request the gateway answers its first answer again
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// Reads an id. Only its alphabet is checked: whether it exists is the gateway's to say.
pub fn id(raw: &str) -> Result<String, String> {
    let id = raw.trim();
    if !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        Ok(id.to_owned())
    } else {
        Err("an id has a prefix and letters and digits, as in srv_3k5…".into())
    }
}

/// Reads a duration such as `90s`, `30m`, `24h`, `7d` or `0`, as protobuf JSON writes it (`86400s`).
pub fn duration(raw: &str) -> Result<String, String> {
    seconds(raw).map(|seconds| format!("{seconds}s"))
}

/// Reads a duration, in seconds.
pub fn seconds(raw: &str) -> Result<u64, String> {
    let raw = raw.trim();
    let digits = raw.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match raw.strip_prefix(digits).unwrap_or_default() {
        "" if digits.bytes().all(|b| b == b'0') => 1,
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("write a number and a unit: 90s, 30m, 24h or 7d".into()),
    };
    let count: u64 =
        digits.parse().map_err(|_| "write a number and a unit: 90s, 30m, 24h or 7d".to_owned())?;
    count.checked_mul(unit).ok_or_else(|| "that is too long".to_owned())
}

/// Reads a label, `key=value`.
pub fn label(raw: &str) -> Result<(String, String), String> {
    match raw.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write key=value".into()),
    }
}

/// Reads an instant: RFC 3339, or a day (its beginning, in UTC).
pub fn instant(raw: &str) -> Result<String, String> {
    let raw = raw.trim();
    if let Ok(instant) = raw.parse::<jiff::Timestamp>() {
        return Ok(instant.to_string());
    }
    raw.parse::<jiff::civil::Date>()
        .ok()
        .and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|day| day.timestamp().to_string())
        .ok_or_else(|| "write a day (2026-03-01) or an instant (2026-03-01T12:00:00Z)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("24h"), Ok("86400s".into()));
        assert_eq!(duration("7d"), Ok("604800s".into()));
        assert_eq!(duration("0"), Ok("0s".into()));
        for wrong in ["", "h", "10", "1.5h", "-1h", "1 week", "99999999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn instants() {
        assert_eq!(instant("2026-03-01"), Ok("2026-03-01T00:00:00Z".into()));
        assert_eq!(instant("2026-03-01T12:00:00+02:00"), Ok("2026-03-01T10:00:00Z".into()));
        assert!(instant("yesterday").is_err());
    }

    #[test]
    fn ids_cannot_change_the_route() {
        assert_eq!(id(" srv_abc "), Ok("srv_abc".into()));
        for wrong in ["", "../tokens", "a/b", "a?b", "..", "a b"] {
            assert!(id(wrong).is_err(), "{wrong:?}");
        }
    }
}
