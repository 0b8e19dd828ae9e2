//! What stands in the way of a release, and the transaction in which the accesses lose the host.

use super::Releaser;
use crate::adapters::credential_store::Server;
use crate::model::{
    Access, Enforcer, LineState, ManagementState, Release, ReleaseState, Staying, VersionState,
};
use crate::recovery;
use crate::store::{self, Connection};
use keywright_domain::ids::{CredentialId, ManagementId, ServerId};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Intent, Tx};
use std::time::Duration;

/// Whoever asked goes on with it at once; if he died, a worker does.
const INTERRUPTED_AFTER: Duration = Duration::from_secs(15);

/// What is to be released.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub server: &'a Server,
    /// The other way in; None: Keywright's own line is left.
    pub other: Option<&'a CredentialId>,
    /// It is not proven yet, and where it is not, the line is left.
    pub may_stay: bool,
    pub comment: &'a str,
}

impl Releaser {
    /// Nothing changes here but what is recorded; hosts follow.
    pub(super) async fn record(&self, asked: Asked<'_>, intent: &Intent) -> Result<ManagementId, Error> {
        let mut tx = self.db.begin(intent).await?;
        recovery::refuse_in(tx.conn()).await?;
        let server = asked.server;
        let Some((credential, _)) = &server.management else { return Err(not_managed(&server.id).into()) };
        let known = store::management::of(tx.conn(), &server.id).await?;
        let current = known.iter().find(|key| key.credential == *credential);
        let current = current.ok_or_else(|| not_managed(&server.id))?;
        if store::release::find(tx.conn(), &current.id).await?.is_some() {
            return Ok(current.id.clone());
        }
        if known.iter().any(|key| key.state == ManagementState::Running) {
            return Err(busy("A management key is being installed there.").into());
        }
        refuse_while_busy(tx.conn(), &server.id).await?;
        let mut staying = Vec::new();
        for id in store::release::accesses(tx.conn(), &server.id).await? {
            let Some(access) = store::access::find(tx.conn(), &id).await? else { continue };
            staying.extend(stays(tx.conn(), &access, &server.id).await?);
            leave(&mut tx, &access, &server.id).await?;
        }
        store::release::leave(&mut tx, &server.id).await?;
        let release = Release {
            id: current.id.clone(),
            server: server.id.clone(),
            tenant: server.tenant.clone(),
            state: ReleaseState::Running,
            other: asked.other.cloned(),
            may_stay: asked.may_stay,
            staying,
            comment: asked.comment.to_owned(),
            other_path: None,
            refused: None,
            requested_at: tx.now(),
            finished_at: None,
            attempts: 0,
        };
        let look_again = tx.now().plus(INTERRUPTED_AFTER);
        store::release::insert(&mut tx, &release, look_again).await?;
        tx.commit().await?;
        Ok(release.id)
    }
}

pub(super) fn not_managed(server: &ServerId) -> Failure {
    Failure::new(Reason::ServerNotManaged, "The server has no management key.")
        .with("serverId", server.as_str())
}

fn busy(what: &str) -> Failure {
    Failure::new(Reason::RotationInProgress, what)
}

/// Whatever is still to be done on the host would never be done: an exposure would be forgotten.
pub(super) async fn refuse_while_busy(conn: &mut Connection, server: &ServerId) -> Result<(), Error> {
    if let Some(id) = store::release::rotation_on(conn, server).await? {
        return Err(busy("A rotation is still to touch this server.").with("rotationId", id.as_str()).into());
    }
    if let Some(id) = store::release::revocation_on(conn, server).await? {
        let what = "A revocation still waits for this server: released, its exposure would be forgotten.";
        return Err(busy(what).with("revocationId", id.as_str()).into());
    }
    let leaving = store::release::leaving_on(conn, server).await?;
    if leaving > 0 {
        let what = format!("{leaving} keys that have ended are still to be removed from this server.");
        return Err(busy(&what).into());
    }
    Ok(())
}

/// The access's keys that may open an account there.
async fn stays(conn: &mut Connection, access: &Access, server: &ServerId) -> Result<Vec<Staying>, Error> {
    let versions = store::version::of(conn, &access.id).await?;
    let graces = store::rotation::graces(conn, &access.id).await?;
    let lines = store::line::of(conn, &access.id).await?;
    let mut staying = Vec::new();
    for line in lines.iter().filter(|line| line.server == *server) {
        let Some(version) = versions.iter().find(|version| version.id == line.version) else { continue };
        let stands = matches!(line.state, LineState::Installed | LineState::Expiring);
        let (true, Some(key)) = (stands && version.state.is_live(), &version.public_key) else { continue };
        let ends = graces.iter().find(|(old, ..)| *old == version.id).map(|(_, end, _)| end.micros());
        staying.push(Staying {
            account: access.account.to_string(),
            access: access.id.to_string(),
            version: version.number,
            fingerprint: key.fingerprint().to_string(),
            ends_at_micros: ends.filter(|_| line.enforced_by == Some(Enforcer::Sshd)),
        });
    }
    Ok(staying)
}

/// An access whose last host this was is closed: nobody can manage its key any more, so its private half goes.
async fn leave(tx: &mut Tx, access: &Access, server: &ServerId) -> Result<(), Error> {
    let hosts = store::access::hosts(tx.conn(), &access.id).await?;
    if hosts.iter().any(|host| host.server != *server) {
        return Ok(store::access::touch(tx, &access.id).await?);
    }
    for version in store::version::of(tx.conn(), &access.id).await? {
        if version.state.is_live() {
            store::version::set_state(tx, &version.id, VersionState::Retired).await?;
            store::version::destroy(tx, &version.id).await?;
        }
    }
    Ok(store::access::close(tx, &access.id).await?)
}
