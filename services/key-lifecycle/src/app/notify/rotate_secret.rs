//! Makes another secret that signs a webhook; for a day the one before it signs too.
//!
//! Invariant: what the receiver was told last goes on signing for that day, whoever else rotates at the same time.

use super::allowed;
use crate::model::{NotificationKind, PreviousSecret};
use crate::notify::signature::{Keyring, salt};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_domain::ids::NotificationTargetId;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_egress::signature::shown;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use std::time::Duration;
use tracing::instrument;

/// So long the secret before signs too.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone)]
pub struct RotateSecret {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub keyring: Keyring,
}

impl RotateSecret {
    /// The secret, and until when the one before it signs too: none where that one cannot be made any more.
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, id: &str) -> Result<(Secret, Option<Instant>), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let target = allowed(&mut reader, &self.guard, caller, "notification.rotate", id).await?;
        drop(reader);
        if target.kind == NotificationKind::Email {
            return Err(Failure::violation("targetId", "is told by e-mail, which is not signed"));
        }
        let salt = salt()?;
        let (secret, check) = self
            .keyring
            .derive(&target.id, &salt)
            .ok_or_else(|| Failure::new(Reason::Internal, "The target's secret could not be made."))?;
        let entry =
            Entry::new("notification.rotate").tenant(target.tenant.as_ref()).target(target.id.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let rotated = self.db.serialized(|| self.rotate(&target.id, &salt, &check, &intent)).await;
        let result = rotated.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        Ok((shown(&secret), result?))
    }

    async fn rotate(
        &self,
        id: &NotificationTargetId,
        salt: &str,
        check: &str,
        intent: &Intent,
    ) -> Result<Option<Instant>, Error> {
        let mut tx = self.db.begin(intent).await?;
        let found = store::notification_target::find(tx.conn(), id).await?;
        let Some(before) = found.filter(|target| !target.deleted) else {
            return Err(Failure::not_found(Reason::TargetNotFound, id.as_str()).into());
        };
        // With another key of the installation it would be a secret that nobody was ever told.
        let derived = self.keyring.derive(id, &before.salt);
        let known = derived.is_some_and(|(_, check)| check == before.secret_check);
        let previous =
            known.then(|| PreviousSecret { salt: before.salt.clone(), until: tx.now().plus(OVERLAP) });
        store::notification_target::rotate_secret(&mut tx, id, salt, check, previous.as_ref()).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(previous.map(|previous| previous.until))
    }
}
