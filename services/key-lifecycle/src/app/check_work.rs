//! Whether a work is open and covers a credential on a server: what credential-store asks before it signs.

use crate::drift;
use crate::krl;
use crate::model::ReleaseState;
use crate::recovery;
use crate::store::{self, Connection};
use keywright_domain::ids::{AccessId, CredentialId, ManagementId, RevocationId, RotationId, ServerId};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;
use tracing::instrument;

#[derive(Clone)]
pub struct CheckWork {
    pub db: Db,
}

impl CheckWork {
    /// Without a credential: whether the work is open on the server at all. What cannot be read is not open.
    #[instrument(skip_all, fields(work))]
    pub async fn run(&self, work: &str, credential: &str, server: &str) -> Result<bool, Failure> {
        let Ok(server) = ServerId::parse(server) else { return Ok(false) };
        let credential = match credential {
            "" => None,
            id => match CredentialId::parse(id) {
                Ok(id) => Some(id),
                Err(_) => return Ok(false),
            },
        };
        let credential = credential.as_ref();
        let mut reader = store::reader(&self.db).await?;
        if let Ok(id) = ManagementId::parse(work) {
            let found = store::management::find(&mut reader, &id).await?;
            let released = store::release::find(&mut reader, &id).await?;
            if let Some(release) =
                released.filter(|release| release.state == ReleaseState::Running && release.server == server)
            {
                let other = credential.is_some() && release.other.as_ref() == credential;
                return Ok(other || manages(&mut reader, credential, &server).await?);
            }
            let Some(found) = found.filter(|found| found.is_open() && found.server == server) else {
                return Ok(false);
            };
            return Ok(
                Some(&found.credential) == credential || manages(&mut reader, credential, &server).await?
            );
        }
        if let Some(looked_at) = drift::server_of(work) {
            let now = self.db.now().await?.micros();
            let open = looked_at == server && store::known_key::is_looked_at(&mut reader, work, now).await?;
            return Ok(open && manages(&mut reader, credential, &server).await?);
        }
        if work == recovery::WORK {
            let active = store::recovery::find(&mut reader).await?.is_some_and(|found| found.is_active());
            let open = !active && store::recovery::is_open_on(&mut reader, &server).await?;
            return Ok(open && manages(&mut reader, credential, &server).await?);
        }
        if work == krl::WORK {
            let active = store::recovery::find(&mut reader).await?.is_some_and(|found| found.is_active());
            let has_file = !active && store::krl::file(&mut reader, &server).await?.is_some();
            return Ok(has_file && manages(&mut reader, credential, &server).await?);
        }
        match open_on(&mut reader, work).await? {
            Some(open) => Ok(covers(&mut reader, &open, credential, &server).await?),
            None => Ok(false),
        }
    }
}

/// The access that an open work is about.
struct Open {
    access: AccessId,
    /// Its own key may be used too. Never for a revocation: that only offers keys, and what is revoked signs no more.
    own_key: bool,
}

/// A grace end counts under its rotation.
async fn open_on(conn: &mut Connection, work: &str) -> Result<Option<Open>, Error> {
    if let Ok(id) = RotationId::parse(work) {
        let found = store::rotation::find(conn, &id).await?;
        let open = found.filter(|rotation| rotation.is_open());
        return Ok(open.map(|rotation| Open { access: rotation.access, own_key: true }));
    }
    if let Ok(id) = RevocationId::parse(work) {
        let found = store::revocation::find(conn, &id).await?;
        return Ok(found
            .filter(|revocation| revocation.finished_at.is_none())
            .map(|revocation| Open { access: revocation.access, own_key: false }));
    }
    Ok(None)
}

/// The access's own credential, or the management key of one of its hosts.
async fn covers(
    conn: &mut Connection,
    open: &Open,
    credential: Option<&CredentialId>,
    server: &ServerId,
) -> Result<bool, Error> {
    let hosts = store::access::hosts(conn, &open.access).await?;
    if !hosts.iter().any(|host| host.server == *server) {
        return Ok(false);
    }
    let access = store::access::find(conn, &open.access).await?;
    if credential.is_some() && access.is_some_and(|access| Some(&access.credential) == credential) {
        return Ok(open.own_key);
    }
    Ok(manages(conn, credential, server).await?)
}

async fn manages(
    conn: &mut Connection,
    credential: Option<&CredentialId>,
    server: &ServerId,
) -> Result<bool, keywright_storage::Error> {
    let Some(credential) = credential else { return Ok(true) };
    let known = store::management::of(conn, server).await?;
    Ok(known.iter().any(|key| key.stands() && key.credential == *credential))
}
