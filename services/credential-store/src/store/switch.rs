//! Switches: which servers they are about, what became of each, and a server's binding as a switch looks at it.

use crate::domain::server::Lifecycle;
use crate::domain::switch::{Ending, Step};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{CredentialId, ServerId, TenantId};
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::AnyConnection;

/// What a switch must find unchanged when it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub tenant: TenantId,
    pub lifecycle: Lifecycle,
    pub credential: Option<CredentialId>,
    /// The binding's own user; none where it follows the credential's.
    pub username: Option<String>,
}

async fn read_bound(conn: &mut AnyConnection, id: &ServerId) -> Result<Option<Bound>, Error> {
    let row = sqlx::query(
        "SELECT tenant_id, lifecycle, bound_credential_id, bound_username FROM server WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Bound {
            tenant: row.text("tenant_id")?,
            lifecycle: row.text("lifecycle")?,
            credential: row.opt_text("bound_credential_id")?,
            username: row.opt_text("bound_username")?,
        })
    })
    .transpose()
}

pub async fn bound(db: &Db, id: &ServerId) -> Result<Option<Bound>, Error> {
    let mut conn = db.read().acquire().await?;
    read_bound(&mut conn, id).await
}

pub async fn bound_in(tx: &mut Tx, id: &ServerId) -> Result<Option<Bound>, Error> {
    read_bound(tx.conn(), id).await
}

/// Begins an operation: whatever its name stood for before is over.
pub async fn plan(
    tx: &mut Tx,
    operation: &str,
    servers: &[(ServerId, String)],
    oldest: Instant,
) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("DELETE FROM switch_step WHERE operation = $1 OR created_at <= $2")
        .bind(operation)
        .bind(oldest.micros())
        .execute(tx.conn())
        .await?;
    let ending = Ending::pending();
    for (server, name) in servers {
        sqlx::query(
            "INSERT INTO switch_step (operation, server_id, server_name, outcome, reason, message, test_id, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, '', $7)",
        )
        .bind(operation)
        .bind(server.as_str())
        .bind(name)
        .bind(ending.outcome.as_str())
        .bind(&ending.reason)
        .bind(&ending.message)
        .bind(now)
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// In the order of the servers' names.
pub async fn steps(db: &Db, operation: &str) -> Result<Vec<Step>, Error> {
    let rows = sqlx::query(
        "SELECT server_id, server_name, outcome, reason, message, test_id FROM switch_step
          WHERE operation = $1 ORDER BY server_name, server_id",
    )
    .bind(operation)
    .fetch_all(db.read())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Step {
                server: row.text("server_id")?,
                name: row.text("server_name")?,
                ending: Ending {
                    outcome: row.text("outcome")?,
                    reason: row.text("reason")?,
                    message: row.text("message")?,
                    test: row.text("test_id")?,
                },
            })
        })
        .collect()
}

/// Once: what is settled stays.
pub async fn settle(tx: &mut Tx, operation: &str, server: &ServerId, ending: &Ending) -> Result<(), Error> {
    sqlx::query(
        "UPDATE switch_step SET outcome = $3, reason = $4, message = $5, test_id = $6
          WHERE operation = $1 AND server_id = $2 AND outcome = 'pending'",
    )
    .bind(operation)
    .bind(server.as_str())
    .bind(ending.outcome.as_str())
    .bind(&ending.reason)
    .bind(&ending.message)
    .bind(&ending.test)
    .execute(tx.conn())
    .await?;
    Ok(())
}
