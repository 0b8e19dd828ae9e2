//! Reads an access.

use super::view::AccessView;
use super::{gates, read_work};
use crate::model::{Access, VersionState};
use crate::store::{self, Connection};
use keywright_domain::caller::{Caller, Role};
use keywright_domain::clock::Instant;
use keywright_domain::ids::AccessId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;
use tracing::instrument;

/// Rotations that a view shows.
const RECENT: i64 = 5;

#[derive(Clone)]
pub struct ViewAccess {
    pub db: Db,
    pub guard: Guard,
}

impl ViewAccess {
    #[instrument(skip_all, fields(access))]
    pub async fn run(&self, caller: &Caller, tenant: &str, access: &str) -> Result<AccessView, Failure> {
        let (tenant, id) = gates::tenant_and_access(tenant, access)?;
        self.guard.allow(caller, "access.read", Some(&tenant), id.as_str(), Reason::AccessNotFound).await?;
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let access = gates::find(&mut reader, &tenant, &id).await?;
        Ok(load(&mut reader, caller, access, now).await?)
    }

    /// For whoever began something with it.
    pub async fn after(&self, caller: &Caller, id: &AccessId) -> Result<AccessView, Failure> {
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let access = store::access::find(&mut reader, id).await?;
        let access = access.ok_or_else(|| Failure::not_found(Reason::AccessNotFound, id.as_str()))?;
        Ok(load(&mut reader, caller, access, now).await?)
    }
}

pub(super) async fn load(
    conn: &mut Connection,
    caller: &Caller,
    access: Access,
    now: Instant,
) -> Result<AccessView, Error> {
    let hosts = store::access::hosts(conn, &access.id).await?;
    let versions = store::version::of(conn, &access.id).await?;
    let lines = store::line::of(conn, &access.id).await?;
    let active = versions.iter().find(|version| version.state == VersionState::Active);
    let claims = match active {
        Some(version) => store::claim::of_version(conn, &version.id).await?,
        None => Vec::new(),
    };
    let settings = store::policy::effective(conn, &access.tenant, Some(&access.id)).await?;
    let mut rotations = Vec::new();
    for rotation in store::rotation::of(conn, &access.id, RECENT).await? {
        rotations.push(read_work::view_of(conn, rotation).await?);
    }
    let graces = store::rotation::graces(conn, &access.id).await?;
    let revocation = store::revocation::last(conn, &access.id).await?;
    let uses = store::key_use::of(conn, &access.id).await?;
    let shows_download = caller.principal.role != Role::TenantMember;
    Ok(AccessView {
        access,
        settings,
        hosts,
        versions,
        lines,
        claims,
        rotations,
        graces,
        revocation,
        uses,
        shows_download,
        now,
    })
}
