//! What can go wrong with a database, as far as a caller would act differently.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database asked to run the transaction again")]
    Again(#[source] sqlx::Error),
    #[error("a row with this key exists already")]
    Exists(#[source] sqlx::Error),
    #[error("the database did not answer")]
    Unavailable(#[source] sqlx::Error),
    #[error("the database could not be prepared")]
    Migration(#[source] sqlx::migrate::MigrateError),
    #[error("column {0} holds what this version cannot read")]
    Corrupt(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else { return Self::Unavailable(error) };
        if database.is_unique_violation() {
            return Self::Exists(error);
        }
        match database.code().as_deref() {
            // serialization failure, deadlock, SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT
            Some("40001" | "40P01" | "5" | "517") => Self::Again(error),
            _ => Self::Unavailable(error),
        }
    }
}
