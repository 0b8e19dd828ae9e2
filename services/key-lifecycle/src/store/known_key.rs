//! Which keys are ours, and where they belong: what a scan is judged by.

use super::{Connection, line_options, policy, read_key};
use crate::model::{
    Enforcer, Here, Known, KnownKey, KnownManagement, LineState, ManagementState, VersionState,
};
use keywright_domain::account::AccountName;
use keywright_domain::ids::{AccessId, ServerId, TenantId};
use keywright_domain::key::PublicKey;
use keywright_storage::{Columns, Error};
use sqlx::any::AnyRow;
use std::collections::{HashMap, HashSet};

/// The revision of each access of the server: one that changes during a scan is not compared with it.
pub async fn revisions(conn: &mut Connection, server: &ServerId) -> Result<HashMap<AccessId, i64>, Error> {
    let rows = sqlx::query(
        "SELECT id, revision FROM access WHERE id IN (SELECT access_id FROM access_host WHERE server_id = $1)",
    )
    .bind(server.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((row.text("id")?, row.int("revision")?))).collect()
}

/// The accounts that accesses and the management key use on the server.
pub async fn accounts(conn: &mut Connection, server: &ServerId) -> Result<Vec<AccountName>, Error> {
    let rows = sqlx::query(
        "SELECT account FROM host_account WHERE server_id = $1
          UNION SELECT username FROM management WHERE server_id = $1 AND removed_at IS NULL",
    )
    .bind(server.as_str())
    .fetch_all(conn)
    .await?;
    let names: Result<Vec<String>, Error> = rows.iter().map(|row| row.text("account")).collect();
    Ok(names?.iter().filter_map(|name| AccountName::parse(name).ok()).collect())
}

/// `before`: the revisions as they were when the scan began. `shown`: the keys that it shows, in OpenSSH's form.
/// `named`: the accesses that its comments name.
pub async fn of_server(
    conn: &mut Connection,
    server: &ServerId,
    before: &HashMap<AccessId, i64>,
    shown: &HashSet<String>,
    named: &HashSet<AccessId>,
) -> Result<Known, Error> {
    let mut known = Known { keys: here(conn, server, before).await?, ..Known::default() };
    known.management = management(conn, server).await?;
    let ours: HashSet<String> = known.keys.iter().map(|key| key.public_key.openssh()).collect();
    let managing: HashSet<String> = known.management.iter().map(|key| key.public_key.openssh()).collect();
    for key in shown.iter().filter(|key| !ours.contains(*key) && !managing.contains(*key)) {
        known.keys.extend(elsewhere(conn, key).await?);
        known.management.extend(managing_elsewhere(conn, key).await?);
    }
    for access in named {
        if super::access::find(conn, access).await?.is_some() {
            known.accesses.insert(access.clone());
        }
    }
    Ok(known)
}

async fn here(
    conn: &mut Connection,
    server: &ServerId,
    before: &HashMap<AccessId, i64>,
) -> Result<Vec<KnownKey>, Error> {
    let rows = sqlx::query(
        "SELECT v.access_id, v.number, v.state, v.public_key, v.compromised_at, l.state AS line_state, l.enforced_by,
                a.account, a.tenant_id, a.revision,
                (SELECT COUNT(*) FROM rotation r WHERE r.access_id = a.id AND r.state IN ('RUNNING', 'CONVERGING')) AS busy
           FROM host_line l
           JOIN key_version v ON v.id = l.version_id
           JOIN access a ON a.id = l.access_id
          WHERE l.server_id = $1 AND v.public_key IS NOT NULL
          ORDER BY v.access_id, v.number",
    )
    .bind(server.as_str())
    .fetch_all(&mut *conn)
    .await?;
    let mut options = HashMap::new();
    let mut keys = Vec::new();
    for row in &rows {
        let access: AccessId = row.text("access_id")?;
        if !options.contains_key(&access) {
            let tenant: TenantId = row.text("tenant_id")?;
            let settings = policy::effective(conn, &tenant, Some(&access)).await?;
            let known = line_options::of(conn, &access, server).await?;
            options.insert(access.clone(), known.proven(settings.line_options));
        }
        let Some(mut key) = known(row)? else { continue };
        let (state, line): (VersionState, LineState) = (row.text("state")?, row.text("line_state")?);
        let enforcer: Option<Enforcer> = row.opt_text("enforced_by")?;
        let leaving = matches!(line, LineState::RemovalPending | LineState::RemovedProven);
        if state.is_live() && !leaving {
            key.here = Some(Here {
                account: row.text("account")?,
                installed: matches!(line, LineState::Installed | LineState::Expiring),
                settled: row.int::<i64>("busy")? == 0 && before.get(&access) == Some(&row.int("revision")?),
                ends: state == VersionState::Grace && enforcer == Some(Enforcer::Sshd),
                options: options.get(&access).cloned().unwrap_or_default(),
            });
        }
        keys.push(key);
    }
    Ok(keys)
}

async fn elsewhere(conn: &mut Connection, key: &str) -> Result<Option<KnownKey>, Error> {
    let row = sqlx::query(
        "SELECT access_id, number, public_key, compromised_at FROM key_version WHERE public_key = $1
          ORDER BY COALESCE(compromised_at, 0) DESC LIMIT 1",
    )
    .bind(key)
    .fetch_optional(conn)
    .await?;
    Ok(row.as_ref().map(known).transpose()?.flatten())
}

fn known(row: &AnyRow) -> Result<Option<KnownKey>, Error> {
    let Some(public_key) = read_key(row, "public_key")? else { return Ok(None) };
    Ok(Some(KnownKey {
        public_key,
        access: row.text("access_id")?,
        version: row.int("number")?,
        compromised: row.opt_int::<i64>("compromised_at")?.is_some(),
        here: None,
    }))
}

async fn management(conn: &mut Connection, server: &ServerId) -> Result<Vec<KnownManagement>, Error> {
    let rows = sqlx::query(
        "SELECT public_key, username, state, removed_at FROM management
          WHERE server_id = $1 AND public_key IS NOT NULL",
    )
    .bind(server.as_str())
    .fetch_all(conn)
    .await?;
    let mut keys = Vec::new();
    for row in &rows {
        let Some(public_key) = read_key(row, "public_key")? else { continue };
        let state: ManagementState = row.text("state")?;
        let gone = state == ManagementState::Failed || row.opt_int::<i64>("removed_at")?.is_some();
        let account = if gone { None } else { Some(row.text("username")?) };
        keys.push(KnownManagement { public_key, account });
    }
    Ok(keys)
}

async fn managing_elsewhere(conn: &mut Connection, key: &str) -> Result<Option<KnownManagement>, Error> {
    let row = sqlx::query("SELECT id FROM management WHERE public_key = $1 LIMIT 1")
        .bind(key)
        .fetch_optional(conn)
        .await?;
    let public_key = row.and_then(|_| PublicKey::parse_openssh(key).ok());
    Ok(public_key.map(|public_key| KnownManagement { public_key, account: None }))
}

/// Whether a look at the server is under way: what credential-store asks before it signs for one.
pub async fn is_looked_at(conn: &mut Connection, work: &str, now: i64) -> Result<bool, Error> {
    let row = sqlx::query("SELECT id FROM lease WHERE id = $1 AND lease_until > $2")
        .bind(work)
        .bind(now)
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}
