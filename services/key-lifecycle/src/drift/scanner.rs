//! One look at a server.
//!
//! Invariant: the lease is held from the first log-in to the last row, so that what credential-store signs for it ends
//! with it.

use super::classify::{classify, named};
use super::work;
use crate::adapters::credential_store::Server;
use crate::adapters::door::Door;
use crate::held::{self, Span};
use crate::model::{KeyClass, KeyFlag, Notice, Seen, ServerKey, ServerScan};
use crate::recovery;
use crate::rotation::Converger;
use crate::store;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, ServerId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tracing::instrument;

/// After a kill the next look may begin soon.
const SPAN: Span = Span { lease: Duration::from_secs(6), renew: Duration::from_secs(2) };
/// How long a request waits for another look at the same server.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// For the accounts of a server, where somebody waits for the answer, and where nobody does.
pub const WHILE_ASKED: Duration = Duration::from_secs(30);
pub const BY_ITSELF: Duration = Duration::from_secs(150);
/// Findings that a notice names.
const NAMED: usize = 5;

#[derive(Clone)]
pub struct Scanner {
    pub db: Db,
    pub audit: Audit,
    pub converger: Converger,
    /// Who holds the leases of this process.
    pub owner: String,
    /// From one look at a server to the next.
    pub every: Duration,
}

