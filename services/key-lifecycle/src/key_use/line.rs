//! One line of a log.
//!
//! Understood: `Nov 22 02:06:35 host sshd[12]: …` (also with BusyBox's `auth.info` before the program),
//! `2026-11-22T02:06:35.1+00:00 host sshd[12]: …`, the journal's `1795313195.123456 host sshd[12]: …`, and Dropbear's own
//! `[12] Nov 22 02:06:35 …`. A line without a time is none.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use keywright_domain::clock::Instant;
use keywright_domain::fingerprint::Fingerprint;
use std::net::IpAddr;
use std::time::Duration;

const SERVERS: &[&str] = &["sshd", "sshd-session", "sshd-auth", "dropbear"];
const MONTHS: &[&str] = &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// A year-less date that is further ahead than this is last year's.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// A log-in that was let in by a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogIn {
    pub at: Instant,
    pub user: String,
    pub address: IpAddr,
    pub port: u16,
    pub fingerprint: Fingerprint,
}

/// The host's clock when the log was read.
#[derive(Debug, Clone, Copy)]
pub struct HostTime {
    pub now: Instant,
    /// East of UTC.
    pub offset_seconds: i32,
}

/// None for every line that is not exactly one of these.
pub fn log_in(line: &str, clock: HostTime) -> Option<LogIn> {
    let (at, message) = split(line, clock)?;
    openssh(message, at).or_else(|| dropbear(message, at))
}

/// The time of any line of a log, whoever wrote it.
pub fn any_time(line: &str, clock: HostTime) -> Option<Instant> {
    stamp(line, clock).or_else(|| own_log(line, clock)).map(|(at, _)| at)
}

fn split(line: &str, clock: HostTime) -> Option<(Instant, &str)> {
    if let Some(found) = own_log(line, clock) {
        return Some(found);
    }
    let (at, rest) = stamp(line, clock)?;
    let (_host, rest) = rest.split_once(' ')?;
    let rest = match rest.split_once(' ') {
        Some((word, after)) if is_facility(word) => after,
        _ => rest,
    };
    let (tag, message) = rest.split_once("]: ")?;
    let (program, pid) = tag.split_once('[')?;
    (SERVERS.contains(&program) && is_number(pid)).then_some((at, message))
}

