//! Which tables a service's database has, from the database's own catalogue.

use super::SnapshotError;
use crate::{Dialect, Error};
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row};

/// Not copied: leases are of processes that will be gone, remembered answers are under a key that a restored
/// installation does not have, the migrations' own table is made anew.
const LEFT_OUT: [&str; 3] = ["_sqlx_migrations", "lease", "idempotency"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Text,
    Bigint,
    Blob,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
}

impl Table {
    /// Whether both can hold the same rows; the order of the columns does not matter.
    pub fn is_like(&self, other: &Self) -> bool {
        let has = |table: &Self, column: &Column| table.columns.contains(column);
        self.columns.len() == other.columns.len() && self.columns.iter().all(|column| has(other, column))
    }
}

/// Every table to be copied; a table stands after those that it references.
pub async fn tables(conn: &mut AnyConnection, dialect: Dialect) -> Result<Vec<Table>, SnapshotError> {
    let mut open: Vec<(Table, Vec<String>)> = Vec::new();
    for name in names(conn, dialect).await? {
        if !LEFT_OUT.contains(&name.as_str()) {
            let parents = parents(conn, dialect, &name).await?;
            let columns = columns(conn, dialect, &name).await?;
            open.push((Table { name, columns }, parents));
        }
    }
    let mut ordered: Vec<Table> = Vec::new();
    while !open.is_empty() {
        let placed = |name: &String| ordered.iter().any(|table| table.name == *name);
        let free = open.iter().position(|(table, parents)| {
            parents.iter().all(|parent| *parent == table.name || placed(parent))
        });
        let free = free.ok_or(SnapshotError::Format("its tables refer to each other in a circle"))?;
        ordered.push(open.remove(free).0);
    }
    Ok(ordered)
}

async fn names(conn: &mut AnyConnection, dialect: Dialect) -> Result<Vec<String>, SnapshotError> {
    let text = match dialect {
        Dialect::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name"
        }
        Dialect::Postgres => {
            "SELECT CAST(table_name AS TEXT) FROM information_schema.tables
              WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY table_name"
        }
    };
    let rows = sqlx::query(text).fetch_all(conn).await?;
    rows.iter().map(|row| Ok(row.try_get::<String, _>(0)?)).collect()
}

async fn columns(
    conn: &mut AnyConnection,
    dialect: Dialect,
    table: &str,
) -> Result<Vec<Column>, SnapshotError> {
    let text = match dialect {
        Dialect::Sqlite => "SELECT name, type FROM pragma_table_info($1) ORDER BY cid",
        Dialect::Postgres => {
            "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT) FROM information_schema.columns
              WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
        }
    };
    let rows = sqlx::query(text).bind(table).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let (name, declared): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let kind = match declared.to_ascii_lowercase().as_str() {
                "text" => Kind::Text,
                "bigint" => Kind::Bigint,
                "blob" | "bytea" => Kind::Blob,
                _ => return Err(Error::Corrupt(format!("{table}.{name}")).into()),
            };
            Ok(Column { name, kind })
        })
        .collect()
}

async fn parents(
    conn: &mut AnyConnection,
    dialect: Dialect,
    table: &str,
) -> Result<Vec<String>, SnapshotError> {
    let text = match dialect {
        Dialect::Sqlite => "SELECT \"table\" FROM pragma_foreign_key_list($1)",
        Dialect::Postgres => {
            "SELECT CAST(p.relname AS TEXT) FROM pg_constraint c
               JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class p ON p.oid = c.confrelid
               JOIN pg_namespace n ON n.oid = t.relnamespace
              WHERE c.contype = 'f' AND n.nspname = current_schema() AND CAST(t.relname AS TEXT) = $1"
        }
    };
    let rows = sqlx::query(text).bind(table).fetch_all(conn).await?;
    rows.iter().map(|row| Ok(row.try_get::<String, _>(0)?)).collect()
}

/// A name as it stands in a statement. Names come from our own migrations; the quotes are for the reserved ones.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The migrations that the database has had: version and hash.
pub async fn migrations(conn: &mut AnyConnection) -> Result<Vec<(i64, Vec<u8>)>, SnapshotError> {
    let rows = sqlx::query("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
