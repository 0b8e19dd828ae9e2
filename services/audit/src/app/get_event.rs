//! Reads one event.

use crate::store::event::{self, Event};
use keywright_domain::caller::Caller;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;

pub struct GetEvent {
    pub db: Db,
    pub guard: Guard,
}

impl GetEvent {
    pub async fn run(&self, caller: &Caller, id: &str) -> Result<Event, Failure> {
        let missing = || Failure::not_found(Reason::EventNotFound, id);
        let event = event::get(&self.db, id).await?.ok_or_else(missing)?;
        let tenant = TenantId::parse(&event.tenant).ok();
        self.guard.allow(caller, "audit.read", tenant.as_ref(), id, Reason::EventNotFound).await?;
        Ok(event)
    }
}
