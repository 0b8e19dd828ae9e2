//! One pool type and one SQL text for two databases: SQLite files in a data directory, or PostgreSQL with a schema
//! per service. The only crate beside the `store/` rooms that names sqlx.
//!
//! Portable schema: TEXT, BIGINT (times are microseconds since the epoch), BLOB (a domain over bytea on PostgreSQL).
//! No BOOLEAN (a nullable time says more), no SUM without CAST(.. AS BIGINT), no bare EXISTS(..) in a select list.
//!
//! Invariant: a transaction that writes for a caller is opened with the caller's audit intent; there is no other way.

mod batch;
mod columns;
mod db;
mod error;
pub mod idempotency;
mod intent;
pub mod lease;
pub mod outbox;
mod shared;
pub mod snapshot;

pub use batch::{Batch, Unanswered};
pub use columns::Columns;
pub use db::{Db, Dialect, Retriable, Source, Tx};
pub use error::Error;
pub use intent::{Intent, Outcome, OutcomeKind};

/// A service's tables, in steps; made by `sqlx::migrate!` in the service.
pub type Migrations = sqlx::migrate::Migrator;
