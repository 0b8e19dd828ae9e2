//! Watches the log as it grows.
//!
//! Invariant: every entry is looked at once, in the order of the log: what it led to and how far the log was looked at are
//! one transaction.

use crate::adapters::zones::Zones;
use crate::alerting::hours::Zone;
use crate::alerting::rule::{LONGEST_WINDOW, Rule};
use crate::alerting::watch::{Entry, Key, Watch};
use crate::store::{alert, alert_rule, watch};
use keywright_domain::ids::TenantId;
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::metrics::Gauge;
use keywright_storage::{Db, lease};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const WORK: &str = "alerts";
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LEASE: Duration = Duration::from_secs(30);
/// Entries of one transaction.
const AT_ONCE: i64 = 512;

#[derive(Clone)]
pub struct Evaluate {
    pub db: Db,
    pub zones: Zones,
    /// The id of this replica's lease.
    pub holder: String,
    pub gauges: Gauges,
}

#[derive(Clone)]
pub struct Gauges {
    behind: Gauge,
    open: Gauge,
}

impl Gauges {
    pub fn new() -> Self {
        Self {
            behind: Gauge::new("keywright_audit_alerts_behind", "Entries that were not looked at yet"),
            open: Gauge::new("keywright_audit_alerts_open", "Alerts that nobody has acknowledged"),
        }
    }
}

/// Entries with the rules that they match.
struct Matched<'a>(Vec<(&'a Entry, &'a Rule)>);

impl Evaluate {
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(failure) = self.round().await {
                tracing::warn!(reason = failure.reason.as_str(), "the log is watched later");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Whatever there is now, unless another replica is at it.
    pub async fn round(&self) -> Result<(), Failure> {
        let (next, size) = watch::position(&self.db).await?;
        self.gauges.behind.record(u64::try_from(size.saturating_sub(next)).unwrap_or(0));
        if next >= size {
            return Ok(());
        }
        let Some(lease) = lease::acquire(&self.db, WORK, &self.holder, LEASE).await? else { return Ok(()) };
        let looked = tokio::time::timeout(LEASE, self.catch_up()).await;
        lease::release(&self.db, &lease).await?;
        looked.unwrap_or(Ok(()))?;
        self.gauges.open.record(alert::count_open(&self.db).await?);
        Ok(())
    }

    async fn catch_up(&self) -> Result<(), Failure> {
        while self.step(AT_ONCE).await? {}
        Ok(())
    }

    /// At most so many entries; false at the end of the log.
    pub async fn step(&self, most: i64) -> Result<bool, Failure> {
        let (from, size) = watch::position(&self.db).await?;
        if from >= size {
            return Ok(false);
        }
        let rules = alert_rule::list(&self.db).await?;
        let entries = watch::entries(&self.db, from, most).await?;
        let matched = Matched::of(&entries, &rules);
        // Asked before the transaction: nothing is waited for inside.
        let zones = self.zones.of(matched.tenants()).await;
        let next = entries.last().map_or(size, |entry| entry.seq.saturating_add(1));
        self.db
            .serialized(|| self.count(&rules, &matched, &zones, from, next))
            .await
            .map_err(Failure::from)?;
        Ok(true)
    }

    /// Nothing where another has looked at these, or the rules are others by now.
    async fn count(
        &self,
        rules: &[Rule],
        matched: &Matched<'_>,
        zones: &HashMap<String, Zone>,
        from: i64,
        next: i64,
    ) -> Result<(), Error> {
        let dialect = self.db.dialect();
        let mut tx = self.db.begin_internal("what the log is watched for").await?;
        if watch::lock(&mut tx).await? != from || alert_rule::all(tx.conn()).await? != rules {
            return Ok(());
        }
        if let Some((first, _)) = matched.0.first() {
            let keys = matched.keys();
            let tallies = watch::tallies(&mut tx, dialect, &keys).await?;
            let open = alert::open(&mut tx, dialect, &keys, first.at.minus(LONGEST_WINDOW)).await?;
            let mut seen = Watch::new(tallies, open);
            let platform = Zone::utc(true);
            for (entry, rule) in &matched.0 {
                seen.see(rule, entry, zones.get(&entry.tenant).unwrap_or(&platform))
                    .map_err(Failure::from)?;
            }
            let (tallies, alerts) = seen.end();
            for kept in &alerts {
                match (kept.is_new, kept.has_grown) {
                    (true, _) => alert::insert(&mut tx, &kept.alert).await?,
                    (false, true) => alert::grow(&mut tx, &kept.alert).await?,
                    (false, false) => {}
                }
            }
            let now = matched.0.iter().map(|(entry, _)| entry.at).max().unwrap_or(first.at);
            watch::save(&mut tx, dialect, &tallies, now).await?;
        }
        watch::advance(&mut tx, next).await?;
        Ok(tx.commit().await?)
    }
}

impl<'a> Matched<'a> {
    fn of(entries: &'a [Entry], rules: &'a [Rule]) -> Self {
        let each = entries.iter().flat_map(|entry| rules.iter().map(move |rule| (entry, rule)));
        Self(each.filter(|(entry, rule)| rule.matches(entry)).collect())
    }

    /// Those whose hours are to be known.
    fn tenants(&self) -> BTreeSet<TenantId> {
        let by_the_hour = self.0.iter().filter(|(_, rule)| rule.hours.is_some());
        by_the_hour.filter_map(|(entry, _)| TenantId::parse(&entry.tenant).ok()).collect()
    }

    fn keys(&self) -> Vec<Key> {
        let each = self.0.iter().map(|(entry, rule)| (rule.id.clone(), rule.subject.of(entry).to_owned()));
        each.collect::<BTreeSet<Key>>().into_iter().collect()
    }
}
