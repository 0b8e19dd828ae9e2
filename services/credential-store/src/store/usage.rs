//! Who uses a credential: bindings and held references. Also the references on servers.

use crate::domain::usage::{Reference, ServerUse, Usage};
use keywright_domain::ids::CredentialId;
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::AnyConnection;

async fn read(conn: &mut AnyConnection, id: &CredentialId) -> Result<Usage, Error> {
    let rows = sqlx::query(
        "SELECT s.id, s.name, s.lifecycle, s.host, COALESCE(s.bound_username, c.username) AS effective_username
           FROM server s LEFT JOIN credential c ON c.id = s.bound_credential_id
          WHERE s.bound_credential_id = $1 ORDER BY s.id",
    )
    .bind(id.as_str())
    .fetch_all(&mut *conn)
    .await?;
    let servers = rows.iter().map(|row| {
        Ok::<_, Error>(ServerUse {
            server: row.text("id")?,
            name: row.text("name")?,
            lifecycle: row.text("lifecycle")?,
            host: row.text("host")?,
            username: row.opt_text("effective_username")?.unwrap_or_default(),
        })
    });
    let servers = servers.collect::<Result<_, _>>()?;
    let changes = sqlx::query("SELECT usage_changes FROM credential WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(&mut *conn)
        .await?;
    let changes = changes.map(|row| row.int("usage_changes")).transpose()?.unwrap_or(0);
    Ok(Usage { servers, references: references(conn, id.as_str()).await?, changes })
}

async fn references(conn: &mut AnyConnection, subject: &str) -> Result<Vec<Reference>, Error> {
    let rows =
        sqlx::query("SELECT owner, purpose FROM held_reference WHERE subject = $1 ORDER BY owner, purpose")
            .bind(subject)
            .fetch_all(conn)
            .await?;
    rows.iter()
        .map(|row| Ok(Reference { owner: row.text("owner")?, purpose: row.text("purpose")? }))
        .collect()
}

pub async fn of_credential(db: &Db, id: &CredentialId) -> Result<Usage, Error> {
    let mut conn = db.read().acquire().await?;
    read(&mut conn, id).await
}

pub async fn of_credential_in(tx: &mut Tx, id: &CredentialId) -> Result<Usage, Error> {
    read(tx.conn(), id).await
}

pub async fn references_on(db: &Db, subject: &str) -> Result<Vec<Reference>, Error> {
    let mut conn = db.read().acquire().await?;
    references(&mut conn, subject).await
}

pub async fn references_on_in(tx: &mut Tx, subject: &str) -> Result<Vec<Reference>, Error> {
    references(tx.conn(), subject).await
}

/// True where the reference is new.
pub async fn add_reference(tx: &mut Tx, subject: &str, reference: &Reference) -> Result<bool, Error> {
    let now = tx.now().micros();
    let done = sqlx::query(
        "INSERT INTO held_reference (subject, owner, purpose, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (subject, owner, purpose) DO NOTHING",
    )
    .bind(subject)
    .bind(&reference.owner)
    .bind(&reference.purpose)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The subject goes.
pub async fn drop_references(tx: &mut Tx, subject: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM held_reference WHERE subject = $1").bind(subject).execute(tx.conn()).await?;
    Ok(())
}

/// True where there was one.
pub async fn remove_reference(tx: &mut Tx, subject: &str, reference: &Reference) -> Result<bool, Error> {
    let done = sqlx::query("DELETE FROM held_reference WHERE subject = $1 AND owner = $2 AND purpose = $3")
        .bind(subject)
        .bind(&reference.owner)
        .bind(&reference.purpose)
        .execute(tx.conn())
        .await?;
    Ok(done.rows_affected() > 0)
}
