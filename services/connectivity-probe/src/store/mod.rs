//! The tables of the probe.

pub mod connectivity_test;
pub mod fleet_target;
pub mod fleet_test;
pub mod server_state;
pub mod signature_request;
pub mod state_change;

use keywright_storage::{Db, Error};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection};

pub type Connection = AnyConnection;

/// A connection for reads outside of a transaction.
pub async fn reader(db: &Db) -> Result<PoolConnection<Any>, Error> {
    Ok(db.read().acquire().await?)
}
