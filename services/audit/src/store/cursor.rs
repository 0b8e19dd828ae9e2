//! How far each reader of the log has come. A reader is one of a kind: whoever holds the lease of its name moves it.

use keywright_domain::clock::Instant;
use keywright_storage::lease::{self, Lease};
use keywright_storage::{Columns, Db, Error};

/// A reader that is new begins at the log's end.
pub async fn start_at_end(db: &Db, name: &str) -> Result<(), Error> {
    let mut tx = db.begin_append().await?;
    let now = tx.now().micros();
    sqlx::query(
        "INSERT INTO reader (name, next_seq, updated_at)
         SELECT CAST($1 AS TEXT), size, CAST($2 AS BIGINT) FROM head WHERE id = 'log' ON CONFLICT (name) DO NOTHING",
    )
    .bind(name)
    .bind(now)
    .execute(tx.conn())
    .await?;
    tx.commit().await
}

/// Its next position, and how many leaves there are; none for a reader that has not begun.
pub async fn find(db: &Db, name: &str) -> Result<Option<(i64, i64)>, Error> {
    let row =
        sqlx::query("SELECT r.next_seq, h.size FROM reader r JOIN head h ON h.id = 'log' WHERE r.name = $1")
            .bind(name)
            .fetch_optional(db.read())
            .await?;
    row.map(|row| Ok((row.int("next_seq")?, row.int("size")?))).transpose()
}

/// Moves readers forward, in one transaction; false where the lease is another's by now, and nothing was moved.
pub async fn advance(db: &Db, lease: &Lease, to: &[(String, i64)]) -> Result<bool, Error> {
    let mut tx = db.begin_internal("what was handed on is not handed on again").await?;
    if !lease::holds(&mut tx, lease).await? {
        return Ok(false);
    }
    let now = tx.now().micros();
    for (name, next) in to {
        sqlx::query(
            "INSERT INTO reader (name, next_seq, updated_at) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET next_seq = $2, updated_at = $3 WHERE reader.next_seq < $2",
        )
        .bind(name)
        .bind(next)
        .bind(now)
        .execute(tx.conn())
        .await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// A reader that has yet to read what stands before `until`, if there is one that has moved since `since`: one that nobody
/// drives any more holds up nothing.
pub async fn behind(db: &Db, until: i64, since: Instant) -> Result<Option<String>, Error> {
    let row = sqlx::query(
        "SELECT name FROM reader WHERE next_seq < $1 AND updated_at >= $2 AND name NOT LIKE 'checkpoint:%'
          ORDER BY next_seq LIMIT 1",
    )
    .bind(until)
    .bind(since.micros())
    .fetch_optional(db.read())
    .await?;
    row.map(|row| row.text("name")).transpose()
}
