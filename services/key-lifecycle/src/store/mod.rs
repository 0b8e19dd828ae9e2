//! SQL, one file per aggregate: functions over a connection for reads, over a transaction for writes; rows become the
//! values of `model` here and nowhere else.

pub mod access;
pub mod backup;
pub mod campaign;
pub mod campaign_target;
pub mod challenge;
pub mod claim;
pub mod delivery;
pub mod freeze;
pub mod key_use;
pub mod known_key;
pub mod krl;
pub mod line;
pub mod line_options;
pub mod management;
pub mod notice;
pub mod notification_target;
pub mod offboarding;
pub mod offer_turn;
pub mod overview;
pub mod policy;
pub mod recovery;
pub mod release;
pub mod revocation;
pub mod rotation;
pub mod schedule;
pub mod server_scan;
pub mod step;
pub mod version;

use keywright_domain::clock::Instant;
use keywright_domain::key::PublicKey;
use keywright_storage::{Columns, Db, Error};
use sqlx::any::AnyRow;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection};

/// What the functions read from: a reading connection, or a transaction's.
pub type Connection = AnyConnection;

/// A connection for reads outside of a transaction.
pub async fn reader(db: &Db) -> Result<PoolConnection<Any>, Error> {
    Ok(db.read().acquire().await?)
}

/// When work is due: now, and what was put off or leased beyond what any pause or lease lasts. That was done by a clock which
/// has gone back since.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub now: Instant,
    pub latest_pause: Instant,
    pub latest_lease: Instant,
}

/// A list of texts as it stands in a column.
fn list(texts: &[String]) -> String {
    serde_json::to_string(texts).unwrap_or_else(|_| "[]".to_owned())
}

fn read_list(row: &AnyRow, column: &str) -> Result<Vec<String>, Error> {
    let text: String = row.text(column)?;
    serde_json::from_str(&text).map_err(|_| Error::Corrupt(column.to_owned()))
}

fn read_key(row: &AnyRow, column: &str) -> Result<Option<PublicKey>, Error> {
    let text: Option<String> = row.opt_text(column)?;
    let key = text.map(|text| PublicKey::parse_openssh(&text));
    key.transpose().map_err(|_| Error::Corrupt(column.to_owned()))
}
