//! Whether a fleet test is testing a server now: what credential-store asks before it signs.

use crate::store::{self, fleet_target};
use keywright_domain::ids::{FleetTestId, ServerId};
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use tracing::instrument;

pub struct CheckFleetWork {
    pub db: Db,
}

impl CheckFleetWork {
    /// What cannot be read is not open.
    #[instrument(skip_all)]
    pub async fn run(&self, work: &str, server: &str) -> Result<bool, Failure> {
        let (Ok(test), Ok(server)) = (FleetTestId::parse(work), ServerId::parse(server)) else {
            return Ok(false);
        };
        let mut reader = store::reader(&self.db).await?;
        Ok(fleet_target::runs_on(&mut reader, &test, &server).await?)
    }
}
