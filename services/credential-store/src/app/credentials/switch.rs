//! Moves servers from one saved credential to another: each by itself, in a transaction of its own that finds the
//! server as it was looked at, and with a login by the new credential before it where that is asked for.
//!
//! Invariant: what became of a server is written in the transaction that moves it. A request that ends early, however
//! it ends, leaves the servers that it did not come to as they were, and the same request goes on with these.

use super::read::usage_in;
use super::switch_one::Mover;
use crate::app::find;
use crate::app::tenants::open;
use crate::domain::credential::Credential;
use crate::domain::switch::{Step, StepOutcome};
use crate::domain::text;
use crate::store;
use aws_lc_rs::digest;
use futures_util::stream::{self, StreamExt};
use keywright_domain::caller::Caller;
use keywright_domain::ids::{ServerId, shown};
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::deadline::Deadline;
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::idempotency::{Answer, keep, replay};
use keywright_storage::idempotency::{LIFETIME, Scope};
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::collections::BTreeSet;
use std::time::Duration;
use tracing::instrument;

pub(super) const ACTION: &str = "credential.switch";

/// Tests cost a connection each, here and at the network between.
const AT_ONCE: usize = 8;

/// What is left of a request's time to write down how it ended.
const RESERVE: Duration = Duration::from_secs(5);

/// More are not named one by one: leave them out, and all are meant.
const MOST_NAMED: usize = 1000;

pub struct SwitchCredential {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub mover: Mover,
}

/// As it came.
pub struct Switch {
    pub credential_id: String,
    pub to_credential_id: String,
    pub test: bool,
    /// None: all that are bound.
    pub server_ids: Vec<String>,
    /// Empty: the binding's, else the new credential's.
    pub username: String,
    /// Empty: not stated.
    pub expected_usage_revision: String,
}

/// What every server of a switch has in common.
pub(super) struct Run<'a> {
    pub caller: &'a Caller,
    pub operation: String,
    pub from: Credential,
    pub to: Credential,
    pub test: bool,
    pub username: Option<String>,
    /// Nothing is begun after it.
    pub until: tokio::time::Instant,
}

struct Gate {
    /// None: all that are bound.
    servers: BTreeSet<ServerId>,
    expected_revision: String,
}

impl SwitchCredential {
    /// `answer` encodes what became of the servers.
    #[instrument(skip_all, fields(credential = shown(&switch.credential_id), to = shown(&switch.to_credential_id)))]
    pub async fn run<T: Answer>(
        &self,
        caller: &Caller,
        switch: Switch,
        scope: Option<Scope>,
        deadline: Deadline,
        answer: impl Fn(&[Step]) -> T,
    ) -> Result<T, Failure> {
        let from = find::saved(&self.db, &self.guard, caller, ACTION, &switch.credential_id).await?;
        let to = find::saved(&self.db, &self.guard, caller, ACTION, &switch.to_credential_id).await?;
        if to.tenant != from.tenant {
            return Err(find::no_credential(&switch.to_credential_id));
        }
        open::check(&self.db, from.tenant.as_ref()).await?;
        if to.id == from.id {
            return Err(Failure::violation("toCredentialId", "must be another credential"));
        }
        let username = text::username("username", &switch.username)?;
        let gate =
            Gate { servers: servers(&switch.server_ids)?, expected_revision: switch.expected_usage_revision };
        let entry = Entry::new(ACTION)
            .tenant(from.tenant.as_ref())
            .target(from.id.as_str())
            .detail("to", to.id.as_str())
            .detail("test", switch.test.to_string());
        let intent = self.audit.intend(caller, entry).await?;
        let run = Run {
            caller,
            operation: operation(scope.as_ref(), &intent),
            from,
            to,
            test: switch.test,
            username,
            until: deadline.before(RESERVE),
        };
        let result = self.switch::<T>(&run, &gate, scope.as_ref(), &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        Ok(answer(&result?))
    }

    async fn switch<T: Answer>(
        &self,
        run: &Run<'_>,
        gate: &Gate,
        scope: Option<&Scope>,
        intent: &Intent,
    ) -> Result<Vec<Step>, Failure> {
        self.db.serialized(|| self.plan::<T>(run, gate, scope, intent)).await?;
        let steps = store::switch::steps(&self.db, &run.operation).await?;
        let left = steps.into_iter().filter(|step| step.ending.outcome == StepOutcome::Pending);
        stream::iter(left)
            .for_each_concurrent(AT_ONCE, |step| async move { self.mover.go(run, &step).await })
            .await;
        let steps = store::switch::steps(&self.db, &run.operation).await?;
        self.audit.settle(&self.db, intent, counted(&steps)).await?;
        Ok(steps)
    }

    /// Which servers it is about: once for all repetitions of a request.
    async fn plan<T: Answer>(
        &self,
        run: &Run<'_>,
        gate: &Gate,
        scope: Option<&Scope>,
        intent: &Intent,
    ) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        if replay::<T>(&mut tx, scope).await?.is_some() {
            return Ok(());
        }
        find::credential_in(&mut tx, &run.from.id).await?;
        find::credential_in(&mut tx, &run.to.id).await?;
        let usage = usage_in(&mut tx, &run.from.id).await?;
        usage.require_revision(Some(gate.expected_revision.as_str()).filter(|text| !text.is_empty()))?;
        let servers = if gate.servers.is_empty() {
            usage.servers.into_iter().map(|server| (server.server, server.name)).collect()
        } else {
            named(&mut tx, run, &gate.servers).await?
        };
        let oldest = tx.now().minus(LIFETIME);
        store::switch::plan(&mut tx, &run.operation, &servers, oldest).await?;
        keep(&mut tx, scope, &T::default()).await?;
        Ok(tx.commit().await?)
    }
}

/// Somebody else's are not there.
async fn named(
    tx: &mut Tx,
    run: &Run<'_>,
    ids: &BTreeSet<ServerId>,
) -> Result<Vec<(ServerId, String)>, Error> {
    let mut servers = Vec::with_capacity(ids.len());
    for id in ids {
        let server = find::server_in(tx, id).await?;
        if run.from.tenant.as_ref() != Some(&server.tenant) {
            return Err(find::no_server(id.as_str()).into());
        }
        servers.push((server.id, server.name));
    }
    Ok(servers)
}

fn servers(texts: &[String]) -> Result<BTreeSet<ServerId>, Failure> {
    if texts.len() > MOST_NAMED {
        return Err(Failure::violation("serverIds", format!("must be at most {MOST_NAMED}")));
    }
    texts.iter().map(|text| ServerId::parse(text).map_err(|_| find::no_server(text))).collect()
}

/// The same for every repetition under one key.
fn operation(scope: Option<&Scope>, intent: &Intent) -> String {
    let Some(scope) = scope else { return intent.event().to_string() };
    let mut context = digest::Context::new(&digest::SHA256);
    for text in [&scope.caller, &scope.key] {
        context.update(&text.len().to_be_bytes());
        context.update(text.as_bytes());
    }
    data_encoding::HEXLOWER.encode(context.finish().as_ref())
}

fn counted(steps: &[Step]) -> Outcome {
    let count = |outcome: StepOutcome| steps.iter().filter(|step| step.ending.outcome == outcome).count();
    Outcome::succeeded()
        .with("switched", count(StepOutcome::Switched).to_string())
        .with("testFailed", count(StepOutcome::TestFailed).to_string())
        .with("changedMeanwhile", count(StepOutcome::ChangedMeanwhile).to_string())
        .with("refused", count(StepOutcome::Refused).to_string())
        .with("notReached", count(StepOutcome::Pending).to_string())
}
