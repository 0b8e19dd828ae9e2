//! The way through jump hosts, each with what is needed to log in to it.

use crate::app::find;
use crate::domain::credential::Credential;
use crate::domain::server::{MOST_JUMP_HOSTS, Server};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;

const ACTION: &str = "directory.read";

/// The servers on the way to this one, the nearest first; no more than are allowed, however long it is.
pub async fn way(db: &Db, server: &Server) -> Result<Vec<Server>, Failure> {
    let (mut way, mut next) = (Vec::new(), server.jump_host.clone());
    while let Some(id) = next.take_if(|_| way.len() < MOST_JUMP_HOSTS) {
        let found = store::server::find(db, &id).await?.ok_or_else(|| find::no_server(id.as_str()))?;
        next.clone_from(&found.jump_host);
        way.push(found);
    }
    Ok(way)
}

pub struct ResolveRoute {
    pub db: Db,
    pub guard: Guard,
}

impl ResolveRoute {
    /// The outermost first, the named one last.
    pub async fn run(&self, caller: &Caller, jump_host: &str) -> Result<Vec<(Server, Credential)>, Failure> {
        let last = find::server(&self.db, &self.guard, caller, ACTION, jump_host).await?;
        let mut way = way(&self.db, &last).await?;
        way.insert(0, last);
        if way.len() > MOST_JUMP_HOSTS {
            let most = format!("leads through more than {MOST_JUMP_HOSTS} servers");
            return Err(Failure::violation("jumpHostId", most));
        }
        let mut route = Vec::with_capacity(way.len());
        for server in way {
            route.push(self.usable(server).await?);
        }
        route.reverse();
        Ok(route)
    }

    async fn usable(&self, server: Server) -> Result<(Server, Credential), Failure> {
        let refused = |reason, what: &str| {
            let message = format!("The jump host {} {what}", server.name);
            Err(Failure::new(reason, message).with("jumpHostId", server.id.as_str()))
        };
        if server.host_keys.is_empty() {
            return refused(Reason::HostKeyUnpinned, "has no approved host key: scan and approve it.");
        }
        let Some(binding) = &server.binding else {
            return refused(Reason::BindingNotFound, "has no credential bound: bind one.");
        };
        if binding.username.is_empty() {
            return refused(Reason::BindingNotFound, "has no user to log in as: bind a credential with one.");
        }
        let credential = store::credential::find(&self.db, &binding.credential).await?;
        let credential = credential.ok_or_else(|| find::no_credential(binding.credential.as_str()))?;
        Ok((server, credential))
    }
}
