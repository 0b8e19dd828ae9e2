//! Webhooks, signed as those of notifications are.

use super::destination::{BadUrl, Why};
use crate::store::publication::Published;
use crate::store::record::Record;
use keywright_domain::clock::Instant;
use keywright_domain::secret::Secret;
use keywright_egress::signature::sign;
use keywright_egress::{Endpoint, Lines, Post, Webhooks};
use std::sync::Arc;

pub struct Hook {
    webhooks: Webhooks,
    endpoint: Endpoint,
    secret: Arc<Secret>,
}

impl Hook {
    pub fn parse(url: &str, lines: Lines, secret: Option<&Arc<Secret>>) -> Result<Self, BadUrl> {
        let endpoint = Endpoint::parse(url).map_err(BadUrl::Webhook)?;
        let secret = secret.ok_or(BadUrl::NoSecret)?.clone();
        Ok(Self { webhooks: Webhooks::new(lines), endpoint, secret })
    }

    /// JSON Lines. The id names the first and the last of them, the same for the same records.
    pub async fn send(&self, records: &[Record], now: Instant) -> Result<(), Why> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        // With some of the last one's hash: after a restore positions come again.
        let hash = last.leaf_hash.get(..16).unwrap_or_default();
        let id = format!("audit-{}-{}-{hash}", first.sequence, last.sequence);
        let mut body = Vec::new();
        for record in records {
            serde_json::to_writer(&mut body, record).map_err(|_| "a record could not be written")?;
            body.push(b'\n');
        }
        self.post(&id, "application/x-ndjson", body, now).await
    }

    pub async fn publish(&self, checkpoint: &Published, now: Instant) -> Result<(), Why> {
        let id = format!("checkpoint-{}-{}", checkpoint.origin_number, checkpoint.size);
        self.post(&id, "text/plain; charset=utf-8", checkpoint.note.clone().into_bytes(), now).await
    }

    async fn post(
        &self,
        id: &str,
        content_type: &'static str,
        body: Vec<u8>,
        now: Instant,
    ) -> Result<(), Why> {
        let signature = sign(&self.secret, id, now, &body);
        let post = Post { id, timestamp: now.secs(), signature: &signature, content_type, body };
        match self.webhooks.post(&self.endpoint, post).await? {
            200..=299 => Ok(()),
            300..=399 => Err("a redirect, which is not followed".into()),
            status => Err(format!("the receiver answered {status}").into()),
        }
    }
}
