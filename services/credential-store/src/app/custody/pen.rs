//! The one place that signs: with the material of one version, what a `UserauthRequest` makes of its fields.
//!
//! Invariant: a signature is handed out only after a transaction that found the version still usable and, for a login
//! that a program asked for, found what it rests on still standing.

use super::shelf::Shelf;
use super::sign_login::Grounds;
use crate::app::find;
use crate::app::secretly::secretly;
use crate::store;
use keywright_domain::ids::{CredentialId, VersionId};
use keywright_domain::key::{PrivateKey, UserauthRequest};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};

pub struct Pen {
    pub db: Db,
    pub shelf: Shelf,
}

impl Pen {
    pub async fn sign(
        &self,
        intent: &Intent,
        id: &CredentialId,
        version: &VersionId,
        request: UserauthRequest,
        grounds: Option<&Grounds>,
    ) -> Result<Vec<u8>, Failure> {
        let stored = self.shelf.take(version).await?;
        let signature = secretly(move || {
            PrivateKey::from_stored(&stored)?.sign(request.algorithm(), &request.signed_bytes())
        });
        let signature = signature.await.map_err(|_| broken())?.map_err(|_| broken())?;
        let recorded: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                if let Some(grounds) = grounds {
                    grounds.still_stand(&mut tx).await?;
                }
                // Revoked meanwhile: the signature is never seen.
                let now = store::version::find_in(&mut tx, id, version).await?;
                if !now.is_some_and(|version| version.is_usable()) {
                    return Err(find::no_version(version.as_str()).into());
                }
                store::credential::used(&mut tx, id).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        recorded?;
        Ok(signature)
    }
}

fn broken() -> Failure {
    Failure::new(Reason::Internal, "The key could not be used.")
}
