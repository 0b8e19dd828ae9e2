//! Reads and lists servers, and says what stands in the way of a deletion.

use crate::app::find;
use crate::app::listing::Listing;
use crate::domain::server::Server;
use crate::domain::usage::Reference;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;

pub struct ReadServers {
    pub db: Db,
    pub guard: Guard,
}

impl ReadServers {
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Server, Failure> {
        find::server(&self.db, &self.guard, caller, "server.read", id).await
    }

    /// The page, and where the next one begins.
    pub async fn list(&self, caller: &Caller, listing: Listing) -> Result<(Vec<Server>, String), Failure> {
        let (filter, page) = listing.narrow(&self.guard, caller, "server.list").await?;
        let rows = store::server::list(&self.db, &filter, &page).await?;
        Ok(page.cut(rows, |server| (server.created_at, server.id.to_string())))
    }

    /// Empty where a deletion would be accepted.
    pub async fn deletion_blockers(&self, caller: &Caller, id: &str) -> Result<Vec<String>, Failure> {
        let server = self.get(caller, id).await?;
        let references = store::usage::references_on(&self.db, server.id.as_str()).await?;
        let led_to = store::server::led_to(&self.db, &server.id).await?;
        Ok(blockers(&server, &references, &led_to))
    }
}

/// What uses the server, in plain words.
pub(super) fn blockers(server: &Server, references: &[Reference], led_to: &[String]) -> Vec<String> {
    let mut blockers = Vec::new();
    if let Some(binding) = &server.binding {
        blockers.push(format!("The credential {} is bound to it: unbind it.", binding.credential));
    }
    if let Some(management) = &server.management {
        blockers.push(format!("The management key {} is installed on it: remove it.", management.credential));
    }
    if !led_to.is_empty() {
        let names = led_to.join(", ");
        blockers.push(format!("It is the jump host of {names}: have them reached another way."));
    }
    blockers.extend(references.iter().map(|held| format!("{} holds it: {}.", held.owner, held.purpose)));
    blockers
}
