//! Credentials, each with the version in use.

use super::filter::Filter;
use super::version;
use crate::domain::credential::{Credential, Kind};
use keywright_domain::ids::{CredentialId, TenantId, VersionId};
use keywright_domain::key::Certificate;
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use std::time::Duration;

fn decode(row: &AnyRow) -> Result<(Credential, Option<VersionId>), Error> {
    let credential = Credential {
        id: row.text("id")?,
        tenant: row.opt_text("tenant_id")?,
        name: row.text("name")?,
        kind: row.text("kind")?,
        username: row.opt_text("username")?,
        owner: row.opt_text("owner")?,
        certificate: row.opt_text("certificate")?,
        current: None,
        usage_changes: row.int("usage_changes")?,
        allow_resolve: row.int::<i64>("allow_resolve")? != 0,
        revision: row.int("revision")?,
        created_at: row.int("created_at")?,
        rotated_at: row.opt_int("rotated_at")?,
        last_used_at: row.opt_int("last_used_at")?,
    };
    Ok((credential, row.opt_text("current_version_id")?))
}

async fn complete(conn: &mut AnyConnection, row: &AnyRow) -> Result<Credential, Error> {
    let (mut credential, current) = decode(row)?;
    if let Some(current) = current {
        credential.current = version::read(conn, &credential.id, &current).await?;
    }
    Ok(credential)
}

pub(super) async fn read(conn: &mut AnyConnection, id: &CredentialId) -> Result<Option<Credential>, Error> {
    let row = sqlx::query(
        "SELECT id, tenant_id, name, kind, username, owner, current_version_id, usage_changes, allow_resolve, revision,
                created_at, rotated_at, last_used_at, certificate
           FROM credential WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(&mut *conn)
    .await?;
    match row {
        Some(row) => complete(conn, &row).await.map(Some),
        None => Ok(None),
    }
}

pub async fn find(db: &Db, id: &CredentialId) -> Result<Option<Credential>, Error> {
    let mut conn = db.read().acquire().await?;
    read(&mut conn, id).await
}

pub async fn find_in(tx: &mut Tx, id: &CredentialId) -> Result<Option<Credential>, Error> {
    read(tx.conn(), id).await
}

/// Saved ones, newest first, one row more than the page holds.
pub async fn list_saved(db: &Db, filter: &Filter, page: &Page) -> Result<Vec<Credential>, Error> {
    let (before, before_id) = page.key();
    let mut conn = db.read().acquire().await?;
    let rows = sqlx::query(
        "SELECT c.id, c.tenant_id, c.name, c.kind, c.username, c.owner, c.current_version_id, c.usage_changes,
                c.allow_resolve, c.revision, c.created_at, c.rotated_at, c.last_used_at, c.certificate
           FROM credential c LEFT JOIN credential_version v ON v.id = c.current_version_id
          WHERE c.kind = 'saved' AND ($1 = '' OR c.tenant_id = $1)
            AND (c.id LIKE $2 ESCAPE '!' OR LOWER(c.name) LIKE $2 ESCAPE '!' OR LOWER(v.fingerprint) LIKE $2 ESCAPE '!')
            AND (c.created_at < $3 OR (c.created_at = $3 AND c.id < $4))
          ORDER BY c.created_at DESC, c.id DESC
          LIMIT $5",
    )
    .bind(filter.tenant.as_ref().map_or("", TenantId::as_str))
    .bind(&filter.pattern)
    .bind(before)
    .bind(before_id)
    .bind(page.size.saturating_add(1))
    .fetch_all(&mut *conn)
    .await?;
    let mut credentials = Vec::with_capacity(rows.len());
    for row in &rows {
        credentials.push(complete(&mut conn, row).await?);
    }
    Ok(credentials)
}

/// The credential alone; its version is inserted beside it.
pub async fn insert(tx: &mut Tx, credential: &Credential) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO credential (id, tenant_id, name, kind, username, owner, current_version_id, usage_changes, allow_resolve,
                                 revision, created_at, certificate)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(credential.id.as_str())
    .bind(credential.tenant.as_ref().map(TenantId::as_str))
    .bind(&credential.name)
    .bind(credential.kind.as_str())
    .bind(credential.username.as_deref())
    .bind(credential.owner.as_deref())
    .bind(credential.current.as_ref().map(|version| version.id.as_str()))
    .bind(credential.usage_changes)
    .bind(i64::from(credential.allow_resolve))
    .bind(credential.revision)
    .bind(credential.created_at.micros())
    .bind(credential.certificate.as_ref().map(Certificate::openssh))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The version in use after a rotation in place, its certificate, and the default user.
pub async fn rotated(
    tx: &mut Tx,
    id: &CredentialId,
    version: &VersionId,
    certificate: Option<&Certificate>,
    username: Option<&str>,
) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE credential SET current_version_id = $2, username = $3, rotated_at = $4, certificate = $5,
                revision = revision + 1
          WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(version.as_str())
    .bind(username)
    .bind(now)
    .bind(certificate.map(Certificate::openssh))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The version in use of a managed credential.
pub async fn set_current(tx: &mut Tx, id: &CredentialId, version: Option<&VersionId>) -> Result<(), Error> {
    sqlx::query("UPDATE credential SET current_version_id = $2, revision = revision + 1 WHERE id = $1")
        .bind(id.as_str())
        .bind(version.map(VersionId::as_str))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What is not the key.
pub async fn update(tx: &mut Tx, credential: &Credential) -> Result<(), Error> {
    sqlx::query(
        "UPDATE credential SET name = $2, allow_resolve = $3, certificate = $4, revision = revision + 1
          WHERE id = $1",
    )
    .bind(credential.id.as_str())
    .bind(&credential.name)
    .bind(i64::from(credential.allow_resolve))
    .bind(credential.certificate.as_ref().map(Certificate::openssh))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// To the second: many logins with one key at a time would otherwise all wait for this row.
pub async fn used(tx: &mut Tx, id: &CredentialId) -> Result<(), Error> {
    let now = tx.now();
    sqlx::query(
        "UPDATE credential SET last_used_at = $2
          WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $3 OR last_used_at > $2)",
    )
    .bind(id.as_str())
    .bind(now.micros())
    .bind(now.minus(Duration::from_secs(1)).micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Who uses it has changed.
pub async fn usage_changed(tx: &mut Tx, id: &CredentialId) -> Result<(), Error> {
    sqlx::query("UPDATE credential SET usage_changes = usage_changes + 1 WHERE id = $1")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// With all its versions' rows; their material is doomed before.
pub async fn delete(tx: &mut Tx, id: &CredentialId) -> Result<(), Error> {
    sqlx::query("DELETE FROM credential_version WHERE credential_id = $1")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM credential WHERE id = $1").bind(id.as_str()).execute(tx.conn()).await?;
    Ok(())
}

/// Whether a managed credential has, or had, this key.
pub async fn is_managed_key(tx: &mut Tx, fingerprint: &str) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT v.id FROM credential_version v JOIN credential c ON c.id = v.credential_id
          WHERE v.fingerprint = $1 AND c.kind = $2 LIMIT 1",
    )
    .bind(fingerprint)
    .bind(Kind::Managed.as_str())
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.is_some())
}
