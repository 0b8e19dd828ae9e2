//! The counting: entries of the log in their order against the rules.
//!
//! Invariant: what counts is when an entry was recorded, never when it is looked at; an event that an alert covers is not
//! counted towards another of the same rule and subject.

use super::alert::{Alert, State};
use super::hours::Zone;
use super::rule::{Ending, Rule};
use keywright_domain::clock::{Instant, NoRandomness};
use keywright_domain::ids::AlertId;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// One entry of the log, with what its intent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub seq: i64,
    pub at: Instant,
    pub event: String,
    pub half: Half,
    pub actor: String,
    pub actor_kind: String,
    pub source: String,
    pub target: String,
    /// Empty for the platform's.
    pub tenant: String,
    pub action: String,
    /// For how many it stands: refusals that are the same are logged as one, with their number.
    pub times: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Half {
    Intent,
    Outcome { ending: Ending, reason: String },
}

/// Rule and subject.
pub type Key = (String, String);

/// What was seen of one subject and led to no alert so far: fewer events than the rule's threshold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    tenant: String,
    seen: VecDeque<(i64, i64)>,
    total: i64,
}

impl Tally {
    /// `seen`: when, in microseconds, and how many; oldest first.
    pub fn new(tenant: String, seen: VecDeque<(i64, i64)>) -> Self {
        let total = seen.iter().fold(0i64, |total, (_, times)| total.saturating_add(*times));
        Self { tenant, seen, total }
    }

    /// The tenant of all of them; empty where they are of several, or of none.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// As `new` takes it.
    pub fn seen(&self) -> impl Iterator<Item = &(i64, i64)> {
        self.seen.iter()
    }

    /// How many there are within the window then.
    fn add(&mut self, entry: &Entry, window: Duration) -> i64 {
        let since = entry.at.minus(window).micros();
        while let Some((_, times)) = self.seen.pop_front_if(|(at, _)| *at <= since) {
            self.total = self.total.saturating_sub(times);
        }
        if self.seen.is_empty() {
            self.tenant.clone_from(&entry.tenant);
        } else if self.tenant != entry.tenant {
            self.tenant.clear();
        }
        match self.seen.back_mut() {
            Some((at, times)) if *at == entry.at.micros() => *times = times.saturating_add(entry.times),
            _ => self.seen.push_back((entry.at.micros(), entry.times)),
        }
        self.total = self.total.saturating_add(entry.times);
        self.total
    }

    /// When the last of it leaves the window; long ago where nothing is in it.
    fn until(&self, window: Duration) -> Instant {
        self.seen.back().map_or(Instant::from_micros(0), |(at, _)| Instant::from_micros(*at).plus(window))
    }
}

/// An alert of this round.
pub struct Kept {
    pub alert: Alert,
    /// Raised in this round.
    pub is_new: bool,
    /// Another event came to it.
    pub has_grown: bool,
}

/// What is known of the subjects of one round.
#[derive(Default)]
pub struct Watch {
    tallies: HashMap<Key, Tally>,
    /// With when each ends.
    changed: HashMap<Key, Instant>,
    alerts: Vec<Kept>,
    /// The newest open alert of rule, subject and tenant.
    open: HashMap<(String, String, String), usize>,
}

impl Watch {
    /// From where the round before ended; `open`: oldest first.
    pub fn new(tallies: Vec<(Key, Tally)>, open: Vec<Alert>) -> Self {
        let mut watch = Self { tallies: tallies.into_iter().collect(), ..Self::default() };
        for alert in open {
            watch.keep(Kept { alert, is_new: false, has_grown: false });
        }
        watch
    }

    /// An entry that the rule matches; `zone` is its tenant's.
    pub fn see(&mut self, rule: &Rule, entry: &Entry, zone: &Zone) -> Result<(), NoRandomness> {
        let subject = rule.subject.of(entry);
        if subject.is_empty() || rule.hours.is_some_and(|hours| !hours.contain(entry.at, &zone.zone)) {
            return Ok(());
        }
        if self.grow(rule, subject, entry) {
            return Ok(());
        }
        let key = (rule.id.clone(), subject.to_owned());
        let tally = self.tallies.entry(key.clone()).or_default();
        let times = tally.add(entry, rule.window);
        let raises = times >= rule.threshold;
        let tenant = if raises { std::mem::take(tally).tenant } else { String::new() };
        self.changed.insert(key, tally.until(rule.window));
        if !raises {
            return Ok(());
        }
        let alert = Alert {
            id: AlertId::random()?,
            number: 0,
            rule: rule.id.clone(),
            description: says(rule, zone),
            tenant,
            subject_kind: rule.subject,
            subject: subject.to_owned(),
            times,
            raised_at: entry.at,
            last_at: entry.at,
            event: entry.event.clone(),
            state: State::Open,
            acknowledged_by: String::new(),
            acknowledged_at: None,
            comment: String::new(),
        };
        self.keep(Kept { alert, is_new: true, has_grown: false });
        Ok(())
    }

    /// Whether an open alert covers it: of the same tenant, or the platform's, and not quiet for the rule's window.
    fn grow(&mut self, rule: &Rule, subject: &str, entry: &Entry) -> bool {
        for tenant in ["", &entry.tenant] {
            let key = (rule.id.clone(), subject.to_owned(), tenant.to_owned());
            let Some(kept) = self.open.get(&key).and_then(|index| self.alerts.get_mut(*index)) else {
                continue;
            };
            if kept.alert.last_at.plus(rule.window) <= entry.at {
                continue;
            }
            kept.alert.times = kept.alert.times.saturating_add(entry.times);
            kept.alert.last_at = kept.alert.last_at.max(entry.at);
            kept.has_grown = true;
            return true;
        }
        false
    }

    fn keep(&mut self, kept: Kept) {
        let alert = &kept.alert;
        let key = (alert.rule.clone(), alert.subject.clone(), alert.tenant.clone());
        self.open.insert(key, self.alerts.len());
        self.alerts.push(kept);
    }

    /// The tallies that are others now, each with when the last of it leaves the window, and the alerts, in the order in
    /// which they were raised.
    pub fn end(self) -> (Vec<(Key, Tally, Instant)>, Vec<Kept>) {
        let Self { mut tallies, changed, alerts, .. } = self;
        let changed = changed.into_iter().map(|(key, until)| {
            let tally = tallies.remove(&key).unwrap_or_default();
            (key, tally, until)
        });
        (changed.collect(), alerts)
    }
}

/// What the rule says; where it is about hours, with the zone that they were read in.
fn says(rule: &Rule, zone: &Zone) -> String {
    match (rule.hours, zone.is_own) {
        (None, _) => rule.description.clone(),
        (Some(_), true) => format!("{} ({})", rule.description, zone.name()),
        (Some(_), false) => {
            format!("{} (UTC: the tenant's time zone could not be read)", rule.description)
        }
    }
}
