//! What the lines of one host say of each key.

use super::line::{self, HostTime, LogIn};
use crate::model::{Evidence, LogLines, OwnLogin, Version};
use keywright_domain::account::AccountName;
use keywright_domain::clock::Instant;
use keywright_domain::fingerprint::Fingerprint;
use std::collections::BTreeSet;
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
    /// From where that one came: behind a jump host, the jump host's address as the host sees it.
    ways: Vec<IpAddr>,
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
            return Self { log_ins: Vec::new(), readable: false, ways: Vec::new(), since: None };
        };
        let clock = HostTime { now, offset_seconds: lines.offset_seconds };
        let skew = now.micros().saturating_sub(our_time.micros());
        // The host tells whole seconds, some time after we asked.
        let skew = if skew.unsigned_abs() <= 3_000_000 { 0 } else { skew };
        let ours = |at: Instant| Instant::from_micros(at.micros().saturating_sub(skew));
        let own = lines.own.iter().filter_map(|line| line::log_in(line, clock));
        let own = own.filter(|one| one.user == user && one.at.secs().abs_diff(now.secs()) <= JUST_NOW);
        let ways: Vec<IpAddr> = own.map(|one| one.address).collect();
        let readable = !ways.is_empty();
        let since = lines.first.iter().filter_map(|line| line::any_time(line, clock)).min().map(ours);
        let log_ins = lines.keys.iter().filter_map(|line| line::log_in(line, clock));
        let log_ins = log_ins.map(|one| LogIn { at: ours(one.at), ..one }).collect();
        Self { log_ins, readable, ways, since }
    }

    /// Before its promotion a key was in nobody's hands but ours.
    pub fn of(
        &self,
        account: &AccountName,
        version: &Version,
        fingerprint: &Fingerprint,
        own: &[OwnLogin],
    ) -> Found {
        let of_key: Vec<&LogIn> = self
            .log_ins
            .iter()
            .filter(|one| one.user == account.as_str() && one.fingerprint == *fingerprint)
            .collect();
        let own: Vec<&OwnLogin> = own.iter().filter(|ours| ours.version == version.id).collect();
        let carried = self.carried(&of_key, &own);
        let by_us = |one: &LogIn| {
            own.iter().any(|ours| {
                ours.source_port == one.port && is_about(one.at.secs().abs_diff(ours.proven_at.secs()))
            })
        };
        let last = of_key
            .iter()
            .enumerate()
            .filter(|(index, one)| !carried.contains(index) && !by_us(one))
            .map(|(_, one)| *one)
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

    /// Our log-ins through a jump host, whose port only that one knows: for each at most one line, the nearest in time that
    /// comes from there. Where others come that way too, whatever is more than our own log-ins counts.
    fn carried(&self, of_key: &[&LogIn], own: &[&OwnLogin]) -> BTreeSet<usize> {
        let mut pairs: Vec<(u64, usize, usize)> = Vec::new();
        for (ours, login) in own.iter().enumerate().filter(|(_, login)| login.source_port == 0) {
            for (index, line) in of_key.iter().enumerate() {
                let apart = line.at.micros().abs_diff(login.proven_at.micros());
                let on_the_way = self.ways.is_empty() || self.ways.contains(&line.address);
                if on_the_way && line.at.secs().abs_diff(login.proven_at.secs()) <= SLACK_SECONDS {
                    pairs.push((apart, ours, index));
                }
            }
        }
        pairs.sort_unstable();
        let (mut told, mut found) = (BTreeSet::new(), BTreeSet::new());
        for (_, ours, index) in pairs {
            if !told.contains(&ours) && !found.contains(&index) {
                told.insert(ours);
                found.insert(index);
            }
        }
        found
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
        let lines: Vec<_> = lines.iter().map(|&(at, user, port)| (at, user, "192.0.2.7", port)).collect();
        log_from(&lines, heard, skew)
    }

    fn log_from(lines: &[(i64, &str, &str, u16)], heard: bool, skew: i64) -> Log {
        let line = |(at, user, from, port): &(i64, &str, &str, u16)| {
            let at = at + skew;
            format!(
                "{at}.5 web sshd[1]: Accepted publickey for {user} from {from} port {port} ssh2: ED25519 {KEY}"
            )
        };
        let own = if heard { vec![line(&(NOW - 1, "root", "192.0.2.7", 9))] } else { Vec::new() };
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
    fn behind_a_jump_host_each_log_in_of_ours_takes_out_one_line_that_comes_from_there() {
        const JUMP: &str = "192.0.2.7";
        let version = version(NOW - 10_000);
        let ours = |at: i64| OwnLogin {
            version: version.id.clone(),
            source_port: 0,
            proven_at: Instant::from_secs(at),
        };
        let last = |lines: &[(i64, &str, &str, u16)], own: &[OwnLogin]| {
            let found = of(&log_from(lines, true, 0), &version, own);
            assert_eq!(found.evidence == Evidence::Used, found.last.is_some());
            found.last.map(|(at, _)| at.secs() - NOW)
        };
        let line = (NOW - 100, "alice", JUMP, 4001);
        assert_eq!(last(&[line], &[ours(NOW - 99)]), None, "our own");
        assert_eq!(last(&[line], &[ours(NOW - 90)]), Some(-100), "another time");
        assert_eq!(
            last(&[(NOW - 100, "alice", "192.0.2.8", 4001)], &[ours(NOW - 99)]),
            Some(-100),
            "not from there"
        );
        // The holder comes through the same jump host, in the same seconds.
        let holder = (NOW - 103, "alice", JUMP, 4002);
        assert_eq!(last(&[holder, line], &[ours(NOW - 99)]), Some(-103));
        assert_eq!(last(&[line, holder], &[ours(NOW - 99), ours(NOW - 102)]), None, "each its own");
        assert_eq!(last(&[line], &[ours(NOW - 99), ours(NOW - 101)]), None);
        // One that was promoted at once: its proof does not hide who comes right after it.
        let fresh = Version { promoted_at: Some(Instant::from_secs(NOW - 99)), ..version.clone() };
        let lines = [line, (NOW - 97, "alice", JUMP, 4003)];
        let found = of(&log_from(&lines, true, 0), &fresh, &[ours(NOW - 100)]);
        assert_eq!(found.last.unwrap().0.secs(), NOW - 97);
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
