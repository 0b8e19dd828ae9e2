//! Sets the server through which another one is reached.
//!
//! Invariant: ways never lead in a circle, and never out of the tenant.

use crate::app::find;
use crate::domain::server::{MOST_JUMP_HOSTS, Server};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{ServerId, TenantId, shown};
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome, Tx};
use tracing::instrument;

const ACTION: &str = "server.jump_host";

pub struct SetJumpHost {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl SetJumpHost {
    #[instrument(skip_all, fields(server = shown(id)))]
    pub async fn run(&self, caller: &Caller, id: &str, jump_host: &str) -> Result<Server, Failure> {
        let server = find::server(&self.db, &self.guard, caller, ACTION, id).await?;
        let jump_host = parse(jump_host)?;
        let entry = Entry::new(ACTION)
            .tenant(Some(&server.tenant))
            .target(id)
            .detail("jumpHost", jump_host.as_ref().map_or("", ServerId::as_str));
        let intent = self.audit.intend(caller, entry).await?;
        let set: Result<Server, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                let before = find::server_in(&mut tx, &server.id).await?;
                if before.jump_host != jump_host {
                    if let Some(jump_host) = &jump_host {
                        require_way(&mut tx, Some(&server.id), &server.tenant, jump_host).await?;
                    }
                    store::server::set_jump_host(&mut tx, &server.id, jump_host.as_ref()).await?;
                }
                let after = find::server_in(&mut tx, &server.id).await?;
                let was = before.jump_host.as_ref().map_or("", ServerId::as_str);
                intent.done(&mut tx, Outcome::succeeded().with("before", was)).await?;
                tx.commit().await?;
                Ok(after)
            })
            .await;
        let result = set.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}

/// None for empty text.
pub(super) fn parse(jump_host: &str) -> Result<Option<ServerId>, Failure> {
    match jump_host {
        "" => Ok(None),
        id => ServerId::parse(id)
            .map(Some)
            .map_err(|_| Failure::violation("jumpHostId", "is not the id of a server")),
    }
}

/// Whether `of`, which may not exist yet, can be reached that way.
pub(super) async fn require_way(
    tx: &mut Tx,
    of: Option<&ServerId>,
    tenant: &TenantId,
    jump_host: &ServerId,
) -> Result<(), Error> {
    let mut next = Some(jump_host.clone());
    for _ in 0..MOST_JUMP_HOSTS {
        let Some(id) = next else { return Ok(()) };
        if Some(&id) == of {
            return Err(Failure::violation("jumpHostId", "leads back to the server itself").into());
        }
        let found = store::server::find_in(tx, &id).await?.filter(|found| found.tenant == *tenant);
        next = found.ok_or_else(|| find::no_server(id.as_str()))?.jump_host;
    }
    match next {
        None => Ok(()),
        Some(_) => {
            let most = format!("leads through more than {MOST_JUMP_HOSTS} servers");
            Err(Failure::violation("jumpHostId", most).into())
        }
    }
}
