//! Tenants.

use keywright_domain::clock::Instant;
use keywright_domain::ids::TenantId;
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::any::AnyRow;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    pub external_id: Option<String>,
    pub name: String,
    pub time_zone: String,
    pub created_at: Instant,
}

pub async fn insert(tx: &mut Tx, tenant: &Tenant) -> Result<(), Error> {
    sqlx::query("INSERT INTO tenant (id, external_id, name, time_zone, state, created_at) VALUES ($1, $2, $3, $4, 'active', $5)")
        .bind(tenant.id.as_str())
        .bind(tenant.external_id.as_deref())
        .bind(&tenant.name)
        .bind(&tenant.time_zone)
        .bind(tenant.created_at.micros())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn exists(tx: &mut Tx, id: &TenantId) -> Result<bool, Error> {
    let row = sqlx::query("SELECT id FROM tenant WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(tx.conn())
        .await?;
    Ok(row.is_some())
}

pub async fn get(db: &Db, id: &TenantId) -> Result<Option<Tenant>, Error> {
    let row = sqlx::query("SELECT id, external_id, name, time_zone, created_at FROM tenant WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(db.read())
        .await?;
    row.as_ref().map(read).transpose()
}

/// Older than `before`, newest first; `only` narrows to one tenant, `pattern` is a LIKE pattern in lower case.
pub async fn list(
    db: &Db,
    only: Option<&TenantId>,
    pattern: &str,
    before: (i64, String),
    limit: i64,
) -> Result<Vec<Tenant>, Error> {
    let rows = sqlx::query(
        "SELECT id, external_id, name, time_zone, created_at FROM tenant
          WHERE (created_at < $1 OR (created_at = $1 AND id < $2))
            AND ($3 = '' OR id = $3)
            AND (LOWER(id) LIKE $4 ESCAPE '!' OR LOWER(name) LIKE $4 ESCAPE '!'
                 OR LOWER(COALESCE(external_id, '')) LIKE $4 ESCAPE '!')
          ORDER BY created_at DESC, id DESC LIMIT $5",
    )
    .bind(before.0)
    .bind(before.1)
    .bind(only.map_or("", TenantId::as_str))
    .bind(pattern)
    .bind(limit)
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Tenant, Error> {
    Ok(Tenant {
        id: row.text("id")?,
        external_id: row.opt_text("external_id")?,
        name: row.text("name")?,
        time_zone: row.text("time_zone")?,
        created_at: row.int("created_at")?,
    })
}
