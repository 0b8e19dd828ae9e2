//! Reads rotations and revocations, once or again and again.

use super::view::{RevocationView, RotationView};
use crate::store::{self, Connection};
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{RevocationId, RotationId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;
use tracing::instrument;

#[derive(Clone)]
pub struct ReadWork {
    pub db: Db,
    pub guard: Guard,
}

impl ReadWork {
    /// The id, if the caller may read what it names.
    #[instrument(skip_all, fields(rotation = shown(id)))]
    pub async fn authorize_rotation(&self, caller: &Caller, id: &str) -> Result<RotationId, Failure> {
        let missing = || Failure::not_found(Reason::RotationNotFound, id);
        let id = RotationId::parse(id).map_err(|_| missing())?;
        let mut reader = store::reader(&self.db).await?;
        let rotation = store::rotation::find(&mut reader, &id).await?.ok_or_else(missing)?;
        drop(reader);
        let tenant = Some(&rotation.tenant);
        self.guard.allow(caller, "rotation.read", tenant, id.as_str(), Reason::RotationNotFound).await?;
        Ok(id)
    }

    #[instrument(skip_all, fields(revocation = shown(id)))]
    pub async fn authorize_revocation(&self, caller: &Caller, id: &str) -> Result<RevocationId, Failure> {
        let missing = || Failure::not_found(Reason::RevocationNotFound, id);
        let id = RevocationId::parse(id).map_err(|_| missing())?;
        let mut reader = store::reader(&self.db).await?;
        let revocation = store::revocation::find(&mut reader, &id).await?.ok_or_else(missing)?;
        drop(reader);
        let tenant = Some(&revocation.tenant);
        self.guard.allow(caller, "revocation.read", tenant, id.as_str(), Reason::RevocationNotFound).await?;
        Ok(id)
    }

    /// As it is now; for whoever was authorized.
    pub async fn rotation(&self, id: &RotationId) -> Result<RotationView, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let rotation = store::rotation::find(&mut reader, id).await?;
        let rotation = rotation.ok_or_else(|| Failure::not_found(Reason::RotationNotFound, id.as_str()))?;
        Ok(view_of(&mut reader, rotation).await?)
    }

    pub async fn revocation(&self, id: &RevocationId) -> Result<RevocationView, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let revocation = store::revocation::find(&mut reader, id).await?;
        let revocation =
            revocation.ok_or_else(|| Failure::not_found(Reason::RevocationNotFound, id.as_str()))?;
        let hosts = store::revocation::hosts(&mut reader, id).await?;
        drop(reader);
        Ok(RevocationView { revocation, hosts, now: self.db.now().await? })
    }
}

/// A rotation with its steps and what it replaces.
pub(super) async fn view_of(
    conn: &mut Connection,
    rotation: crate::model::Rotation,
) -> Result<RotationView, Error> {
    let steps = store::step::of(conn, &rotation.id).await?;
    let versions = store::version::of(conn, &rotation.access).await?;
    let mut uses = store::key_use::of(conn, &rotation.access).await?;
    uses.retain(|one| Some(&one.version) == rotation.old_version.as_ref());
    Ok(RotationView { old_uses: uses, ..RotationView::new(rotation, steps, &versions) })
}
