//! Records a key that its holder made as a managed credential's next version. There is no private half: nothing signs
//! with it, nothing of it can be released, and its destruction is done before it begins.
//!
//! Invariant: a key serves one access, once. One that any version holds already is refused, unless that version never
//! came into use.

use crate::app::find;
use crate::domain::version::{Origin, State, Version};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{CredentialId, VersionId};
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use tracing::instrument;

const ACTION: &str = "custody.generate";

pub struct RegisterVersion {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl RegisterVersion {
    /// The same version id answers the same key again.
    #[instrument(skip_all, fields(credential = shown(credential_id), version = shown(version_id)))]
    pub async fn run(
        &self,
        caller: &Caller,
        credential_id: &str,
        version_id: &str,
        public_key: &str,
    ) -> Result<Version, Failure> {
        let credential = find::managed(&self.db, &self.guard, caller, ACTION, credential_id).await?;
        let version = VersionId::parse(version_id)
            .map_err(|_| Failure::violation("versionId", "must be an id of a version"))?;
        let public = PublicKey::parse_openssh(public_key)
            .map_err(|error| Failure::new(error.reason(), "This is no public key that can be used."))?;
        if let Some(there) = store::version::find(&self.db, &credential.id, &version).await? {
            return same(there, &public);
        }
        let entry = Entry::new(ACTION)
            .tenant(credential.tenant.as_ref())
            .target(credential.id.as_str())
            .detail("version", version.as_str())
            .detail("fingerprint", public.fingerprint().as_str())
            .detail("clientMade", "true");
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.register(&credential.id, &version, &public, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn register(
        &self,
        credential: &CredentialId,
        id: &VersionId,
        public: &PublicKey,
        intent: &Intent,
    ) -> Result<Version, Failure> {
        let inserted: Result<Version, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                find::credential_in(&mut tx, credential).await?;
                let version = match store::version::find_in(&mut tx, credential, id).await? {
                    Some(there) => same(there, public)?,
                    None => insert(&mut tx, credential, id, public).await?,
                };
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok(version)
            })
            .await;
        Ok(inserted?)
    }
}

async fn insert(
    tx: &mut Tx,
    credential: &CredentialId,
    id: &VersionId,
    public: &PublicKey,
) -> Result<Version, Error> {
    let fingerprint = public.fingerprint();
    if store::version::is_compromised(tx, &fingerprint).await? {
        let refusal = Failure::new(Reason::KeyCompromised, "This key was revoked as compromised.");
        return Err(refusal.with("fingerprint", fingerprint.as_str()).into());
    }
    if store::version::is_known_key(tx, &fingerprint).await? {
        let refusal = Failure::new(
            Reason::AlreadyExists,
            "This key serves, or served, somewhere else. Make a new one.",
        );
        return Err(refusal.with("fingerprint", fingerprint.as_str()).into());
    }
    let version = Version {
        id: id.clone(),
        number: store::version::next_number(tx, credential).await?,
        state: State::Staged,
        origin: Origin::Client,
        public: public.clone(),
        compromised_at: None,
        destroyed_at: Some(tx.now()),
        created_at: tx.now(),
    };
    store::version::insert(tx, credential, &version).await?;
    Ok(version)
}

fn same(there: Version, public: &PublicKey) -> Result<Version, Failure> {
    if there.public == *public && there.origin == Origin::Client {
        return Ok(there);
    }
    Err(Failure::new(Reason::AlreadyExists, "The version exists with another key."))
}
