//! Audit first: an intent is durable in the log before the effect, the outcome follows from the outbox.

use crate::clients::Outbound;
use crate::denials::{Denials, Noted, Repeated};
use crate::failure::Failure;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{EventId, TenantId, shown};
use keywright_domain::reason::{Reason, Retry};
use keywright_policy::{Decision, Policy};
use keywright_proto::audit as proto;
use keywright_proto::audit::audit_intake_service_client::AuditIntakeServiceClient;
use keywright_storage::{Db, Intent, Outcome, OutcomeKind, outbox};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long a revocation waits for the log before it spools its intent.
const REVOCATION_PATIENCE: Duration = Duration::from_secs(2);

/// Outcomes of this time reach the log together: one append, one transaction here, for whatever many operations owe.
const GATHERED: Duration = Duration::from_millis(200);

/// What an audited operation is about. No secret goes in here.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    action: &'a str,
    tenant: Option<&'a TenantId>,
    target: &'a str,
    comment: &'a str,
    details: BTreeMap<String, String>,
}

impl<'a> Entry<'a> {
    pub fn new(action: &'a str) -> Self {
        Self { action, tenant: None, target: "", comment: "", details: BTreeMap::new() }
    }

    #[must_use]
    pub fn tenant(mut self, tenant: Option<&'a TenantId>) -> Self {
        self.tenant = tenant;
        self
    }

    #[must_use]
    pub fn target(mut self, target: &'a str) -> Self {
        self.target = target;
        self
    }

    #[must_use]
    pub fn comment(mut self, comment: &'a str) -> Self {
        self.comment = comment;
        self
    }

    /// What denied it: never told to the caller.
    #[must_use]
    pub fn denied_by(self, what: impl ToString) -> Self {
        self.detail("deniedBy", what.to_string())
    }

