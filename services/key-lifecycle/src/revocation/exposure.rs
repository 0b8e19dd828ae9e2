//! When it is told that revoked keys may still open a host: five minutes after the revocation, after an hour, and then
//! every day, as long as it is so.

use crate::model::{Notice, Revocation, RevocationHost};
use keywright_domain::clock::Instant;
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(5 * 60);
const SECOND: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Pure: the last of these moments that has come.
pub fn last(requested_at: Instant, now: Instant) -> Option<Instant> {
    let days = days(requested_at, now);
    if days > 0 {
        return Some(requested_at.plus(DAY.saturating_mul(days)));
    }
    [SECOND, FIRST].map(|after| requested_at.plus(after)).into_iter().find(|moment| *moment <= now)
}

/// Pure: the first of them that is to come.
pub fn next(requested_at: Instant, now: Instant) -> Instant {
    let soon = [FIRST, SECOND].map(|after| requested_at.plus(after)).into_iter().find(|moment| *moment > now);
    let day = DAY.saturating_mul(days(requested_at, now).saturating_add(1));
    soon.unwrap_or_else(|| requested_at.plus(day))
}

fn days(requested_at: Instant, now: Instant) -> u32 {
    let micros = now.micros().saturating_sub(requested_at.micros()).max(0);
    u32::try_from(micros / i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX)).unwrap_or(u32::MAX)
}

/// None while there is nothing to tell.
pub fn notice(revocation: &Revocation, hosts: &[RevocationHost], now: Instant) -> Option<Notice> {
    let open: Vec<&RevocationHost> = hosts.iter().filter(|host| host.proven_at.is_none()).collect();
    let moment = last(revocation.requested_at, now).filter(|_| !open.is_empty())?;
    let minutes = open.iter().map(|host| host.exposed_minutes(revocation.requested_at, now)).max()?;
    let servers: Vec<&str> = open.iter().take(20).map(|host| host.server.as_str()).collect();
    let notice = Notice::new("access.exposed", Some(&revocation.tenant), revocation.id.as_str());
    let notice = notice
        .occasion(&moment.rfc3339())
        .detail("accessId", revocation.access.as_str())
        .detail("hosts", open.len().to_string())
        .detail("serverIds", servers.join(" "))
        .detail("exposedMinutes", minutes.to_string())
        .detail("compromised", revocation.compromised.to_string());
    Some(notice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Instant {
        Instant::from_secs(1_000_000 + secs)
    }

    #[test]
    fn it_is_told_after_five_minutes_an_hour_and_every_day() {
        let (hour, day) = (3600, 24 * 3600);
        for (now, past, coming) in [
            (0, None, 300),
            (299, None, 300),
            (300, Some(300), hour),
            (hour - 1, Some(300), hour),
            (hour, Some(hour), day),
            (day - 1, Some(hour), day),
            (day, Some(day), 2 * day),
            (40 * day + 5, Some(40 * day), 41 * day),
        ] {
            assert_eq!(last(at(0), at(now)), past.map(at), "{now}");
            assert_eq!(next(at(0), at(now)), at(coming), "{now}");
        }
        assert_eq!(last(at(0), at(-5)), None, "a clock that went back");
    }
}
