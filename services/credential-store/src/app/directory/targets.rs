//! Servers with the credentials that are bound to them, for a wave of tests.

use crate::domain::credential::Credential;
use crate::domain::server::Server;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{CredentialId, ServerId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use std::collections::BTreeMap;

const ACTION: &str = "directory.read";
/// Of one call.
pub const MOST: usize = 100;
/// As many as `store::server::named` takes.
const AT_ONCE: usize = 10;

pub struct ResolveTargets {
    pub db: Db,
    pub guard: Guard,
}

impl ResolveTargets {
    /// In no order; what is gone is left out.
    pub async fn run(
        &self,
        caller: &Caller,
        ids: &[String],
    ) -> Result<Vec<(Server, Option<Credential>)>, Failure> {
        self.guard.allow(caller, ACTION, None, "", Reason::ServerNotFound).await?;
        let parsed: Result<Vec<_>, _> = ids.iter().map(|id| ServerId::parse(id)).collect();
        let parsed = parsed.ok().filter(|ids| ids.len() <= MOST);
        let parsed = parsed
            .ok_or_else(|| Failure::violation("serverIds", format!("must be at most {MOST} servers' ids")))?;
        let mut servers = Vec::with_capacity(parsed.len());
        for some in parsed.chunks(AT_ONCE) {
            servers.extend(store::server::named(&self.db, some).await?);
        }
        // Many servers, few credentials.
        let mut credentials: BTreeMap<CredentialId, Option<Credential>> = BTreeMap::new();
        let mut targets = Vec::with_capacity(servers.len());
        for server in servers {
            let credential = match server.binding.as_ref().map(|bound| &bound.credential) {
                None => None,
                Some(id) => match credentials.get(id) {
                    Some(known) => known.clone(),
                    None => {
                        let read = store::credential::find(&self.db, id).await?;
                        credentials.insert(id.clone(), read.clone());
                        read
                    }
                },
            };
            targets.push((server, credential));
        }
        Ok(targets)
    }
}
