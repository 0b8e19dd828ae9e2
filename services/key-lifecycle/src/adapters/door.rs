//! The way into one server for one work.
//!
//! Invariant: a session serves one operation at a time, of the one work that opened it, for a few seconds. What proves
//! anything about a key never goes this way: proofs log in afresh, at the probe.

use super::credential_store::Server;
use super::host::Seen;
use keywright_domain::account::AccountName;
use keywright_ssh::Session;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a session and what it saw of the host may serve further operations.
pub const LASTS: Duration = Duration::from_secs(10);

/// A server and the work under which it is entered.
#[derive(Debug, Clone)]
pub struct Door {
    pub server: Server,
    pub work: String,
    opened: Instant,
    kept: Option<Arc<Mutex<Option<Inside>>>>,
}

/// A login with the management key, and what an edit by it left the account's files as.
pub(super) struct Inside {
    pub(super) session: Session,
    pub(super) seen: Option<(AccountName, Seen)>,
    opened: Instant,
}

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inside")
    }
}

impl Inside {
    pub(super) fn new(session: Session) -> Self {
        Self { session, seen: None, opened: Instant::now() }
    }
}

impl Door {
    /// Each operation logs in for itself.
    pub fn new(server: Server, work: &str) -> Self {
        Self { server, work: work.to_owned(), opened: Instant::now(), kept: None }
    }

    /// Operations that follow one another share a login; whoever opens the door closes it.
    pub fn kept_open(self) -> Self {
        Self { kept: Some(Arc::default()), ..self }
    }

    /// What is known of the server is not old, and neither is a session.
    pub fn is_fresh(&self) -> bool {
        self.opened.elapsed() < LASTS
    }

    /// The session that the operation before has left.
    pub(super) async fn inside(&self) -> Option<Inside> {
        let inside = self.take()?;
        if inside.opened.elapsed() < LASTS && !inside.session.is_closed() {
            return Some(inside);
        }
        inside.session.close().await;
        None
    }

    /// For the next operation, if there is to be one.
    pub(super) async fn leave(&self, inside: Inside) {
        let before = match &self.kept {
            Some(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).replace(inside),
            None => Some(inside),
        };
        if let Some(before) = before {
            before.session.close().await;
        }
    }

    pub async fn close(&self) {
        if let Some(inside) = self.take() {
            inside.session.close().await;
        }
    }

    fn take(&self) -> Option<Inside> {
        self.kept.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
