//! How servers are, by tests with their bound credentials: what is remembered of each, how often it is tested, and what is
//! told of its changes.
//!
//! Invariants: whoever tests a server with its bound credential, its state follows; a change of it is recorded with the test
//! that found it, told in the log and to people, and told once.

mod keep;
mod round;
mod tell;

pub use keep::keep;
pub use round::Rounds;
pub use tell::Teller;

use crate::adapters::directory::Server;
use crate::fleet::Origin;
use crate::report::{ConnectivityTest, Report, Status};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{ServerId, TenantId, TestId};
use std::time::Duration;

pub const SHORTEST: Duration = Duration::from_secs(60);
pub const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// Of heartbeats that find what was found before, one in this time is kept in the history.
const KEPT_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// By how much of its interval a heartbeat comes early or late, so that many do not stay together.
const SPREAD: f64 = 0.05;

/// What a test found, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub status: Status,
    /// Both empty where no check failed.
    pub failed_check: String,
    pub reason: String,
}

impl Found {
    pub fn of(report: &Report) -> Self {
        let failed = report.failed();
        Self {
            status: report.status(),
            failed_check: failed.map(|check| check.name.as_str().to_owned()).unwrap_or_default(),
            reason: failed.map(|check| check.code.clone()).unwrap_or_default(),
        }
    }
}

/// A server, as far as it is remembered here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    pub server: ServerId,
    pub tenant: TenantId,
    pub name: String,
    pub host: String,
    pub port: u16,
    pub heartbeat: Option<Heartbeat>,
    /// None before its first test.
    pub last: Option<Last>,
    /// Why the last heartbeat could not test it.
    pub skipped: String,
}

impl ServerState {
    /// Never tested, and without a heartbeat.
    pub fn unknown(server: &Server) -> Self {
        Self {
            server: server.id.clone(),
            tenant: server.tenant.clone(),
            name: server.name.clone(),
            host: server.host.to_string(),
            port: server.port.get(),
            heartbeat: None,
            last: None,
            skipped: String::new(),
        }
    }
}

/// How often a server is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    pub interval: Duration,
    pub set_at: Instant,
    pub next_at: Instant,
}

/// The last test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    pub found: Found,
    /// Since when the same is found.
    pub since: Instant,
    pub checked_at: Instant,
    /// The newest that the history keeps.
    pub kept: TestId,
    pub kept_at: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    pub test: TestId,
    pub server: ServerId,
    pub tenant: TenantId,
    pub name: String,
    pub at: Instant,
    pub from: Found,
    pub to: Found,
}

/// What becomes of a test with the bound credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// None where a later test has been noted already.
    pub last: Option<Last>,
    pub changed: Option<(Found, Found)>,
    /// Whether the history keeps it.
    pub kept: bool,
}

/// Pure: a test beside the last one. What only says the same again at a heartbeat is not kept each time.
pub fn note(before: Option<&Last>, test: &ConnectivityTest, id: &TestId, origin: Origin) -> Noted {
    let at = test.checked_at;
    let found = Found::of(&test.report);
    let new = |since| Last { found: found.clone(), since, checked_at: at, kept: id.clone(), kept_at: at };
    let asked = origin == Origin::Request;
    let Some(last) = before else { return Noted { last: Some(new(at)), changed: None, kept: true } };
    if last.checked_at > at {
        return Noted { last: None, changed: None, kept: asked };
    }
    // Which check failed follows from its code.
    if (last.found.status, &last.found.reason) != (found.status, &found.reason) {
        let changed = Some((last.found.clone(), found.clone()));
        return Noted { last: Some(new(at)), changed, kept: true };
    }
    if asked || last.kept_at.plus(KEPT_EVERY) <= at {
        return Noted { last: Some(new(last.since)), changed: None, kept: true };
    }
    let same = Last { kept: last.kept.clone(), kept_at: last.kept_at, ..new(last.since) };
    Noted { last: Some(same), changed: None, kept: false }
}

