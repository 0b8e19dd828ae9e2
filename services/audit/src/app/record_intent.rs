//! Makes an intent durable. It answers after the commit: what is answered is in the log.

use super::append::{Appender, Entry, Of, salts};
use crate::store::event::Open;
use keywright_domain::clock::Instant;
use keywright_domain::ids::EventId;
use keywright_log::leaf::{Clear, Unsealed};
use keywright_runtime::failure::Failure;

pub struct RecordIntent {
    pub log: Appender,
}

#[derive(Debug, Clone)]
pub struct Intent {
    pub event: EventId,
    pub open: Open,
    pub clear: Clear,
    /// When a revocation spooled it while the log was unavailable.
    pub spooled_at: Option<Instant>,
}

impl RecordIntent {
    /// The position of its leaf; the same again for the same event.
    pub async fn run(&self, intent: Intent) -> Result<i64, Failure> {
        let Intent { event, open, clear, spooled_at } = intent;
        let spooled = spooled_at.map(Instant::rfc3339).unwrap_or_default();
        let mut fields = vec![
            ("action", open.action.as_str()),
            ("actorKind", open.actor_kind.as_str()),
            ("comment", open.comment.as_str()),
            ("eventId", event.as_str()),
            ("requestId", open.request_id.as_str()),
            ("tenantId", open.tenant.as_str()),
            ("traceId", open.trace_id.as_str()),
        ];
        if !spooled.is_empty() {
            fields.push(("spooledAt", spooled.as_str()));
        }
        let leaf = Unsealed::new("INTENT", &fields, &clear, &salts()?);
        if !leaf.fits() {
            return Err(Failure::violation("details", "make the entry larger than 65,535 bytes"));
        }
        let entry = Entry { event: event.to_string(), leaf, clear, of: Of::Intent(open) };
        Ok(self.log.append(entry).await?.unwrap_or_default())
    }
}
