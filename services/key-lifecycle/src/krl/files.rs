//! The RevokedKeys files of hosts.
//!
//! A server is set up for it by its operator: its sshd names a file of ours. The file is only ever replaced by a
//! complete list; what a host refuses is tried again with growing pauses.

use super::{List, WORK, list};
use crate::adapters::door::Door;
use crate::adapters::hosts::{Edited, Hosts};
use crate::model::{ListFile, Scope};
use crate::rotation::plan;
use crate::store;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::ServerId;
use keywright_domain::reason::{Reason, Retry};
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tracing::instrument;

/// A file may be set up, or be changed by somebody else, at any time.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 3600);
const LATER: Duration = Duration::from_secs(3600);

/// What follows an attempt.
struct Next {
    /// After one that went well.
    look: Duration,
    /// Its sshd is known to read a file.
    expected: bool,
}

#[derive(Clone)]
pub struct Files {
    pub db: Db,
    pub audit: Audit,
    pub hosts: Arc<dyn Hosts>,
}

impl Files {
    /// In the pass of a revocation: the host's file names the revoked keys now, if it has one. A failure is the file's
    /// alone: it is tried again by itself.
    #[instrument(skip_all, fields(server = %door.server.id))]
    pub async fn bring(&self, door: &Door, edited: &Edited) {
        let result = self.bring_now(door, edited).await;
        if let Err(failure) = result {
            tracing::info!(reason = failure.reason.as_str(), "a file of revoked keys waits");
        }
    }

    async fn bring_now(&self, door: &Door, edited: &Edited) -> Result<(), Failure> {
        if !edited.revoked_keys {
            return Ok(());
        }
        let (file, list) = self.read(door).await?;
        let result = self.hosts.write_revoked_keys(door, &list.binary()).await;
        // The background may have been about to write an older list: it looks at what stands there now.
        let result = result.map(|path| (path, true));
        self.remember(&file, &list.etag(), result, Next { look: Duration::ZERO, expected: true }).await
    }

    /// In the background: looks first, and writes what differs.
    #[instrument(skip_all, fields(server = %door.server.id))]
    pub async fn refresh(&self, door: &Door) -> Result<(), Failure> {
        let (file, list) = self.read(door).await?;
        let result = self.replace_if_other(door, &list).await;
        self.remember(&file, &list.etag(), result, Next { look: LOOK_AGAIN, expected: false }).await
    }

    /// It could not even be tried.
    pub async fn put_off(&self, server: &ServerId, failure: Failure) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let file = store::krl::file(&mut reader, server).await?;
        drop(reader);
        match file {
            Some(file) => {
                let next = Next { look: LOOK_AGAIN, expected: false };
                self.remember(&file, "", Err(failure), next).await
            }
            None => Ok(()),
        }
    }

    async fn replace_if_other(&self, door: &Door, list: &List) -> Result<(Option<String>, bool), Failure> {
        let binary = list.binary();
        let Some(found) = self.hosts.look_at_revoked_keys(door).await? else { return Ok((None, false)) };
        if found.holds(&binary) {
            return Ok((Some(found.path), false));
        }
        let caller = Caller::background(ServiceName::KeyLifecycle, WORK);
        let entry = Entry::new("host.revoked_keys").tenant(Some(&door.server.tenant));
        let entry = entry.target(door.server.id.as_str()).detail("group", &door.server.group);
        let intent = self.audit.intend(&caller, entry).await?;
        let result = self.hosts.write_revoked_keys(door, &binary).await;
        let outcome = match &result {
            Ok(_) => Outcome::succeeded(),
            Err(failure) => Outcome::failed(failure.reason.as_str()),
        };
        self.audit.settle(&self.db, &intent, outcome).await?;
        Ok((result?, true))
    }

    async fn read(&self, door: &Door) -> Result<(ListFile, List), Failure> {
        let server = &door.server.id;
        let scope = Scope { group: door.server.group.clone(), tenant: None };
        let mut reader = store::reader(&self.db).await?;
        let file = store::krl::file(&mut reader, server).await?;
        let list = list(&mut reader, &scope).await?;
        Ok((file.unwrap_or_else(|| unknown(server)), list))
    }

    async fn remember(
        &self,
        before: &ListFile,
        etag: &str,
        result: Result<(Option<String>, bool), Failure>,
        next: Next,
    ) -> Result<(), Failure> {
        let (mut file, mut written) = (before.clone(), false);
        let pause = match &result {
            Ok((path, now)) => {
                written = *now && path.is_some();
                file.path = path.clone().unwrap_or_default();
                file.etag = if path.is_some() { etag.to_owned() } else { String::new() };
                file.reason.clear();
                file.attempts = 0;
                next.look
            }
            Err(failure) => {
                failure.reason.as_str().clone_into(&mut file.reason);
                file.attempts = file.attempts.saturating_add(1);
                let known = next.expected || !file.path.is_empty();
                let away = failure.is(Reason::HostUnreachable);
                match failure.reason.retry() {
                    _ if known => plan::pause(file.attempts),
                    // It was there, and may well have been set up.
                    Retry::AfterDelay if !away => plan::pause(file.attempts),
                    // A server that was never set up for it is in no hurry.
                    Retry::AfterDelay => LATER,
                    _ => LOOK_AGAIN,
                }
            }
        };
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a file of revoked keys").await?;
            let next = ListFile { next_at: tx.now().plus(pause), ..file.clone() };
            store::krl::set_file(&mut tx, &next, written).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        done.await?;
        result.map(|_| ())
    }
}

fn unknown(server: &ServerId) -> ListFile {
    ListFile {
        server: server.clone(),
        path: String::new(),
        etag: String::new(),
        reason: String::new(),
        attempts: 0,
        next_at: Instant::from_micros(0),
    }
}