impl Scanner {
    /// Under the right to log in to the server and look. Waits a little while another looks; REQUEST_IN_PROGRESS then.
    pub async fn look<T, F>(&self, server: Server, doing: impl Fn(Door) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(done) = self.try_look(&server, &doing).await? {
                return Ok(done);
            }
            if tokio::time::Instant::now() >= until {
                let what = "The server is being looked at by another request.";
                return Err(Failure::new(Reason::RequestInProgress, what));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// None while another looks.
    pub async fn try_look<T, F>(
        &self,
        server: &Server,
        doing: impl Fn(Door) -> F,
    ) -> Result<Option<T>, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        recovery::refuse_while_active(&self.db).await?;
        let door = Door::new(server.clone(), &work(&server.id));
        held::held(&self.db, &work(&server.id), &self.owner, SPAN, doing(door)).await
    }

    /// Looks, judges, records. With an intent its outcome goes into the same transaction.
    #[instrument(skip_all, fields(server = %door.server.id))]
    pub async fn scan(
        &self,
        door: &Door,
        budget: Duration,
        intent: Option<&Intent>,
    ) -> Result<ServerScan, Failure> {
        let server = &door.server.id;
        let mut reader = store::reader(&self.db).await?;
        let first = store::known_key::accounts(&mut reader, server).await?;
        let before = store::known_key::revisions(&mut reader, server).await?;
        drop(reader);
        let seen = self.converger.hosts.scan(door, &first, budget).await?;
        let scan = self.judge(server, &seen, &before).await?;
        self.log_revoked(door, &scan).await?;
        let saved = self.db.serialized(|| self.save(&door.server, &scan, intent)).await?;
        tracing::info!(
            %server,
            accounts = saved.accounts.len(),
            keys = saved.keys.len(),
            drift = saved.drift,
            truncated = saved.truncated,
            "looked at the keys of a server"
        );
        Ok(saved)
    }

    async fn judge(
        &self,
        server: &ServerId,
        seen: &Seen,
        before: &HashMap<AccessId, i64>,
    ) -> Result<ServerScan, Failure> {
        let now = self.db.now().await?;
        let (shown, claimed) = named(seen);
        let mut reader = store::reader(&self.db).await?;
        let known = store::known_key::of_server(&mut reader, server, before, &shown, &claimed).await?;
        drop(reader);
        let judged = classify(seen, &known, now);
        let drift = judged.drift();
        Ok(ServerScan {
            server: server.clone(),
            scanned_at: Some(now),
            accounts: judged.accounts,
            keys: judged.keys,
            other_ways: seen.other_ways.iter().map(|way| (*way).to_owned()).collect(),
            settings_read: seen.settings_read,
            truncated: judged.truncated,
            drift: u32::try_from(drift).unwrap_or(u32::MAX),
        })
    }

    /// A key that was revoked as compromised stands in a file, put back or not removed yet: logged before it is recorded,
    /// when a look shows it that the one before did not.
    async fn log_revoked(&self, door: &Door, scan: &ServerScan) -> Result<(), Failure> {
        let server = &door.server;
        let mut reader = store::reader(&self.db).await?;
        let last = store::server_scan::find(&mut reader, &server.id).await?;
        drop(reader);
        let known: BTreeSet<String> =
            last.iter().flat_map(|last| &last.keys).filter(|key| is_revoked(key)).map(finding).collect();
        for key in scan.keys.iter().filter(|key| is_revoked(key) && !known.contains(&finding(key))) {
            let entry = Entry::new("server.revoked_key_found")
                .tenant(Some(&server.tenant))
                .target(server.id.as_str())
                .detail("account", key.account.as_str())
                .detail("fingerprint", key.fingerprint.as_str())
                .detail("accessId", key.access.as_str());
            let caller = Caller::background(ServiceName::KeyLifecycle, &door.work);
            let intent = self.audit.intend(&caller, entry).await?;
            self.audit.settle(&self.db, &intent, Outcome::succeeded()).await?;
        }
        Ok(())
    }

    /// With the times at which each key was first seen; a finding is told when a look shows it that the one before did not.
    async fn save(
        &self,
        server: &Server,
        scan: &ServerScan,
        intent: Option<&Intent>,
    ) -> Result<ServerScan, Error> {
        let mut tx = match intent {
            Some(intent) => self.db.begin(intent).await?,
            None => self.db.begin_internal("what a server showed").await?,
        };
        let mut scan = scan.clone();
        let last = store::server_scan::find(tx.conn(), &server.id).await?;
        let last = last.map(|last| last.keys).unwrap_or_default();
        keep_first_seen(&mut scan.keys, &last);
        // A look that somebody asked for repairs nothing: the watch does, and not only when its time has come.
        let next = if intent.is_some() && scan.drift > 0 { tx.now() } else { tx.now().plus(self.every) };
        store::server_scan::save(&mut tx, &scan, next).await?;
        self.tell(&mut tx, server, &scan, &last).await?;
        if let Some(intent) = intent {
            let outcome = Outcome::succeeded().with("keys", scan.keys.len().to_string());
            intent.done(&mut tx, outcome.with("drift", scan.drift.to_string())).await?;
        }
        tx.commit().await?;
        Ok(scan)
    }

    async fn tell(
        &self,
        tx: &mut Tx,
        server: &Server,
        scan: &ServerScan,
        last: &[ServerKey],
    ) -> Result<(), Error> {
        let findings = findings(&scan.keys);
        if findings.is_subset(&self::findings(last)) {
            return Ok(());
        }
        let occasion = tx.now().micros().to_string();
        let first: Vec<String> = findings.iter().take(NAMED).cloned().collect();
        let notice = Notice::new("drift.found", Some(&server.tenant), server.id.as_str())
            .occasion(&occasion)
            .detail("serverId", server.id.as_str())
            .detail("serverName", &server.name)
            .detail("drift", scan.drift.to_string())
            .detail("findings", first.join("; "));
        Ok(store::notice::write(tx, &notice).await?)
    }

    /// What failed is tried again, later and later.
    pub async fn put_off(&self, server: &ServerId, failure: &Failure) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a server could not be looked at").await?;
            let attempts = store::server_scan::attempts(tx.conn(), server).await?;
            let pause = later(attempts, self.every);
            let next: Instant = tx.now().plus(pause);
            store::server_scan::put_off(&mut tx, server, failure.reason.as_str(), next).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}

/// Two minutes, four, eight, … and never longer than the interval.
fn later(attempts: u32, every: Duration) -> Duration {
    let doubled = 1u32.checked_shl(attempts.min(16)).unwrap_or(u32::MAX);
    Duration::from_secs(120).saturating_mul(doubled).min(every)
}

fn findings(keys: &[ServerKey]) -> BTreeSet<String> {
    keys.iter().filter(|key| key.is_drift()).map(finding).collect()
}

fn is_revoked(key: &ServerKey) -> bool {
    key.class == KeyClass::Orphan && key.flags.contains(&KeyFlag::Compromised)
}

/// Account, class and fingerprint: no words of the host but the account's name.
fn finding(key: &ServerKey) -> String {
    let class = match key.class {
        KeyClass::Orphan => "ORPHAN",
        KeyClass::Missing => "MISSING",
        _ => KeyFlag::Changed.as_str(),
    };
    format!("{class} {} {}", key.account, key.fingerprint)
}

fn keep_first_seen(keys: &mut [ServerKey], last: &[ServerKey]) {
    let id = |key: &ServerKey| (key.account.clone(), key.fingerprint.clone(), key.class == KeyClass::Missing);
    let mut earlier: HashMap<_, i64> = HashMap::new();
    for key in last {
        let first = earlier.entry(id(key)).or_insert(key.first_seen_micros);
        *first = (*first).min(key.first_seen_micros);
    }
    for key in keys {
        if let Some(first) = earlier.get(&id(key)) {
            key.first_seen_micros = key.first_seen_micros.min(*first);
        }
    }
}
