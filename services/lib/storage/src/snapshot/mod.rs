//! Whole databases as one portable, sealed stream, and back: a backup of SQLite can be restored into PostgreSQL and the
//! other way round.
//!
//! | file | |
//! |---|---|
//! | `age` | the sealed form, which the `age` tool opens |
//! | `stream` | what is sealed: lines of JSON with counts and hashes |
//! | `schema` | which tables and columns there are, referenced ones first |
//! | `copy` | out of a running database, as it was at one moment |
//! | `load` | into an empty one |
//!
//! Invariant: what is read back is exactly what was written, or an error: the stream says of every section how many rows
//! it has and what it hashes to, and ends with a line of its own.

pub mod age;
mod copy;
mod load;
mod schema;
mod stream;
#[cfg(test)]
mod tests;

pub use age::AgeError;
pub use copy::{Original, copy, is_current};
pub use load::{forget, insert_rows, is_empty, known, load, open_as_of};
pub use schema::Table;
pub use stream::{Head, Item, Reader, Section, Summary, Value, Writer};

/// The order in which the services' databases are copied.
///
/// They are not copied at one moment, so a later copy may know more than an earlier one. What refers to other services'
/// objects goes first: key-lifecycle makes a version, a reference or a receipt durable elsewhere before it writes down
/// that it exists, so everything that its copy names is in the copies after it. connectivity-probe names servers and
/// credentials; credential-store names nobody. The audit log comes last: the intent of every effect in the other copies
/// was durable before the effect, so none of them is without its entry.
pub const ORDER: [&str; 4] = ["lifecycle", "probe", "credential", "audit"];

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Age(#[from] AgeError),
    #[error(transparent)]
    Storage(#[from] crate::Error),
    #[error("the backup cannot be written: {0}")]
    Write(#[source] std::io::Error),
    #[error("this is not a backup that this version can read: {0}")]
    Format(&'static str),
    #[error("the backup is of a newer version of Keywright (step {version} of the {service} database)")]
    Newer { service: String, version: i64 },
    #[error("the {service} database has another form of {table} than the backup")]
    Mismatch { service: String, table: String },
    #[error("there is no {0} database here")]
    NoDatabase(&'static str),
}

impl From<sqlx::Error> for SnapshotError {
    fn from(error: sqlx::Error) -> Self {
        Self::Storage(error.into())
    }
}