/// Pure: when a server that was due is tested next. `lot` is drawn from 0 to 1. What was missed is not made up for.
fn next_beat(due: Instant, now: Instant, interval: Duration, lot: f64) -> Instant {
    let regular = due.plus(interval);
    let next = if regular > now && due <= now { regular } else { now.plus(interval) };
    let spread = interval.mul_f64(SPREAD);
    next.minus(spread).plus(spread.mul_f64(2.0 * lot.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{CheckName, Fault, Progress};

    fn at(secs: i64) -> Instant {
        Instant::from_secs(1_000_000 + secs)
    }

    fn test(secs: i64, refused: bool) -> ConnectivityTest {
        let mut progress = Progress::default();
        progress.passed(CheckName::Key, "", Duration::ZERO, Vec::new());
        if refused {
            let fault = Fault {
                code: "CONNECTION_REFUSED",
                message: String::new(),
                remedy: String::new(),
                facts: Vec::new(),
            };
            progress.failed(CheckName::Tcp, fault, Duration::ZERO);
        } else {
            for name in CheckName::ALL.into_iter().skip(1) {
                progress.passed(name, "", Duration::ZERO, Vec::new());
            }
        }
        ConnectivityTest {
            id: None,
            server: None,
            credential: None,
            host: keywright_domain::host::HostName::parse("web.example").unwrap(),
            port: keywright_domain::host::Port::try_from(22).unwrap(),
            username: crate::login::LoginName::try_from("deploy".to_owned()).unwrap(),
            checked_at: at(secs),
            report: progress.finish(),
        }
    }

    fn id() -> TestId {
        TestId::random().unwrap()
    }

    #[test]
    fn what_is_found_again_at_a_heartbeat_is_kept_once_in_six_hours() {
        let first = note(None, &test(0, false), &id(), Origin::Heartbeat);
        assert!(first.kept && first.changed.is_none());
        let first = first.last.unwrap();
        let same = note(Some(&first), &test(60, false), &id(), Origin::Heartbeat);
        let last = same.last.unwrap();
        assert!(!same.kept && same.changed.is_none());
        assert_eq!((last.since, last.checked_at, &last.kept), (at(0), at(60), &first.kept));
        assert!(note(Some(&last), &test(120, false), &id(), Origin::Request).kept);
        let later = note(Some(&last), &test(6 * 3_600, false), &id(), Origin::Heartbeat);
        assert!(later.kept && later.last.unwrap().since == at(0));
    }

    #[test]
    fn a_change_is_kept_and_says_from_what_to_what() {
        let first = note(None, &test(0, false), &id(), Origin::Heartbeat).last.unwrap();
        let down = note(Some(&first), &test(60, true), &id(), Origin::Heartbeat);
        let (from, to) = down.changed.unwrap();
        assert_eq!((from.status, to.status), (Status::Healthy, Status::Unreachable));
        assert_eq!((to.failed_check.as_str(), to.reason.as_str()), ("tcp", "CONNECTION_REFUSED"));
        assert!(down.kept && down.last.unwrap().since == at(60));
    }

    #[test]
    fn an_older_test_that_ends_later_changes_nothing() {
        let first = note(None, &test(60, false), &id(), Origin::Request).last.unwrap();
        let noted = note(Some(&first), &test(0, true), &id(), Origin::Request);
        assert_eq!((noted.last, noted.changed, noted.kept), (None, None, true));
    }

    #[test]
    fn beats_keep_their_time_and_make_up_for_none() {
        let minute = Duration::from_secs(60);
        let next = |due, now, lot| next_beat(at(due), at(now), minute, lot);
        assert_eq!(next(0, 2, 0.5), at(60));
        assert_eq!((next(0, 2, 0.0), next(0, 2, 1.0)), (at(57), at(63)));
        assert_eq!(next(0, 3_600, 0.5), at(3_660), "hours of standing still are not made up for");
        assert_eq!(next(9_999, 2, 0.5), at(62), "the clock went back");
    }
}