/// Dropbear's own log: `[12] Nov 22 02:06:35 …`.
fn own_log(line: &str, clock: HostTime) -> Option<(Instant, &str)> {
    let (pid, rest) = line.strip_prefix('[')?.split_once("] ")?;
    if is_number(pid) { syslog_time(rest, clock) } else { None }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn stamp(line: &str, clock: HostTime) -> Option<(Instant, &str)> {
    if line.starts_with(|c: char| c.is_ascii_digit()) {
        let (word, rest) = line.split_once(' ')?;
        return precise(word).map(|at| (at, rest));
    }
    syslog_time(line, clock)
}

/// RFC 3339, or seconds since the epoch.
fn precise(word: &str) -> Option<Instant> {
    if let Some((seconds, fraction)) = word.split_once('.')
        && is_number(seconds)
        && is_number(fraction)
    {
        return seconds.parse().ok().map(Instant::from_secs);
    }
    let at: jiff::Timestamp = word.parse().ok()?;
    Some(Instant::from_micros(at.as_microsecond()))
}

/// `Nov 22 02:06:35 `, without a year, in the host's time.
fn syslog_time(text: &str, clock: HostTime) -> Option<(Instant, &str)> {
    let (date, rest) = text.split_at_checked(16)?;
    let month = MONTHS.iter().position(|known| date.get(..3) == Some(known))?.checked_add(1)?;
    let month = i8::try_from(month).ok()?;
    let day: i8 = date.get(4..6)?.trim_start().parse().ok()?;
    if [date.get(3..4)?, date.get(6..7)?, date.get(15..16)?].iter().any(|gap| *gap != " ") {
        return None;
    }
    let mut parts =
        date.get(7..15)?.split(':').map(|part| if part.len() == 2 { part.parse::<i8>().ok() } else { None });
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let local_now = clock.now.secs().saturating_add(i64::from(clock.offset_seconds));
    let year = jiff::Timestamp::from_second(local_now).ok()?.to_zoned(TimeZone::UTC).year().checked_add(1)?;
    let latest = clock.now.plus(AHEAD);
    // The last 29th of February is up to eight years away.
    (0..=9i16).find_map(|back| {
        let date = DateTime::new(year.checked_sub(back)?, month, day, hour, minute, second, 0).ok()?;
        let seconds = date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
        let at = Instant::from_secs(seconds.saturating_sub(i64::from(clock.offset_seconds)));
        (at <= latest).then_some((at, rest))
    })
}

/// BusyBox: `auth.info`.
fn is_facility(word: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    word.split_once('.').is_some_and(|(facility, level)| plain(facility) && plain(level))
}

/// `Accepted publickey for alice from 192.0.2.7 port 40000 ssh2: ED25519 SHA256:…`, and nothing behind it.
fn openssh(message: &str, at: Instant) -> Option<LogIn> {
    let rest = message.strip_prefix("Accepted publickey for ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    let [user, "from", address, "port", port, "ssh2:", _algorithm, fingerprint] = words[..] else {
        return None;
    };
    made(at, user, address, port, fingerprint)
}

/// `Pubkey auth succeeded for 'alice' with ssh-ed25519 key SHA256:… from 192.0.2.7:40000`.
fn dropbear(message: &str, at: Instant) -> Option<LogIn> {
    let rest = message.strip_prefix("Pubkey auth succeeded for '")?;
    let (user, rest) = rest.split_once("' with ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    let [_algorithm, "key", fingerprint, "from", source] = words[..] else { return None };
    let (address, port) = source.rsplit_once(':')?;
    made(at, user, address, port, fingerprint)
}

fn made(at: Instant, user: &str, address: &str, port: &str, fingerprint: &str) -> Option<LogIn> {
    let address = address.split('%').next().unwrap_or(address);
    let is_name = !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\'');
    Some(LogIn {
        at,
        user: is_name.then(|| user.to_owned())?,
        address: address.parse().ok()?,
        port: port.parse().ok()?,
        fingerprint: Fingerprint::parse(fingerprint).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDaJdfh5uKbRGGhBqs";

    /// 2026-03-01T12:00:00Z, two hours east.
    fn clock() -> HostTime {
        HostTime { now: Instant::from_secs(1_772_366_400), offset_seconds: 7200 }
    }

    fn accepted() -> String {
        format!("Accepted publickey for alice from 192.0.2.7 port 40000 ssh2: ED25519 {KEY}")
    }

    #[test]
    fn every_form_of_a_log_is_read() {
        let message = accepted();
        let dropbear =
            format!("Pubkey auth succeeded for 'alice' with ssh-ed25519 key {KEY} from 192.0.2.7:40000");
        for (line, at) in [
            (format!("Mar  1 13:59:00 web sshd[12]: {message}"), "2026-03-01T11:59:00.000000Z"),
            (format!("Dec 31 23:00:00 web sshd-session[12]: {message}"), "2025-12-31T21:00:00.000000Z"),
            (format!("Feb 29 12:00:00 web sshd[12]: {message}"), "2024-02-29T10:00:00.000000Z"),
            (format!("Mar  1 13:59:00 web auth.info sshd[12]: {message}"), "2026-03-01T11:59:00.000000Z"),
            (format!("2026-03-01T13:59:00.5+02:00 web sshd[12]: {message}"), "2026-03-01T11:59:00.500000Z"),
            (format!("1772366340.123456 web sshd[12]: {message}"), "2026-03-01T11:59:00.000000Z"),
            (format!("[77] Mar 01 13:59:00 {dropbear}"), "2026-03-01T11:59:00.000000Z"),
            (
                format!("Mar  1 13:59:00 web authpriv.info dropbear[12]: {dropbear}"),
                "2026-03-01T11:59:00.000000Z",
            ),
        ] {
            let found = log_in(&line, clock()).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(found.at.rfc3339(), at, "{line}");
            assert_eq!((found.user.as_str(), found.port), ("alice", 40_000));
            assert_eq!((found.address.to_string().as_str(), found.fingerprint.as_str()), ("192.0.2.7", KEY));
        }
    }

    #[test]
    fn at_new_year_the_last_day_is_of_the_old_one() {
        let at = |text: &str, now: i64| {
            let clock = HostTime { now: Instant::from_secs(now), offset_seconds: 0 };
            log_in(&format!("{text} web sshd[1]: {}", accepted()), clock).unwrap().at.rfc3339()
        };
        assert_eq!(at("Dec 31 23:59:59", 1_767_225_600), "2025-12-31T23:59:59.000000Z");
        assert_eq!(at("Jan  1 00:00:00", 1_767_225_600), "2026-01-01T00:00:00.000000Z");
        // In the last seconds of a year the host may already be in the next.
        assert_eq!(at("Jan  1 00:00:01", 1_767_225_599), "2026-01-01T00:00:01.000000Z");
    }

    #[test]
    fn what_a_stranger_writes_into_a_name_is_no_log_in() {
        let message = accepted();
        let line = |said: String| format!("Mar  1 13:59:00 web sshd[12]: {said}");
        for line in [
            line(format!("Invalid user {message} from 198.51.100.9 port 1")),
            line(format!("Invalid user x]: {message}")),
            line(format!("Connection closed by invalid user {message}")),
            line(format!("{message} from 198.51.100.9 port 1 ssh2")),
            line(format!("Accepted publickey for al ice from 192.0.2.7 port 4 ssh2: ED25519 {KEY}")),
            line(format!("Accepted password for alice from 192.0.2.7 port 4 ssh2: ED25519 {KEY}")),
            format!("Mar  1 13:59:00 web cron[12]: {message}"),
            format!("Mar  1 13:59:00 web sshd: {message}"),
            format!("Mar  1 13:59:00 web evil sshd[12]: {message}"),
            format!(
                "[77] Mar 01 13:59:00 Login attempt for nonexistent user '[1] Mar 01 13:59:00 {message}'"
            ),
            format!(
                "[77] Mar 01 13:59:00 Bad attempt for 'Pubkey auth succeeded for 'alice' with x key {KEY} from 1.2.3.4:5'"
            ),
            format!("Pubkey auth succeeded for 'a' with x key {KEY} from 1.2.3.4:5"),
            message,
        ] {
            assert_eq!(log_in(&line, clock()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_name_makes_a_log_in(name in "[ -~]{0,80}") {
            let line = format!("Mar  1 13:59:00 web sshd[12]: Invalid user {name} {} from 9.9.9.9 port 9", accepted());
            prop_assert_eq!(log_in(&line, clock()), None);
        }

        #[test]
        fn junk_is_never_a_panic(line in "\\PC{0,120}") {
            let _ = log_in(&line, clock());
            let _ = any_time(&line, clock());
        }
    }
}
