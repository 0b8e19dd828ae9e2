//! Material and the rows that name it, kept in step.
//!
//! Invariant: material is announced before it is written, durable before the row that names it, and adopted in that
//! row's transaction. Whatever is announced and never adopted, and whatever is doomed, is destroyed by [`Shelf::sweep`]
//! if the request could not do it itself; material that a version's row names is destroyed only when it was doomed in
//! the transaction that took the version out of use.

use crate::adapters::custody::{Custody, CustodyError};
use crate::store::material::{self, Announced};
use keywright_domain::ids::VersionId;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Tx};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longer than any request lives.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// How often what is left over is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How long a request waits for a destruction; afterwards the sweep sees to it.
const BURIAL: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Shelf {
    db: Db,
    custody: Custody,
}

impl Shelf {
    pub fn new(db: Db, custody: Custody) -> Self {
        Self { db, custody }
    }

    /// Refuses at once where the store could not take or destroy anything.
    pub async fn ready(&self) -> Result<(), Failure> {
        Ok(self.custody.ready().await?)
    }

    /// Makes the material durable under `version`, which no row names yet. What lies there already (an earlier attempt
    /// at the same version) stays, and is returned instead.
    pub async fn store(&self, version: &VersionId, plain: Secret) -> Result<Secret, Failure> {
        let announced: Result<Announced, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("material is announced").await?;
                let announced = material::announce(&mut tx, version).await?;
                tx.commit().await?;
                Ok(announced)
            })
            .await;
        match announced? {
            Announced::Pending => {}
            Announced::Named => return Ok(self.custody.get(version).await?),
            Announced::Doomed => {
                return Err(Failure::new(
                    Reason::RequestInProgress,
                    "Material of this version is being destroyed.",
                ));
            }
        }
        match self.custody.put(version, &plain).await {
            Ok(()) => Ok(plain),
            Err(CustodyError::Exists) => Ok(self.custody.get(version).await?),
            Err(error) => Err(error.into()),
        }
    }

    /// In the transaction that inserts the version's row.
    pub async fn adopt(&self, tx: &mut Tx, version: &VersionId) -> Result<(), Error> {
        if material::adopt(tx, version).await? {
            return Ok(());
        }
        Err(Failure::new(Reason::RequestInProgress, "The request took so long that its key was destroyed.")
            .into())
    }

    /// In the transaction that takes the version out of use; `bury` follows its commit.
    pub async fn doom(&self, tx: &mut Tx, version: &VersionId) -> Result<(), Error> {
        Ok(material::doom(tx, version).await?)
    }

    /// Destroys what was stored for an operation that failed, unless its row was written after all (a commit whose
    /// answer was lost). Best effort: the sweep finds the rest.
    pub async fn discard(&self, version: &VersionId) {
        let doomed: Result<bool, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("material of a failed operation").await?;
                let doomed = material::doom_pending(&mut tx, version).await?;
                tx.commit().await?;
                Ok(doomed)
            })
            .await;
        if matches!(doomed, Ok(true)) {
            self.bury(version).await;
        }
    }

    /// Destroys doomed material. Best effort: the sweep finds the rest.
    pub async fn bury(&self, version: &VersionId) {
        match tokio::time::timeout(BURIAL, self.try_bury(version)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                tracing::warn!(%version, reason = failure.reason.as_str(), "material is not destroyed yet")
            }
            Err(_) => tracing::warn!(%version, "material is not destroyed yet"),
        }
    }

    async fn try_bury(&self, version: &VersionId) -> Result<(), Failure> {
        self.custody.destroy(version).await?;
        let buried: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("material is gone").await?;
                material::buried(&mut tx, version).await?;
                Ok(tx.commit().await?)
            })
            .await;
        Ok(buried?)
    }

    /// The material of a version, to be used and not kept.
    pub async fn take(&self, version: &VersionId) -> Result<Secret, Failure> {
        Ok(self.custody.get(version).await?)
    }

    /// Destroys what requests left behind.
    pub async fn sweep_once(&self) -> Result<(), Failure> {
        let doomed: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("forgotten material").await?;
                let oldest = tx.now().minus(FORGOTTEN_AFTER);
                material::doom_forgotten(&mut tx, oldest).await?;
                Ok(tx.commit().await?)
            })
            .await;
        doomed?;
        for version in material::doomed(&self.db).await? {
            self.try_bury(&version).await?;
        }
        Ok(())
    }

    /// The same, and the renewal of the secret store's token, until `stop`.
    pub async fn sweep(self, stop: CancellationToken) {
        let mut rounds = 0u32;
        loop {
            if let Err(failure) = self.sweep_once().await {
                tracing::debug!(reason = failure.reason.as_str(), "some material waits for its destruction");
            }
            if rounds.is_multiple_of(10) {
                self.custody.renew().await;
            }
            rounds = rounds.wrapping_add(1);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
        }
    }
}
