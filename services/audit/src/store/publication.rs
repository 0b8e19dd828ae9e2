//! Which checkpoints a publisher has still to publish. Its cursor is one for each origin (`<name>@<number>`): sizes grow
//! within one, and a log that goes on under a new one may sign the size that the old one ended with. The cursor under the
//! name itself tells that the publisher has begun.

use keywright_domain::clock::Instant;
use keywright_storage::{Columns, Db, Error};

/// A signed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub origin_number: i64,
    pub size: i64,
    /// Hexadecimal.
    pub root: String,
    pub note: String,
    pub signed_at: Instant,
}

impl Published {
    /// The cursor of this one's origin.
    pub fn cursor(&self, publisher: &str) -> String {
        format!("{publisher}@{}", self.origin_number)
    }
}

/// A publisher that is new begins with the newest checkpoint.
pub async fn start_at_newest(db: &Db, publisher: &str) -> Result<(), Error> {
    let mut tx = db.begin_append().await?;
    let now = tx.now().micros();
    let begun = sqlx::query(
        "INSERT INTO reader (name, next_seq, updated_at) VALUES ($1, 0, $2) ON CONFLICT (name) DO NOTHING",
    )
    .bind(publisher)
    .bind(now)
    .execute(tx.conn())
    .await?;
    if begun.rows_affected() == 1 {
        sqlx::query(
            "INSERT INTO reader (name, next_seq, updated_at)
             SELECT $1 || '@' || CAST(origin_number AS TEXT),
                    MAX(size) + CASE WHEN origin_number = (SELECT MAX(origin_number) FROM checkpoint) THEN 0 ELSE 1 END,
                    CAST($2 AS BIGINT)
               FROM checkpoint GROUP BY origin_number",
        )
        .bind(publisher)
        .bind(now)
        .execute(tx.conn())
        .await?;
    }
    tx.commit().await
}

/// At most `limit`, oldest first.
pub async fn pending(db: &Db, publisher: &str, limit: i64) -> Result<Vec<Published>, Error> {
    let rows = sqlx::query(
        "SELECT c.origin_number, c.size, c.root, c.note, c.signed_at
           FROM origin o
           LEFT JOIN reader r ON r.name = $1 || '@' || CAST(o.number AS TEXT)
           JOIN checkpoint c ON c.origin_number = o.number AND c.size >= COALESCE(r.next_seq, 0)
          ORDER BY c.origin_number, c.size LIMIT $2",
    )
    .bind(publisher)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    let read = |row: &sqlx::any::AnyRow| {
        Ok(Published {
            origin_number: row.int("origin_number")?,
            size: row.int("size")?,
            root: row.text("root")?,
            note: row.text("note")?,
            signed_at: row.int("signed_at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// How many are pending.
pub async fn count(db: &Db, publisher: &str) -> Result<u64, Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS number
           FROM origin o
           LEFT JOIN reader r ON r.name = $1 || '@' || CAST(o.number AS TEXT)
           JOIN checkpoint c ON c.origin_number = o.number AND c.size >= COALESCE(r.next_seq, 0)",
    )
    .bind(publisher)
    .fetch_one(db.read())
    .await?;
    Ok(u64::try_from(row.int::<i64>("number")?).unwrap_or_default())
}

/// The notes of that size: one, but where the log went on under a new origin.
pub async fn notes_of_size(db: &Db, size: i64) -> Result<Vec<String>, Error> {
    let rows =
        sqlx::query("SELECT note FROM checkpoint WHERE size = $1").bind(size).fetch_all(db.read()).await?;
    rows.iter().map(|row| row.text("note")).collect()
}
