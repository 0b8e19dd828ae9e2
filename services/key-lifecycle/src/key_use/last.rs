//! What the logs of all hosts say together of one key, for whoever is told that it ends. Pure.

use crate::model::{Evidence, KeyUse};
use keywright_domain::clock::Instant;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    /// The latest log-in of all.
    pub latest: Option<KeyUse>,
    /// Hosts that have the key and whose log was not read, or could not be.
    pub unknown: usize,
    /// Every host was asked.
    pub is_complete: bool,
}

impl LastUse {
    /// `hosts` have the key; what was read of it before `since` is too old to say that nobody used it.
    pub fn of(hosts: usize, read: Vec<KeyUse>, since: Instant) -> Self {
        let asked = read.iter().filter(|one| one.read_at >= since);
        let known = asked.clone().filter(|one| one.evidence != Evidence::Unreadable).count();
        Self {
            is_complete: asked.count() >= hosts,
            unknown: hosts.saturating_sub(known),
            latest: read
                .into_iter()
                .filter(|one| one.last_used_at.is_some())
                .max_by_key(|one| one.last_used_at),
        }
    }

    pub const fn word(&self) -> &'static str {
        match (&self.latest, self.unknown) {
            (Some(_), _) => "USED",
            (None, 0) => "NOT_SEEN",
            (None, _) => "UNKNOWN",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_domain::ids::{AccessId, ServerId, VersionId};

    fn read(evidence: Evidence, used: i64, read: i64) -> KeyUse {
        KeyUse {
            server: ServerId::random().unwrap(),
            version: VersionId::random().unwrap(),
            access: AccessId::random().unwrap(),
            evidence,
            last_used_at: (evidence == Evidence::Used).then(|| Instant::from_secs(used)),
            source_address: String::new(),
            read_at: Instant::from_secs(read),
            log_since: None,
        }
    }

    fn of(hosts: usize, read: Vec<KeyUse>) -> LastUse {
        LastUse::of(hosts, read, Instant::from_secs(100))
    }

    #[test]
    fn not_seen_is_said_only_if_every_host_looked() {
        let seen = |read| {
            let last = of(2, read);
            (last.word(), last.unknown, last.is_complete)
        };
        let not_seen = || read(Evidence::NotSeen, 0, 100);
        assert_eq!(seen(vec![]), ("UNKNOWN", 2, false));
        assert_eq!(seen(vec![not_seen()]), ("UNKNOWN", 1, false));
        assert_eq!(seen(vec![not_seen(), not_seen()]), ("NOT_SEEN", 0, true));
        assert_eq!(seen(vec![not_seen(), read(Evidence::Unreadable, 0, 100)]), ("UNKNOWN", 1, true));
        assert_eq!(seen(vec![not_seen(), read(Evidence::NotSeen, 0, 99)]), ("UNKNOWN", 1, false));
    }

    #[test]
    fn the_latest_log_in_of_all_hosts_counts_however_old_its_reading() {
        let last = of(
            3,
            vec![
                read(Evidence::Used, 50, 60),
                read(Evidence::Used, 90, 100),
                read(Evidence::Unreadable, 0, 100),
            ],
        );
        assert_eq!((last.word(), last.unknown, last.is_complete), ("USED", 2, false));
        assert_eq!(last.latest.unwrap().last_used_at, Some(Instant::from_secs(90)));
    }
}
