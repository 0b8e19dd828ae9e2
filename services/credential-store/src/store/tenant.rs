//! Tenants. A deleted one is a row that nothing here finds.

use super::labels;
use crate::domain::tenant::{Particulars, State, Tenant};
use keywright_domain::ids::{CredentialId, ServerId, TenantId};
use keywright_storage::{Columns, Db, Error, Tx};
use sqlx::any::AnyRow;

/// What a tenant still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belongings {
    pub servers: i64,
    /// Saved by users.
    pub credentials: i64,
    /// Managed and held, or with a key that may be in use: each is an SSH access's. What has ended is no belonging.
    pub accesses: i64,
}

pub async fn insert(tx: &mut Tx, tenant: &Tenant) -> Result<(), Error> {
    let said = &tenant.particulars;
    sqlx::query(
        "INSERT INTO tenant (id, external_id, name, time_zone, state, contacts, labels, revision, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(tenant.id.as_str())
    .bind(said.external_id.as_deref())
    .bind(&said.name)
    .bind(&said.time_zone)
    .bind(tenant.state.as_str())
    .bind(contacts(said))
    .bind(labels::encode(&said.labels))
    .bind(tenant.revision)
    .bind(tenant.created_at.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Its next revision says this.
pub async fn update(tx: &mut Tx, id: &TenantId, said: &Particulars) -> Result<(), Error> {
    sqlx::query(
        "UPDATE tenant SET external_id = $2, name = $3, time_zone = $4, contacts = $5, labels = $6,
                revision = revision + 1
          WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(said.external_id.as_deref())
    .bind(&said.name)
    .bind(&said.time_zone)
    .bind(contacts(said))
    .bind(labels::encode(&said.labels))
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn set_state(tx: &mut Tx, id: &TenantId, state: State) -> Result<(), Error> {
    sqlx::query("UPDATE tenant SET state = $2, revision = revision + 1 WHERE id = $1")
        .bind(id.as_str())
        .bind(state.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The row stays, so that the id never comes back; the external id is free again.
pub async fn delete(tx: &mut Tx, id: &TenantId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE tenant SET state = 'deleted', external_id = NULL, contacts = '[]', labels = '{}',
                revision = revision + 1
          WHERE id = $1",
    )
    .bind(id.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn belongings(tx: &mut Tx, id: &TenantId) -> Result<Belongings, Error> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM server WHERE tenant_id = $1) AS servers,
                (SELECT COUNT(*) FROM credential WHERE tenant_id = $1 AND kind = 'saved') AS credentials,
                (SELECT COUNT(*) FROM credential c
                  WHERE c.tenant_id = $1 AND c.kind = 'managed'
                    AND (EXISTS (SELECT 1 FROM held_reference h WHERE h.subject = c.id)
                         OR EXISTS (SELECT 1 FROM credential_version v
                                     WHERE v.credential_id = c.id AND v.state IN ('staged', 'active', 'grace'))))
                    AS accesses",
    )
    .bind(id.as_str())
    .fetch_one(tx.conn())
    .await?;
    Ok(Belongings {
        servers: row.int("servers")?,
        credentials: row.int("credentials")?,
        accesses: row.int("accesses")?,
    })
}

/// How many of its servers have a management key.
pub async fn managed_servers(tx: &mut Tx, id: &TenantId) -> Result<i64, Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS managed FROM server WHERE tenant_id = $1 AND management_credential_id IS NOT NULL",
    )
    .bind(id.as_str())
    .fetch_one(tx.conn())
    .await?;
    row.int("managed")
}

pub async fn servers(tx: &mut Tx, id: &TenantId) -> Result<Vec<ServerId>, Error> {
    let rows = sqlx::query("SELECT id FROM server WHERE tenant_id = $1 ORDER BY id")
        .bind(id.as_str())
        .fetch_all(tx.conn())
        .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

/// Saved and managed.
pub async fn credentials(tx: &mut Tx, id: &TenantId) -> Result<Vec<CredentialId>, Error> {
    let rows = sqlx::query("SELECT id FROM credential WHERE tenant_id = $1 ORDER BY id")
        .bind(id.as_str())
        .fetch_all(tx.conn())
        .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

pub async fn find_in(tx: &mut Tx, id: &TenantId) -> Result<Option<Tenant>, Error> {
    let row = sqlx::query(
        "SELECT id, external_id, name, time_zone, state, contacts, labels, revision, created_at FROM tenant
          WHERE id = $1 AND state <> 'deleted'",
    )
    .bind(id.as_str())
    .fetch_optional(tx.conn())
    .await?;
    row.as_ref().map(read).transpose()
}

/// None for one that never was, or is deleted.
pub async fn state_in(tx: &mut Tx, id: &TenantId) -> Result<Option<State>, Error> {
    let row = sqlx::query("SELECT state FROM tenant WHERE id = $1 AND state <> 'deleted'")
        .bind(id.as_str())
        .fetch_optional(tx.conn())
        .await?;
    row.map(|row| row.text("state")).transpose()
}

pub async fn state(db: &Db, id: &TenantId) -> Result<Option<State>, Error> {
    let row = sqlx::query("SELECT state FROM tenant WHERE id = $1 AND state <> 'deleted'")
        .bind(id.as_str())
        .fetch_optional(db.read())
        .await?;
    row.map(|row| row.text("state")).transpose()
}

pub async fn get(db: &Db, id: &TenantId) -> Result<Option<Tenant>, Error> {
    let row = sqlx::query(
        "SELECT id, external_id, name, time_zone, state, contacts, labels, revision, created_at FROM tenant
          WHERE id = $1 AND state <> 'deleted'",
    )
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
        "SELECT id, external_id, name, time_zone, state, contacts, labels, revision, created_at FROM tenant
          WHERE (created_at < $1 OR (created_at = $1 AND id < $2))
            AND ($3 = '' OR id = $3)
            AND state <> 'deleted'
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

/// At most ten of them, deleted ones too, in no order.
pub async fn named(db: &Db, ids: &[TenantId]) -> Result<Vec<Tenant>, Error> {
    let id = |at: usize| ids.get(at).map_or("", TenantId::as_str);
    let rows = sqlx::query(
        "SELECT id, external_id, name, time_zone, state, contacts, labels, revision, created_at FROM tenant
          WHERE id IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(id(0))
    .bind(id(1))
    .bind(id(2))
    .bind(id(3))
    .bind(id(4))
    .bind(id(5))
    .bind(id(6))
    .bind(id(7))
    .bind(id(8))
    .bind(id(9))
    .fetch_all(db.read())
    .await?;
    rows.iter().map(read).collect()
}

fn contacts(said: &Particulars) -> String {
    serde_json::to_string(&said.contacts).unwrap_or_else(|_| "[]".to_owned())
}

fn read(row: &AnyRow) -> Result<Tenant, Error> {
    let contacts: String = row.text("contacts")?;
    Ok(Tenant {
        id: row.text("id")?,
        particulars: Particulars {
            name: row.text("name")?,
            external_id: row.opt_text("external_id")?,
            time_zone: row.text("time_zone")?,
            contacts: serde_json::from_str(&contacts).map_err(|_| Error::Corrupt("contacts".to_owned()))?,
            labels: labels::decode(&row.text::<String>("labels")?)?,
        },
        state: row.text("state")?,
        revision: row.int("revision")?,
        created_at: row.int("created_at")?,
    })
}
