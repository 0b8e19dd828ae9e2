//! Erases the clear values about a person: what he did stays in the log and verifies, who he was does not.
//!
//! In batches, each a transaction that holds the head's lock as an append does, so that no outcome comes between. What
//! is left after a crash is what is still mentioned: repeating it completes it.
//! Invariant: the erasure's own entry does not name the subject, but as its actor where it is his own.

use crate::journal;
use crate::store::erasure::{self, Mentioning};
use crate::store::log;
use crate::store::mention::{Kind, LONGEST};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};

const ACTION: &str = "audit.erase";

/// Events of one batch: appends wait for it.
const BATCH: i64 = 500;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

pub struct EraseSubject {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl EraseSubject {
    /// How many entries' clear values are gone. `typed` is the confirmation.
    pub async fn run(
        &self,
        caller: &Caller,
        subject: &str,
        typed: &str,
        reason: &str,
    ) -> Result<i64, Failure> {
        self.guard.allow(caller, ACTION, None, "", Reason::PermissionDenied).await?;
        check(subject, reason)?;
        confirmed(typed, subject)?;
        // What is there now: its own entry comes after it, and a subject who goes on acting does not hold it up.
        let (before, _) = log::head(&self.db).await?;
        let intent = self.audit.intend(caller, Entry::new(ACTION).comment(reason)).await?;
        let erased = self.erase(subject, before, &intent).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &erased).await;
        erased
    }

    async fn erase(&self, subject: &str, before: i64, intent: &Intent) -> Result<i64, Error> {
        let mut entries = 0i64;
        for kind in [Kind::Actor, Kind::Target] {
            loop {
                let events = self.db.serialized(|| self.batch(subject, kind, before)).await?;
                let erased = events.iter().filter(|it| !it.event.is_empty()).count();
                entries = entries.saturating_add(i64::try_from(erased).unwrap_or(i64::MAX));
                if events.is_empty() {
                    break;
                }
            }
        }
        self.db.serialized(|| self.finish(subject, entries, intent)).await?;
        erasure::scrub(&self.db).await?;
        Ok(entries)
    }

    async fn batch(&self, subject: &str, kind: Kind, before: i64) -> Result<Vec<Mentioning>, Error> {
        let (mut tx, _) = log::lock(&self.db).await?;
        let events = erasure::mentioning(&mut tx, subject, kind, before, BATCH).await?;
        erasure::erase(&mut tx, self.db.dialect(), subject, kind, &events).await?;
        tx.commit().await?;
        Ok(events)
    }

    async fn finish(&self, subject: &str, entries: i64, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        erasure::erase_alerts(&mut tx, subject).await?;
        intent.done(&mut tx, Outcome::succeeded().with("entries", entries.to_string())).await?;
        Ok(tx.commit().await?)
    }
}

fn check(subject: &str, reason: &str) -> Result<(), Failure> {
    let is_id =
        subject.len() <= LONGEST && !subject.contains([' ', ',']) && !subject.contains(char::is_control);
    if subject.is_empty() || !is_id {
        return Err(Failure::violation("subject", "must be a principal's id, as the log shows it"));
    }
    if subject == journal::ACTOR || ServiceName::parse(subject).is_some() {
        return Err(Failure::violation("subject", "must not be one of Keywright's own services"));
    }
    if reason.chars().count() > LONGEST_REASON {
        return Err(Failure::violation("reason", "must have at most 500 characters"));
    }
    // It stands in the leaf, from which nothing can be erased.
    if reason.contains(subject) {
        return Err(Failure::violation("reason", "must not name the subject"));
    }
    Ok(())
}

/// A typed confirmation: exactly the subject, but for spaces at its ends.
fn confirmed(typed: &str, subject: &str) -> Result<(), Failure> {
    match typed.trim() {
        "" => Err(Failure::new(Reason::ConfirmationRequired, "The operation has to be confirmed.")),
        typed if typed == subject => Ok(()),
        _ => Err(Failure::new(Reason::ConfirmationMismatch, "The confirmation is not the subject.")),
    }
}
