//! Makes an intent durable. It answers after the commit: what is answered is in the log.

use crate::leaf::{Clear, MOST, seal};
use crate::store::event::{self, Open};
use crate::store::log::{self, Kind};
use keywright_domain::clock::Instant;
use keywright_domain::ids::EventId;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;

pub struct RecordIntent {
    pub db: Db,
}

pub struct Intent {
    pub event: EventId,
    pub open: Open,
    pub clear: Clear,
    /// When a revocation spooled it while the log was unavailable.
    pub spooled_at: Option<Instant>,
}

impl RecordIntent {
    /// The position of its leaf; the same again for the same event.
    pub async fn run(&self, intent: &Intent) -> Result<i64, Failure> {
        let result: Result<i64, Error> = self.db.serialized(|| self.append(intent)).await;
        Ok(result?)
    }

    async fn append(&self, intent: &Intent) -> Result<i64, Error> {
        let mut tx = self.db.begin_append().await?;
        log::lock(&mut tx).await?;
        let event = intent.event.as_str();
        if let Some(seq) = log::position(&mut tx, event, Kind::Intent).await? {
            return Ok(seq);
        }
        let at = tx.now();
        let spooled = intent.spooled_at.map(Instant::rfc3339).unwrap_or_default();
        let open = &intent.open;
        let mut fields = vec![
            ("action", open.action.as_str()),
            ("actorKind", open.actor_kind.as_str()),
            ("comment", open.comment.as_str()),
            ("eventId", event),
            ("requestId", open.request_id.as_str()),
            ("tenantId", open.tenant.as_str()),
            ("traceId", open.trace_id.as_str()),
        ];
        if !spooled.is_empty() {
            fields.push(("spooledAt", spooled.as_str()));
        }
        let leaf = seal("INTENT", at, &fields, &intent.clear)?;
        if leaf.bytes.len() > MOST {
            return Err(Failure::violation("details", "make the entry larger than 65,535 bytes").into());
        }
        let seq = log::append(&mut tx, event, Kind::Intent, &leaf, &intent.clear).await?;
        event::open(&mut tx, event, seq, at, open).await?;
        tx.commit().await?;
        Ok(seq)
    }
}
