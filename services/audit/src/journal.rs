//! Entries of the server's own commands (a backup, a restore), which run beside the service or before it.
//!
//! Any process that has the log's database may append to it: the head's row is the lock.

use crate::app::append::Appender;
use crate::app::record_intent::{Intent, RecordIntent};
use crate::app::record_outcomes::{Outcome, RecordOutcomes};
use crate::app::sign_checkpoints::unique;
use crate::store::checkpoint::{self, Origin};
use crate::store::event::Open;
use crate::store::{log, tree};
use keywright_domain::caller::PrincipalKind;
use keywright_domain::ids::EventId;
use keywright_log::leaf::Clear;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;
use std::collections::BTreeMap;

/// Who acted: whoever may run the program on this machine.
pub(crate) const ACTOR: &str = "keywright-server";

pub struct Journal {
    db: Db,
    log: Appender,
}

/// The log's last entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub size: i64,
    /// Hexadecimal; empty for an empty log.
    pub last_hash: String,
}

impl Journal {
    pub fn new(db: Db) -> Self {
        Self { log: Appender::new(db.clone()), db }
    }

    /// Durable when it answers.
    pub async fn intend(&self, action: &str, details: BTreeMap<String, String>) -> Result<EventId, Failure> {
        let event = EventId::random()?;
        let intent = Intent {
            event: event.clone(),
            open: Open {
                actor_kind: PrincipalKind::System.as_str().to_owned(),
                action: action.to_owned(),
                ..Open::default()
            },
            clear: Clear { actor: ACTOR.to_owned(), details, ..Clear::default() },
            spooled_at: None,
        };
        RecordIntent { log: self.log.clone() }.run(intent).await?;
        Ok(event)
    }

    pub async fn succeeded(&self, event: &EventId, details: BTreeMap<String, String>) -> Result<(), Failure> {
        self.conclude(event, "succeeded", String::new(), details).await
    }

    pub async fn failed(&self, event: &EventId, reason: &str) -> Result<(), Failure> {
        self.conclude(event, "failed", reason.to_owned(), BTreeMap::new()).await
    }

    async fn conclude(
        &self,
        event: &EventId,
        outcome: &'static str,
        reason: String,
        details: BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let outcome = Outcome { event: event.to_string(), outcome, reason, details };
        RecordOutcomes { log: self.log.clone() }.run(vec![outcome]).await
    }

    /// Gives the log a new name from here on, which begins so; its former one, if it had a name.
    pub async fn rename(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some(former) = checkpoint::origin(&self.db).await? else { return Ok(None) };
        let (size, _) = log::head(&self.db).await?;
        let number = former.number.saturating_add(1);
        let next = Origin { number, name: unique(name)?, from_size: tree::unsigned(size) };
        let named: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("the log's new name").await?;
                checkpoint::name(&mut tx, &next).await?;
                tx.commit().await?;
                Ok(())
            })
            .await;
        named?;
        Ok(Some(former.name))
    }

    pub async fn head(&self) -> Result<Head, Failure> {
        let (size, last_hash) = log::head(&self.db).await?;
        Ok(Head { size, last_hash })
    }
}
