//! One server of a switch: looked at, tested where asked, moved if it is still what was looked at.

use super::switch::{ACTION, Run};
use crate::adapters::probe::{Login, Probe};
use crate::app::find;
use crate::domain::server::Lifecycle;
use crate::domain::switch::{Ending, Step, StepOutcome};
use crate::store;
use crate::store::switch::Bound;
use keywright_domain::ids::VersionId;
use keywright_domain::reason::{Reason, Retry};
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

#[derive(Clone)]
pub struct Mover {
    pub db: Db,
    pub audit: Audit,
    pub probe: Probe,
    /// Moves meet at the rows of their two credentials: one at a time they do not disturb each other.
    pub writing: Arc<Mutex<()>>,
}

/// What a test, if there is one, was made with; the write must find the same.
struct Looked {
    bound: Bound,
    version: Option<VersionId>,
    /// To log in as, and to be written into the binding.
    username: Username,
    tested: Option<Login>,
}

struct Username {
    effective: String,
    /// None: the binding follows the new credential's.
    own: Option<String>,
}

impl Mover {
    /// Errors leave the server as it is; those that pass leave it to the next request too.
    pub(super) async fn go(&self, run: &Run<'_>, step: &Step) {
        if Instant::now() >= run.until {
            return;
        }
        let entry = Entry::new(ACTION)
            .tenant(run.from.tenant.as_ref())
            .target(step.server.as_str())
            .detail("from", run.from.id.as_str())
            .detail("to", run.to.id.as_str());
        let intent = match self.audit.intend(run.caller, entry).await {
            Ok(intent) => intent,
            Err(failure) => return self.note(run, step, None, &Err(failure)).await,
        };
        let moved = self.one(run, step, &intent).await;
        self.note(run, step, Some(&intent), &moved).await;
    }

    async fn one(&self, run: &Run<'_>, step: &Step, intent: &Intent) -> Result<(), Failure> {
        let looked = match self.look(run, step).await? {
            Ok(looked) => looked,
            Err(ending) => return self.settle(run, step, intent, ending).await,
        };
        if let Some(test) = looked.tested.as_ref().filter(|test| !test.logged_in) {
            let ending = Ending::new(StepOutcome::TestFailed, &test.code, test.message.as_str());
            return self.settle(run, step, intent, ending.with_test(&test.id)).await;
        }
        let _alone = self.writing.lock().await;
        let moved: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                let ending = write(&mut tx, run, step, &looked).await?;
                store::switch::settle(&mut tx, &run.operation, &step.server, &ending).await?;
                intent.done(&mut tx, outcome(&ending)).await?;
                Ok(tx.commit().await?)
            })
            .await;
        Ok(moved?)
    }

    /// What there is to move, and whether the new credential logs in there; or why nothing is to be done.
    async fn look(&self, run: &Run<'_>, step: &Step) -> Result<Result<Looked, Ending>, Failure> {
        let Some(bound) = store::switch::bound(&self.db, &step.server).await? else {
            return Ok(Err(gone()));
        };
        if let Some(ending) = unfit(run, &bound) {
            return Ok(Err(ending));
        }
        let Some(to) = store::credential::find(&self.db, &run.to.id).await? else {
            return Ok(Err(Ending::refused(&find::no_credential(run.to.id.as_str()))));
        };
        let Some(username) = username(run, &bound, to.username.as_deref()) else {
            let named = "is required, since neither the binding nor the new credential names a user";
            return Ok(Err(Ending::refused(&Failure::violation("username", named))));
        };
        let version = to.current.map(|version| version.id);
        let mut looked = Looked { bound, version, username, tested: None };
        if run.test {
            let login = self.probe.log_in(run.caller, &step.server, &run.to.id, &looked.username.effective);
            let login = timeout_at(run.until, login).await.map_err(|_| {
                Failure::new(Reason::DeadlineExceeded, "The test did not end in the time of the request.")
            })?;
            looked.tested = Some(login?);
        }
        Ok(Ok(looked))
    }

    /// It stays as it is.
    async fn settle(
        &self,
        run: &Run<'_>,
        step: &Step,
        intent: &Intent,
        ending: Ending,
    ) -> Result<(), Failure> {
        let settled: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                store::switch::settle(&mut tx, &run.operation, &step.server, &ending).await?;
                intent.done(&mut tx, outcome(&ending)).await?;
                Ok(tx.commit().await?)
            })
            .await;
        Ok(settled?)
    }

    /// Says why a server was not moved where that was not written yet: it is refused, or, if the cause passes, left to
    /// the next request.
    async fn note(&self, run: &Run<'_>, step: &Step, intent: Option<&Intent>, moved: &Result<(), Failure>) {
        let Err(failure) = moved else { return };
        let passes = failure.reason.retry() == Retry::AfterDelay;
        let ending = match (passes, failure.is(Reason::DeadlineExceeded)) {
            (true, true) => Ending::pending(),
            (true, false) => Ending { outcome: StepOutcome::Pending, ..Ending::refused(failure) },
            (false, _) => Ending::refused(failure),
        };
        let noted: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("why a server was not switched").await?;
                store::switch::settle(&mut tx, &run.operation, &step.server, &ending).await?;
                Ok(tx.commit().await?)
            })
            .await;
        if noted.is_err() {
            tracing::warn!(server = %step.server, "why a server was not switched could not be noted");
        }
        if let Some(intent) = intent {
            self.audit.conclude(&self.db, intent, moved).await;
        }
    }
}

