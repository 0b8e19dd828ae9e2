//! What the lines of one host say of each key.

use super::line::{self, HostTime, LogIn};
use crate::model::{Evidence, LogLines, OwnLogin, Version};
use keywright_domain::account::AccountName;
use keywright_domain::clock::Instant;
use keywright_domain::fingerprint::Fingerprint;
use std::net::IpAddr;

/// Between what a log says and what we noted of our own log-in.
const SLACK_SECONDS: u64 = 5;
/// A log without years and zones is off by an hour where the clocks changed meanwhile.
const CLOCKS_CHANGED: u64 = 3600;
/// The log-in that reads the log is not older than this.
const JUST_NOW: u64 = 300;

/// The log of one host, understood.
#[derive(Debug)]
pub struct Log {
    log_ins: Vec<LogIn>,
    /// It shows the very log-in by which it was read.
    readable: bool,
    since: Option<Instant>,
}

/// Of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub evidence: Evidence,
    pub last: Option<(Instant, IpAddr)>,
    pub log_since: Option<Instant>,
}

impl Log {
    /// `user`: the account of the connection that read it. All times become ours.
    pub fn new(lines: &LogLines, user: &str) -> Self {
        let (Some(now), Some(our_time)) = (lines.host_time, lines.our_time) else {
            return Self { log_ins: Vec::new(), readable: false, since: None };
        };
        let clock = HostTime { now, offset_seconds: lines.offset_seconds };
        let skew = now.micros().saturating_sub(our_time.micros());
        // The host tells whole seconds, some time after we asked.
        let skew = if skew.unsigned_abs() <= 3_000_000 { 0 } else { skew };
        let ours = |at: Instant| Instant::from_micros(at.micros().saturating_sub(skew));
        let mut own = lines.own.iter().filter_map(|line| line::log_in(line, clock));
        let readable = own.any(|one| one.user == user && one.at.secs().abs_diff(now.secs()) <= JUST_NOW);
        let since = lines.first.iter().filter_map(|line| line::any_time(line, clock)).min().map(ours);
        let log_ins = lines.keys.iter().filter_map(|line| line::log_in(line, clock));
        Self { log_ins: log_ins.map(|one| LogIn { at: ours(one.at), ..one }).collect(), readable, since }
    }

    /// Before its promotion a key was in nobody's hands but ours.
    pub fn of(
        &self,
        account: &AccountName,
        version: &Version,
        fingerprint: &Fingerprint,
        own: &[OwnLogin],
    ) -> Found {
        let by_us = |one: &LogIn| {
            own.iter().any(|ours| {
                ours.version == version.id
                    && ours.source_port == one.port
                    && is_about(one.at.secs().abs_diff(ours.proven_at.secs()))
            })
        };
        let last = self
            .log_ins
            .iter()
            .filter(|one| one.user == account.as_str() && one.fingerprint == *fingerprint && !by_us(one))
            .filter(|one| version.promoted_at.is_none_or(|from| one.at.secs() > from.secs()))
            .max_by_key(|one| one.at);
        let evidence = match (last, self.readable) {
            (Some(_), _) => Evidence::Used,
            (None, true) => Evidence::NotSeen,
            (None, false) => Evidence::Unreadable,
        };
        let log_since = if evidence == Evidence::Unreadable { None } else { self.since };
        Found { evidence, last: last.map(|one| (one.at, one.address)), log_since }
    }
}

const fn is_about(seconds: u64) -> bool {
    seconds <= SLACK_SECONDS || seconds.abs_diff(CLOCKS_CHANGED) <= SLACK_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::VersionState;
    use keywright_domain::ids::{AccessId, VersionId};
    use std::time::Duration;

    const KEY: &str = "SHA256:uNiVztksCsDhcc0u9e8BrrJXVGDaJdfh5uKbRGGhBqs";
    const NOW: i64 = 1_772_366_400;

    fn version(promoted: i64) -> Version {
        Version {
            id: VersionId::random().unwrap(),
            access: AccessId::random().unwrap(),
            number: 1,
            state: VersionState::Grace,
            public_key: None,
            client_key: None,
            created_at: Instant::from_secs(0),
            promoted_at: Some(Instant::from_secs(promoted)),
            compromised_at: None,
            destroy_at: None,
            destroyed_at: None,
            pushed_state: None,
        }
    }

    fn log(lines: &[(i64, &str, u16)], heard: bool, skew: i64) -> Log {
        let line = |(at, user, port): &(i64, &str, u16)| {
            let at = at + skew;
            format!(
                "{at}.5 web sshd[1]: Accepted publickey for {user} from 192.0.2.7 port {port} ssh2: ED25519 {KEY}"
            )
        };
        let own = if heard { vec![line(&(NOW - 1, "root", 9))] } else { Vec::new() };
        let lines = LogLines {
            keys: lines.iter().map(line).collect(),
            own,
            first: vec![format!("{}.0 web kernel: booted", NOW + skew - 1_000_000)],
            host_time: Some(Instant::from_secs(NOW + skew)),
            our_time: Some(Instant::from_secs(NOW)),
            offset_seconds: 0,
        };
        Log::new(&lines, "root")
    }

    fn of(log: &Log, version: &Version, own: &[OwnLogin]) -> Found {
        let (account, key) = (AccountName::parse("alice").unwrap(), Fingerprint::parse(KEY).unwrap());
        log.of(&account, version, &key, own)
    }

    #[test]
    fn the_last_log_in_of_the_account_counts_and_nothing_of_ours() {
        let version = version(NOW - 10_000);
        let ours = OwnLogin {
            version: version.id.clone(),
            source_port: 5,
            proven_at: Instant::from_secs(NOW - 100),
        };
        let lines = [(NOW - 500, "alice", 4), (NOW - 99, "alice", 5), (NOW - 50, "bob", 6)];
        let found = of(&log(&lines, true, 0), &version, std::slice::from_ref(&ours));
        assert_eq!(found.evidence, Evidence::Used);
        assert_eq!(found.last.unwrap().0.secs(), NOW - 500);
        // The same port at another time is somebody else's.
        let later = OwnLogin { proven_at: Instant::from_secs(NOW - 700), ..ours };
        assert_eq!(of(&log(&lines, true, 0), &version, &[later]).last.unwrap().0.secs(), NOW - 99);
    }

    #[test]
    fn before_the_promotion_nobody_else_had_the_key() {
        let found = of(&log(&[(NOW - 100, "alice", 5)], true, 0), &version(NOW - 90), &[]);
        assert_eq!((found.evidence, found.last), (Evidence::NotSeen, None));
    }

    #[test]
    fn silence_counts_only_where_the_log_shows_us() {
        let version = version(NOW - 10_000);
        assert_eq!(of(&log(&[], true, 0), &version, &[]).evidence, Evidence::NotSeen);
        let silent = of(&log(&[], false, 0), &version, &[]);
        assert_eq!((silent.evidence, silent.log_since), (Evidence::Unreadable, None));
        assert_eq!(of(&log(&[(NOW - 7, "alice", 1)], false, 0), &version, &[]).evidence, Evidence::Used);
    }

    #[test]
    fn a_host_whose_clock_is_wrong_is_understood() {
        let version = version(NOW - 10_000);
        let found = of(&log(&[(NOW - 500, "alice", 4)], true, 86_400), &version, &[]);
        assert_eq!(found.last.unwrap().0.secs(), NOW - 500);
        assert_eq!(found.log_since.unwrap(), Instant::from_secs(NOW).minus(Duration::from_secs(1_000_000)));
    }
}
