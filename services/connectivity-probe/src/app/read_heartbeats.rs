//! Reads how servers are, and how that changed.

use super::start_fleet_test::tenant_of;
use crate::adapters::directory::Directory;
use crate::heartbeat::{ServerState, StateChange};
use crate::report::Status;
use crate::store::{self, server_state, state_change};
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::Page;
use keywright_storage::Db;

const ACTION: &str = "heartbeat.read";

pub struct ReadHeartbeats {
    pub db: Db,
    pub guard: Guard,
    pub directory: Directory,
}

impl ReadHeartbeats {
    /// Of a server that was never tested and has no heartbeat nothing is known but its name.
    pub async fn find(&self, caller: &Caller, server: &str) -> Result<ServerState, Failure> {
        let server = super::server(&self.directory, &self.guard, caller, ACTION, server).await?;
        let mut reader = store::reader(&self.db).await?;
        let found = server_state::find(&mut reader, &server.id).await?;
        Ok(found.unwrap_or_else(|| ServerState::unknown(&server)))
    }

    pub async fn list(
        &self,
        caller: &Caller,
        tenant: &str,
        status: Option<Status>,
        size: i32,
        token: &str,
    ) -> Result<(Vec<ServerState>, String), Failure> {
        let tenant = tenant_of(caller, tenant)?;
        let about = tenant.as_ref().map_or("", TenantId::as_str);
        self.guard.allow(caller, ACTION, tenant.as_ref(), about, Reason::TenantNotFound).await?;
        let status = status.map_or("", Status::as_str);
        let page = Page::parse(size, token, &format!("{about}|{status}"))?;
        let mut reader = store::reader(&self.db).await?;
        let rows = server_state::page(&mut reader, tenant.as_ref(), status, &page).await?;
        Ok(page.cut(rows, |row| {
            let set_at = row.heartbeat.as_ref().map_or(Instant::from_micros(0), |heartbeat| heartbeat.set_at);
            (set_at, row.server.to_string())
        }))
    }

    pub async fn changes(
        &self,
        caller: &Caller,
        server: &str,
        size: i32,
        token: &str,
    ) -> Result<(Vec<StateChange>, String), Failure> {
        let server = super::server(&self.directory, &self.guard, caller, ACTION, server).await?;
        let page = Page::parse(size, token, server.id.as_str())?;
        let mut reader = store::reader(&self.db).await?;
        let rows = state_change::page(&mut reader, &server.id, &page).await?;
        Ok(page.cut(rows, |row| (row.at, row.test.to_string())))
    }
}