/// The move, if everything is as it was looked at.
async fn write(tx: &mut Tx, run: &Run<'_>, step: &Step, looked: &Looked) -> Result<Ending, Error> {
    let Some(bound) = store::switch::bound_in(tx, &step.server).await? else { return Ok(gone()) };
    if let Some(ending) = unfit(run, &bound) {
        return Ok(ending);
    }
    if bound != looked.bound {
        return Ok(Ending::changed(Reason::UsageChanged, "Its binding was changed meanwhile."));
    }
    let to = match store::credential::find_in(tx, &run.to.id).await? {
        Some(to) => to,
        None => return Ok(Ending::refused(&find::no_credential(run.to.id.as_str()))),
    };
    if to.current.as_ref().map(|version| &version.id) != looked.version.as_ref()
        || (looked.username.own.is_none() && to.username.as_deref() != Some(&looked.username.effective))
    {
        let changed = "The new credential was changed meanwhile.";
        return Ok(Ending::changed(Reason::RevisionMismatch, changed));
    }
    store::server::bind(tx, &step.server, &run.to.id, looked.username.own.as_deref()).await?;
    store::credential::usage_changed(tx, &run.from.id).await?;
    store::credential::usage_changed(tx, &run.to.id).await?;
    let Some(test) = &looked.tested else { return Ok(Ending::switched()) };
    store::server::record_test(tx, &step.server, &run.to.id, &test.id, &test.status).await?;
    Ok(Ending::switched().with_test(&test.id))
}

/// Why a server is not moved, as it is.
fn unfit(run: &Run<'_>, bound: &Bound) -> Option<Ending> {
    if run.from.tenant.as_ref() != Some(&bound.tenant) || bound.credential.as_ref() != Some(&run.from.id) {
        return Some(Ending::changed(Reason::UsageChanged, "It is not bound to the old credential."));
    }
    (bound.lifecycle == Lifecycle::Inactive).then(|| {
        let message = "The server is deactivated and takes no new work.";
        Ending::refused(&Failure::new(Reason::ServerInactive, message))
    })
}

fn gone() -> Ending {
    Ending::changed(Reason::ServerNotFound, "The server was deleted meanwhile.")
}

/// What is asked for, else the binding's own, else the new credential's; where it names none, the old one's stays.
fn username(run: &Run<'_>, bound: &Bound, of_new: Option<&str>) -> Option<Username> {
    let own = run.username.as_ref().or(bound.username.as_ref());
    match (own, of_new, &run.from.username) {
        (Some(own), _, _) => Some(Username { effective: own.clone(), own: Some(own.clone()) }),
        (None, Some(new), _) => Some(Username { effective: new.to_owned(), own: None }),
        (None, None, Some(old)) => Some(Username { effective: old.clone(), own: Some(old.clone()) }),
        (None, None, None) => None,
    }
}

fn outcome(ending: &Ending) -> Outcome {
    let outcome = match ending.outcome {
        StepOutcome::Switched => Outcome::succeeded(),
        _ => Outcome::failed(&ending.reason),
    };
    let outcome = outcome.with("switch", ending.outcome.as_str());
    if ending.test.is_empty() { outcome } else { outcome.with("testId", ending.test.as_str()) }
}
