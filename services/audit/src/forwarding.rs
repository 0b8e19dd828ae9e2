//! Where the log is handed on to, as whoever runs the server says it.

use crate::adapters::checkpoint_file::CheckpointFile;
use crate::adapters::destination::{BadUrl, Destination};
use crate::adapters::webhook::Hook;
use crate::app::forward::Forward;
use crate::app::hand_on::{Feed, HandOn};
use crate::app::publish::{Place, Publish};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use keywright_domain::secret::Secret;
use keywright_egress::{Endpoint, Lines, signature};
use keywright_runtime::serve::Task;
use keywright_storage::Db;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What the settings say.
pub struct ForwardingSettings {
    /// Destinations of events.
    pub urls: Vec<String>,
    /// `whsec_…`, of every webhook.
    pub secret: Option<Secret>,
    pub checkpoint_file: Option<PathBuf>,
    pub checkpoint_webhook: Option<String>,
    pub lines: Lines,
}

#[derive(Debug, thiserror::Error)]
pub enum ForwardingError {
    #[error("--audit-forward {place} {why}")]
    Destination { place: String, why: BadUrl },
    #[error("--audit-forward names {0} twice")]
    Twice(String),
    #[error("--audit-checkpoint-webhook {place} {why}")]
    CheckpointWebhook { place: String, why: BadUrl },
    #[error(
        "--audit-forward-secret-file: its first line must be whsec_ and the base64 of 24 to 64 random bytes, for example from: echo \"whsec_$(openssl rand -base64 32)\""
    )]
    Secret,
}

/// The places, each with what it is handed on.
#[derive(Default)]
pub struct Forwarding {
    pub(crate) feeds: Vec<Feed>,
}

impl Forwarding {
    pub fn new(settings: ForwardingSettings) -> Result<Self, ForwardingError> {
        let ForwardingSettings { urls, secret, checkpoint_file, checkpoint_webhook, lines } = settings;
        let secret = secret
            .map(|secret| secret.expose_text().and_then(signature::parse).ok_or(ForwardingError::Secret))
            .transpose()?
            .map(Arc::new);
        let (mut feeds, mut names) = (Vec::new(), BTreeSet::new());
        for url in urls {
            let place = shown(&url);
            let destination = Destination::parse(&url, &lines, secret.as_ref())
                .map_err(|why| ForwardingError::Destination { place: place.clone(), why })?;
            if !names.insert(place.clone()) {
                return Err(ForwardingError::Twice(place));
            }
            feeds.push(Feed::Events(Forward::new(format!("forward:{place}"), destination)));
        }
        if let Some(path) = checkpoint_file {
            let to = Place::File(CheckpointFile::new(path));
            feeds.push(Feed::Checkpoints(Publish { name: "checkpoint:file".to_owned(), to }));
        }
        if let Some(url) = checkpoint_webhook {
            let place = shown(&url);
            let hook = Hook::parse(&url, lines, secret.as_ref())
                .map_err(|why| ForwardingError::CheckpointWebhook { place: place.clone(), why })?;
            let name = format!("checkpoint:webhook:{place}");
            feeds.push(Feed::Checkpoints(Publish { name, to: Place::Webhook(hook) }));
        }
        Ok(Self { feeds })
    }

    /// One for each place, so that none waits for another.
    pub fn tasks(self, db: &Db, stop: &CancellationToken) -> Vec<Task> {
        let task = |feed| -> Task { Box::pin(HandOn::new(db.clone(), feed).run(stop.clone())) };
        self.feeds.into_iter().map(task).collect()
    }
}

/// A URL without what may be a secret: user information, path and query. Of a webhook's path some of its hash stays, so
/// that two at one host are two.
fn shown(url: &str) -> String {
    match Endpoint::parse(url) {
        Ok(endpoint) => {
            let hash = HEXLOWER.encode(digest(&SHA256, url.as_bytes()).as_ref());
            format!("{}#{}", endpoint.origin(), hash.get(..16).unwrap_or_default())
        }
        Err(_) => {
            let (scheme, rest) = url.find("://").map_or(("", url), |at| url.split_at(at.saturating_add(3)));
            // What is malformed may have its slash within a password.
            let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
            format!("{scheme}{}", address.split(['/', '?', '#']).next().unwrap_or_default())
        }
    }
}
