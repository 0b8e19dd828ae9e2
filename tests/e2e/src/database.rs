//! The databases of a Keywright, opened beside it.
//!
//! Invariant: whoever opens one says in his own module what he touches there.

use keywright_kit::Keywright;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, AssertSqlSafe};

/// The database of one service.
#[derive(Debug)]
pub struct Database {
    pub pool: AnyPool,
    pub is_postgres: bool,
}

impl Database {
    /// `postgres`: the URL, where it is not a file in the data folder.
    pub async fn of(keywright: &Keywright, postgres: Option<&str>, service: &str) -> Self {
        sqlx::any::install_default_drivers();
        let (url, session) = match postgres {
            Some(url) => (format!("{url}?options=-c%20search_path%3D{service}"), "SELECT 1"),
            None => {
                let file = keywright.data_dir().join(format!("{service}.db"));
                (format!("sqlite://{}", file.display()), "PRAGMA busy_timeout = 30000")
            }
        };
        let options = AnyPoolOptions::new().max_connections(2).after_connect(move |conn, _| {
            Box::pin(async move { sqlx::raw_sql(session).execute(conn).await.map(drop) })
        });
        Self { pool: options.connect(&url).await.unwrap(), is_postgres: postgres.is_some() }
    }

    /// Statements in one transaction; a server may be at the same database.
    pub async fn change(&self, statements: String) {
        let begin = if self.is_postgres { "BEGIN" } else { "BEGIN IMMEDIATE" };
        let mut tx = self.pool.begin_with(begin).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
}