    #[must_use]
    pub fn detail(mut self, key: &str, value: impl Into<String>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}

#[derive(Clone)]
pub struct Audit {
    outbound: Outbound,
    owed: Arc<Notify>,
    denials: Arc<Denials>,
}

impl Audit {
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound, owed: Arc::new(Notify::new()), denials: Arc::default() }
    }

    /// Makes the intent durable, or fails the request with AUDIT_UNAVAILABLE: nothing happens unlogged.
    pub async fn intend(&self, caller: &Caller, entry: Entry<'_>) -> Result<Intent, Failure> {
        let event = EventId::random()?;
        self.append(record(&event, caller, entry)).await?;
        self.owed.notify_one();
        Ok(Intent::durable(event))
    }

    /// For a revocation alone: with the log unavailable the intent is spooled in the revocation's own transaction
    /// and delivered first when the log returns.
    pub async fn intend_or_spool(
        &self,
        caller: &Caller,
        entry: Entry<'_>,
        now: Instant,
    ) -> Result<Intent, Failure> {
        let event = EventId::random()?;
        let mut record = record(&event, caller, entry);
        // A log that hangs must not hold a revocation back; the event's id makes a late append the same entry.
        if tokio::time::timeout(REVOCATION_PATIENCE, self.append(record.clone()))
            .await
            .is_ok_and(|a| a.is_ok())
        {
            self.owed.notify_one();
            return Ok(Intent::durable(event));
        }
        record.spooled_at = Some(timestamp(now));
        Ok(Intent::spooled(event, record.encode_to_vec()))
    }

    /// Records the outcome of an operation that failed after its intent; one that succeeded did so in its own
    /// transaction.
    pub async fn conclude<T>(&self, db: &Db, intent: &Intent, result: &Result<T, Failure>) {
        let Err(failure) = result else { return self.owed.notify_one() };
        let outcome = Outcome::failed(failure.reason.as_str());
        let recorded: Result<(), keywright_storage::Error> = db
            .serialized(|| async {
                // With the intent, where it was spooled and nothing of the operation was kept.
                let mut tx = db.begin(intent).await?;
                intent.done(&mut tx, outcome.clone()).await?;
                tx.commit().await
            })
            .await;
        if recorded.is_err() {
            tracing::warn!(event = %intent.event(), "an outcome could not be recorded");
        }
        self.owed.notify_one();
    }

    /// Records the outcome of an operation whose effect is in no transaction of ours: a login that was tried, a key that
    /// was forgotten.
    pub async fn settle(&self, db: &Db, intent: &Intent, outcome: Outcome) -> Result<(), Failure> {
        let recorded: Result<(), keywright_storage::Error> = db
            .serialized(|| async {
                let mut tx = db.begin(intent).await?;
                intent.done(&mut tx, outcome.clone()).await?;
                tx.commit().await
            })
            .await;
        self.owed.notify_one();
        Ok(recorded?)
    }

    /// A refusal of the caller: best effort, since there is nothing to hold back. The same one again within a minute
    /// is counted, and the count is one entry.
    pub async fn denied(&self, caller: &Caller, entry: Entry<'_>, reason: Reason) {
        let Ok(event) = EventId::random() else { return };
        let record = record(&event, caller, entry);
        match self.denials.note(&record, reason, tokio::time::Instant::now()) {
            Noted::First => self.log_denial(Repeated { record, reason }).await,
            Noted::Counted => {}
            Noted::CountedUntil(key, until) => {
                let audit = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep_until(until).await;
                    if let Some(repeated) = audit.denials.take(&key) {
                        audit.log_denial(repeated).await;
                    }
                });
            }
        }
    }

    /// For a process that owes the log nothing else: tells at `stop` what was counted until then.
    pub async fn tell_at_end(self, stop: CancellationToken) {
        stop.cancelled().await;
        self.log_repeated().await;
    }

    async fn log_repeated(&self) {
        for repeated in self.denials.take_all() {
            self.log_denial(repeated).await;
        }
    }

    async fn log_denial(&self, denial: Repeated) {
        let Repeated { record, reason } = denial;
        let event = record.event_id.clone();
        if self.append(record).await.is_err() {
            tracing::warn!(event, "a denial could not be logged");
            return;
        }
        let outcome = Outcome::denied(reason.as_str());
        if self.outcomes(vec![outcome_record(&event, &outcome)]).await.is_err() {
            tracing::warn!(event, "the outcome of a denial could not be logged");
        }
    }

    async fn append(&self, record: proto::RecordIntentRequest) -> Result<(), Failure> {
        let request = self.outbound.own_request(ServiceName::Audit, None, record)?;
        let mut log = AuditIntakeServiceClient::new(self.outbound.peer(ServiceName::Audit));
        match log.record_intent(request).await {
            Ok(_) => Ok(()),
            Err(status) => match Failure::from_status(&status) {
                // Too large an entry stays too large.
                failure if failure.is(Reason::ValidationFailed) => Err(failure),
                failure => {
                    let what = "The audit log cannot be written, so nothing was done.";
                    Err(Failure::new(Reason::AuditUnavailable, what).with("cause", failure.reason.as_str()))
                }
            },
        }
    }

    async fn outcomes(&self, outcomes: Vec<proto::Outcome>) -> Result<(), Failure> {
        let request =
            self.outbound.own_request(ServiceName::Audit, None, proto::RecordOutcomesRequest { outcomes })?;
        AuditIntakeServiceClient::new(self.outbound.peer(ServiceName::Audit))
            .record_outcomes(request)
            .await?;
        Ok(())
    }

    /// Delivers what the service owes the log, in order, until `stop`; what cannot be delivered stays.
    pub async fn drain(self, db: Db, stop: CancellationToken) {
        let mut quiet = 0u32;
        loop {
            match self.deliver(&db).await {
                Ok(0) => quiet = quiet.saturating_add(1),
                Ok(_) => quiet = 0,
                Err(failure) => {
                    quiet = 0;
                    tracing::debug!(reason = failure.reason.as_str(), "the outbox waits");
                }
            }
            // Soon after an intent its outcome follows; otherwise there is nothing to look for.
            let pause = if quiet < 10 { GATHERED } else { Duration::from_secs(5) };
            let told = tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => false,
                () = self.owed.notified() => true,
            };
            if told {
                quiet = 0;
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(GATHERED) => {}
                }
            }
        }
        self.log_repeated().await;
        let _last = self.deliver(&db).await;
    }

    /// What the log refuses for good would hold up everything behind it.
    async fn deliver_intent(&self, id: &str, record: proto::RecordIntentRequest) -> Result<(), Failure> {
        match self.append(record).await {
            Err(failure) if failure.reason.retry() == Retry::No => {
                tracing::error!(id, reason = failure.reason.as_str(), "the log refuses a spooled intent");
                Ok(())
            }
            answer => answer,
        }
    }

    async fn deliver(&self, db: &Db) -> Result<usize, Failure> {
        let entries = outbox::oldest(db, 100).await?;
        if entries.is_empty() {
            return Ok(0);
        }
        let mut outcomes = Vec::new();
        for entry in &entries {
            match &entry.owed {
                outbox::Owed::Intent(bytes) => match proto::RecordIntentRequest::decode(bytes.as_slice()) {
                    Ok(record) => self.deliver_intent(&entry.id, record).await?,
                    Err(_) => tracing::error!(id = entry.id, "a spooled intent cannot be read"),
                },
                outbox::Owed::Outcome(outcome) => {
                    outcomes.push(outcome_record(entry.event.as_str(), outcome))
                }
            }
        }
        if !outcomes.is_empty() {
            self.outcomes(outcomes).await?;
        }
        let ids: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
        outbox::delivered(db, &ids).await?;
        Ok(entries.len())
    }
}

