//! Results of connectivity tests, by server.

use crate::report::{ConnectivityTest, Report};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{CredentialId, ServerId, TestId};
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::any::AnyRow;

pub async fn insert(tx: &mut Tx, test: &ConnectivityTest) -> Result<(), Error> {
    let checks =
        serde_json::to_string(test.report.checks()).map_err(|_| Error::Corrupt("checks".to_owned()))?;
    sqlx::query(
        "INSERT INTO connectivity_test (id, server_id, credential_id, host, port, username, checks, checked_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(test.id.as_ref().map(TestId::as_str))
    .bind(test.server.as_ref().map(ServerId::as_str))
    .bind(test.credential.as_ref().map(CredentialId::as_str))
    .bind(test.host.as_str())
    .bind(i64::from(test.port))
    .bind(test.username.as_str())
    .bind(checks)
    .bind(test.checked_at.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// One page and the row after it, newest first.
pub async fn list(db: &Db, server: &ServerId, page: &Page) -> Result<Vec<ConnectivityTest>, Error> {
    let (before, before_id) = page.key();
    let rows = sqlx::query(
        "SELECT id, server_id, credential_id, host, port, username, checks, checked_at FROM connectivity_test
          WHERE server_id = $1 AND (checked_at < $2 OR (checked_at = $2 AND id < $3))
          ORDER BY checked_at DESC, id DESC LIMIT $4",
    )
    .bind(server.as_str())
    .bind(before)
    .bind(before_id)
    .bind(page.size.saturating_add(1))
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

/// Of what is older, so many at most, but never the newest of a server.
pub async fn purge(tx: &mut Tx, since: Instant, limit: i64) -> Result<u64, Error> {
    let done = sqlx::query(
        "DELETE FROM connectivity_test
          WHERE id IN (SELECT id FROM connectivity_test
                        WHERE checked_at < $1
                          AND NOT EXISTS (SELECT 1 FROM server_state s WHERE s.test_id = connectivity_test.id)
                        ORDER BY checked_at LIMIT $2)",
    )
    .bind(since.micros())
    .bind(limit)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

fn read(row: &AnyRow) -> Result<ConnectivityTest, Error> {
    let checks: String = row.text("checks")?;
    let checks = serde_json::from_str(&checks).ok().and_then(Report::from_checks);
    Ok(ConnectivityTest {
        id: Some(row.text("id")?),
        server: Some(row.text("server_id")?),
        credential: row.opt_text("credential_id")?,
        host: row.text("host")?,
        port: row.int("port")?,
        username: row.text("username")?,
        checked_at: row.int("checked_at")?,
        report: checks.ok_or_else(|| Error::Corrupt("checks".to_owned()))?,
    })
}
