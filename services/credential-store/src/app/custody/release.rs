//! Releases a managed version as the body of a download: the one way by which a private key leaves.
//!
//! Invariant: only for a person of the credential's own tenant, through key-lifecycle (which holds the claim), and
//! only after a transaction that found the version still usable.

use super::shelf::Shelf;
use crate::app::find;
use crate::app::secretly::secretly;
use crate::store;
use keywright_domain::caller::{Caller, PrincipalKind, ServiceName};
use keywright_domain::ids::shown;
use keywright_domain::ids::{CredentialId, VersionId};
use keywright_domain::key::{ExportFormat, KeyError, PrivateKey, export};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "custody.release";

pub struct ReleaseVersion {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub shelf: Shelf,
}

/// What is asked for.
pub struct Release {
    pub credential_id: String,
    pub version_id: String,
    pub format: String,
    /// Empty: the file is not encrypted.
    pub passphrase: Secret,
}

impl ReleaseVersion {
    #[instrument(skip_all, fields(credential = shown(&release.credential_id), version = shown(&release.version_id)))]
    pub async fn run(&self, caller: &Caller, release: Release) -> Result<Secret, Failure> {
        let credential =
            find::managed(&self.db, &self.guard, caller, "access.download", &release.credential_id).await?;
        let own = credential.tenant.is_some() && credential.tenant == caller.principal.tenant;
        if caller.principal.kind != PrincipalKind::User
            || caller.acting != Some(ServiceName::KeyLifecycle)
            || !own
        {
            let entry = Entry::new(ACTION).tenant(credential.tenant.as_ref()).target(credential.id.as_str());
            self.audit.denied(caller, entry, Reason::PermissionDenied).await;
            return Err(Failure::new(
                Reason::PermissionDenied,
                "A private key is released to its tenant's people only.",
            ));
        }
        let format = match release.format.as_str() {
            "" => ExportFormat::default(),
            name => ExportFormat::parse(name)
                .ok_or_else(|| Failure::violation("format", "must be openssh, pem or ppk"))?,
        };
        let missing = || find::no_version(&release.version_id);
        let id = VersionId::parse(&release.version_id).map_err(|_| missing())?;
        let version = store::version::find(&self.db, &credential.id, &id).await?;
        let version = version.filter(|version| version.is_usable()).ok_or_else(missing)?;
        let entry = Entry::new(ACTION)
            .tenant(credential.tenant.as_ref())
            .target(credential.id.as_str())
            .detail("version", id.as_str())
            .detail("fingerprint", version.public.fingerprint().as_str())
            .detail("format", format.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.release(&credential.id, &id, format, release.passphrase, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn release(
        &self,
        credential: &CredentialId,
        id: &VersionId,
        format: ExportFormat,
        passphrase: Secret,
        intent: &Intent,
    ) -> Result<Secret, Failure> {
        let stored = self.shelf.take(id).await?;
        let file = secretly(move || {
            let key = PrivateKey::from_stored(&stored)?;
            export(&key, format, Some(&passphrase).filter(|given| !given.is_empty()))
        });
        let file = file.await.map_err(|_| unwritten(KeyError::Internal))?.map_err(unwritten)?;
        let recorded: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                let now = store::version::find_in(&mut tx, credential, id).await?;
                if !now.is_some_and(|version| version.is_usable()) {
                    return Err(find::no_version(id.as_str()).into());
                }
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        recorded?;
        Ok(file)
    }
}

fn unwritten(error: KeyError) -> Failure {
    Failure::new(error.reason(), "The key cannot be written in this form.")
}