/// Decides and, on a refusal, audits it.
#[derive(Clone)]
pub struct Guard {
    policy: Policy,
    audit: Audit,
}

impl Guard {
    pub fn new(policy: Policy, audit: Audit) -> Self {
        Self { policy, audit }
    }

    /// `missing` is what a foreign tenant's caller is told.
    pub async fn allow(
        &self,
        caller: &Caller,
        action: &str,
        tenant: Option<&TenantId>,
        target: &str,
        missing: Reason,
    ) -> Result<(), Failure> {
        // Under the caller's own tenant; what the platform's people are refused shows in the tenant it was about.
        let about = caller.principal.tenant.as_ref().or(tenant);
        let entry = Entry::new(action).tenant(about).target(shown(target));
        let (reason, entry, failure) = match self.policy.decide(caller, action, tenant) {
            Decision::Allow => return Ok(()),
            Decision::Deny(denied) => (
                Reason::PermissionDenied,
                entry.denied_by(denied),
                Failure::new(Reason::PermissionDenied, "Your role does not allow this."),
            ),
            Decision::Hidden => {
                (missing, entry.denied_by("another tenant's"), Failure::not_found(missing, target))
            }
        };
        self.audit.denied(caller, entry, reason).await;
        Err(failure)
    }

    /// The same without an audit entry: for lists and for combining decisions.
    pub fn decide(&self, caller: &Caller, action: &str, tenant: Option<&TenantId>) -> Decision {
        self.policy.decide(caller, action, tenant)
    }
}

fn record(event: &EventId, caller: &Caller, entry: Entry<'_>) -> proto::RecordIntentRequest {
    let mut details = entry.details;
    if let Some(work) = &caller.principal.work {
        details.insert("work".to_owned(), work.clone());
    }
    proto::RecordIntentRequest {
        event_id: event.to_string(),
        actor: caller.principal.id.clone(),
        actor_kind: caller.principal.kind.as_str().to_owned(),
        tenant_id: entry.tenant.map(ToString::to_string).unwrap_or_default(),
        action: entry.action.to_owned(),
        target: entry.target.to_owned(),
        comment: entry.comment.to_owned(),
        source_ip: caller.source_ip.clone(),
        user_agent: caller.user_agent.clone(),
        request_id: caller.request_id.clone(),
        trace_id: caller.trace_id.clone(),
        details,
        spooled_at: None,
    }
}

fn outcome_record(event: &str, outcome: &Outcome) -> proto::Outcome {
    let kind = match outcome.kind {
        OutcomeKind::Succeeded => proto::AuditOutcome::Succeeded,
        OutcomeKind::Failed => proto::AuditOutcome::Failed,
        OutcomeKind::Denied => proto::AuditOutcome::Denied,
        OutcomeKind::Interrupted => proto::AuditOutcome::Interrupted,
    };
    proto::Outcome {
        event_id: event.to_string(),
        outcome: kind.into(),
        reason: outcome.reason.clone(),
        details: outcome.details.clone(),
    }
}

/// An instant of the contract, to the microsecond.
pub fn instant(at: prost_types::Timestamp) -> Instant {
    Instant::from_micros(at.seconds.saturating_mul(1_000_000).saturating_add(i64::from(at.nanos) / 1000))
}

/// An instant as the contract carries it.
pub fn timestamp(at: Instant) -> prost_types::Timestamp {
    let nanos = at.micros().rem_euclid(1_000_000).saturating_mul(1000);
    prost_types::Timestamp { seconds: at.secs(), nanos: i32::try_from(nanos).unwrap_or(0) }
}
