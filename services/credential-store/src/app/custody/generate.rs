//! Generates a managed credential's next version. The same version id answers the same key, however often and from
//! wherever it is asked for.

use super::shelf::Shelf;
use crate::app::find;
use crate::app::secretly::secretly;
use crate::domain::version::{Origin, State, Version};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{CredentialId, VersionId};
use keywright_domain::key::{GenerateSpec, KeyAlgorithm, KeyError, PrivateKey, PublicKey};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "custody.generate";

pub struct GenerateVersion {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub shelf: Shelf,
}

impl GenerateVersion {
    #[instrument(skip_all, fields(credential = shown(credential_id), version = shown(version_id)))]
    pub async fn run(
        &self,
        caller: &Caller,
        credential_id: &str,
        version_id: &str,
        algorithm: &str,
    ) -> Result<Version, Failure> {
        let credential = find::managed(&self.db, &self.guard, caller, ACTION, credential_id).await?;
        let version = VersionId::parse(version_id)
            .map_err(|_| Failure::violation("versionId", "must be an id of a version"))?;
        let spec = spec(algorithm)?;
        if let Some(there) = store::version::find(&self.db, &credential.id, &version).await? {
            return Ok(there);
        }
        let entry = Entry::new(ACTION)
            .tenant(credential.tenant.as_ref())
            .target(credential.id.as_str())
            .detail("version", version.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.generate(&credential.id, &version, spec, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn generate(
        &self,
        credential: &CredentialId,
        id: &VersionId,
        spec: GenerateSpec,
        intent: &Intent,
    ) -> Result<Version, Failure> {
        self.shelf.ready().await?;
        let plain = blocking(move || PrivateKey::generate(spec)?.to_openssh()).await?;
        // An earlier attempt at this version may have stored its key: then that one is it.
        let stored = self.shelf.store(id, plain).await?;
        let public = public_of(stored).await?;
        let inserted: Result<Version, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                find::credential_in(&mut tx, credential).await?;
                let version = match store::version::find_in(&mut tx, credential, id).await? {
                    Some(there) => there,
                    None => {
                        self.shelf.adopt(&mut tx, id).await?;
                        let version = Version {
                            id: id.clone(),
                            number: store::version::next_number(&mut tx, credential).await?,
                            state: State::Staged,
                            origin: Origin::Generated,
                            public: public.clone(),
                            compromised_at: None,
                            destroyed_at: None,
                            created_at: tx.now(),
                        };
                        store::version::insert(&mut tx, credential, &version).await?;
                        version
                    }
                };
                intent
                    .done(
                        &mut tx,
                        Outcome::succeeded().with("fingerprint", version.public.fingerprint().as_str()),
                    )
                    .await?;
                tx.commit().await?;
                Ok(version)
            })
            .await;
        Ok(inserted?)
    }
}

fn spec(algorithm: &str) -> Result<GenerateSpec, Failure> {
    let unknown =
        || Failure::violation("algorithm", "must be ssh-ed25519, ecdsa-sha2-nistp256, -384, -521 or ssh-rsa");
    match algorithm {
        "" => Ok(GenerateSpec::default()),
        name => {
            let algorithm = KeyAlgorithm::parse(name).map_err(|_| unknown())?;
            GenerateSpec::of(algorithm, 0).map_err(|_| unknown())
        }
    }
}

async fn public_of(stored: Secret) -> Result<PublicKey, Failure> {
    blocking(move || Ok(PrivateKey::from_stored(&stored)?.public().clone())).await
}

/// Off the async threads: RSA takes seconds.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeyError> + Send + 'static,
) -> Result<T, Failure> {
    let broken = || Failure::new(Reason::Internal, "The key could not be made.");
    secretly(work).await.map_err(|_| broken())?.map_err(|_| broken())
}
