//! Policies: what each level says, and what holds for an access.

use super::{Connection, list, read_list};
use crate::model::{Effective, Level, OwnSettings, Policy, Settings, Window};
use keywright_domain::authorized_keys::LineOption;
use keywright_domain::ids::{AccessId, TenantId};
use keywright_storage::{Columns, Error, Tx};
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::HashMap;
use std::time::Duration;

/// The platform's row.
const PLATFORM: &str = "";
/// The window that is always open.
const ANY: &str = "any";

/// Platform, tenant and access applied in this order; without an access, what a new one of the tenant gets.
pub async fn effective(
    conn: &mut Connection,
    tenant: &TenantId,
    access: Option<&AccessId>,
) -> Result<Settings, Error> {
    Ok(holds(conn, Some(tenant), access).await?.settings)
}

/// For keys that belong to no tenant.
pub async fn platform(conn: &mut Connection) -> Result<Settings, Error> {
    Ok(holds(conn, None, None).await?.settings)
}

/// The same with the origin of each setting; of nobody, the platform's.
pub async fn holds(
    conn: &mut Connection,
    tenant: Option<&TenantId>,
    access: Option<&AccessId>,
) -> Result<Effective, Error> {
    let levels = [
        (Level::Platform, Some(PLATFORM)),
        (Level::Tenant, tenant.map(TenantId::as_str)),
        (Level::Access, access.map(AccessId::as_str)),
    ];
    let rows = sqlx::query(
        "SELECT subject, key_algorithm, maximum_age_secs, grace_period_secs, automatic_rotation, rotation_window,
                line_options, downloads_per_version, forget_after_download, passphrase_required, client_made_required,
                promote_with_outstanding, drift_action, revision, updated_at, updated_by
           FROM policy WHERE subject IN ('', $1, $2)",
    )
    .bind(tenant.map_or(PLATFORM, TenantId::as_str))
    .bind(access.map_or(PLATFORM, AccessId::as_str))
    .fetch_all(conn)
    .await?;
    let mut effective = Effective::default();
    for (level, subject) in levels {
        for row in &rows {
            if subject == Some(row.text::<String>("subject")?.as_str()) {
                effective.apply(level, &policy(row)?.own);
            }
        }
    }
    Ok(effective)
}

/// Every level of everybody, for whoever asks about many accesses.
pub struct Policies(HashMap<String, OwnSettings>);

impl Policies {
    pub async fn read(conn: &mut Connection) -> Result<Self, Error> {
        let rows = sqlx::query(
            "SELECT subject, key_algorithm, maximum_age_secs, grace_period_secs, automatic_rotation, rotation_window,
                    line_options, downloads_per_version, forget_after_download, passphrase_required,
                    client_made_required, promote_with_outstanding, drift_action, revision, updated_at, updated_by
               FROM policy",
        )
        .fetch_all(conn)
        .await?;
        let levels = rows.iter().map(|row| Ok((row.text("subject")?, policy(row)?.own)));
        Ok(Self(levels.collect::<Result<_, Error>>()?))
    }

    pub fn effective(&self, tenant: &TenantId, access: &AccessId) -> Settings {
        let levels =
            [(Level::Platform, PLATFORM), (Level::Tenant, tenant.as_str()), (Level::Access, access.as_str())];
        let mut effective = Effective::default();
        for (level, subject) in levels {
            if let Some(own) = self.0.get(subject) {
                effective.apply(level, own);
            }
        }
        effective.settings
    }
}

/// What the access, else the tenant, else the platform says by itself; None if it never said anything.
pub async fn find(
    conn: &mut Connection,
    tenant: Option<&TenantId>,
    access: Option<&AccessId>,
) -> Result<Option<Policy>, Error> {
    let row = sqlx::query(
        "SELECT key_algorithm, maximum_age_secs, grace_period_secs, automatic_rotation, rotation_window, line_options,
                downloads_per_version, forget_after_download, passphrase_required, client_made_required,
                promote_with_outstanding, drift_action, revision, updated_at, updated_by
           FROM policy WHERE subject = $1",
    )
    .bind(subject(tenant, access))
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(policy).transpose()
}

/// All own settings of the level at once, under the next revision.
pub async fn put(
    tx: &mut Tx,
    tenant: Option<&TenantId>,
    access: Option<&AccessId>,
    own: &OwnSettings,
    by: &str,
) -> Result<(), Error> {
    let now = tx.now().micros();
    let options = own
        .line_options
        .as_ref()
        .map(|options| list(&options.iter().map(|option| option.as_str().to_owned()).collect::<Vec<_>>()));
    sqlx::query(
        "INSERT INTO policy (subject, key_algorithm, maximum_age_secs, grace_period_secs, automatic_rotation,
                rotation_window, line_options, downloads_per_version, forget_after_download, passphrase_required,
                client_made_required, promote_with_outstanding, drift_action, revision, updated_at, updated_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, $14, $15)
         ON CONFLICT (subject) DO UPDATE SET key_algorithm = $2, maximum_age_secs = $3, grace_period_secs = $4,
                automatic_rotation = $5, rotation_window = $6, line_options = $7, downloads_per_version = $8,
                forget_after_download = $9, passphrase_required = $10, client_made_required = $11,
                promote_with_outstanding = $12, drift_action = $13, revision = policy.revision + 1, updated_at = $14,
                updated_by = $15",
    )
    .bind(subject(tenant, access))
    .bind(own.key_algorithm.map(|algorithm| algorithm.as_str()))
    .bind(own.maximum_age.map(seconds))
    .bind(own.grace_period.map(seconds))
    .bind(own.automatic_rotation.map(i64::from))
    .bind(own.rotation_window.as_ref().map(window_text))
    .bind(options)
    .bind(own.downloads_per_version.map(i64::from))
    .bind(own.forget_after_download.map(i64::from))
    .bind(own.passphrase_required.map(i64::from))
    .bind(own.client_made_required.map(i64::from))
    .bind(own.promote_with_outstanding.map(i64::from))
    .bind(own.drift_action.map(|action| action.as_str()))
    .bind(now)
    .bind(by)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// No level says less; where the platform says nothing, its default counts.
pub async fn shortest_maximum_age(conn: &mut Connection) -> Result<Duration, Error> {
    let row = sqlx::query(
        "SELECT MIN(maximum_age_secs) AS shortest,
                COALESCE(MAX(CASE WHEN subject = '' THEN maximum_age_secs END), 0) AS platform FROM policy",
    )
    .fetch_one(conn)
    .await?;
    let shortest = row.opt_int::<u64>("shortest")?.map(Duration::from_secs);
    let platform = Some(row.int::<u64>("platform")?).filter(|secs| *secs > 0);
    let platform = platform.map_or(Settings::default().maximum_age, Duration::from_secs);
    Ok(shortest.map_or(platform, |shortest| shortest.min(platform)))
}

fn subject<'a>(tenant: Option<&'a TenantId>, access: Option<&'a AccessId>) -> &'a str {
    access.map(AccessId::as_str).or(tenant.map(TenantId::as_str)).unwrap_or(PLATFORM)
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

fn window_text(window: &Option<Window>) -> String {
    let json = window.as_ref().and_then(|window| serde_json::to_string(window).ok());
    json.unwrap_or_else(|| ANY.to_owned())
}

fn read_window(row: &AnyRow) -> Result<Option<Option<Window>>, Error> {
    let text: Option<String> = row.opt_text("rotation_window")?;
    match text.as_deref() {
        None => Ok(None),
        Some(ANY) => Ok(Some(None)),
        Some(json) => {
            let window = serde_json::from_str(json);
            Ok(Some(Some(window.map_err(|_| Error::Corrupt("rotation_window".to_owned()))?)))
        }
    }
}

fn read_options(row: &AnyRow) -> Result<Option<Vec<LineOption>>, Error> {
    if row.opt_text::<String>("line_options")?.is_none() {
        return Ok(None);
    }
    let texts = read_list(row, "line_options")?;
    let options: Result<Vec<_>, _> = texts.iter().map(|text| LineOption::parse(text)).collect();
    options.map(Some).map_err(|_| Error::Corrupt("line_options".to_owned()))
}

fn policy(row: &AnyRow) -> Result<Policy, Error> {
    let flag = |column: &str| Ok::<_, Error>(row.try_get::<Option<i64>, _>(column)?.map(|flag| flag != 0));
    let span = |column: &str| Ok::<_, Error>(row.opt_int::<u64>(column)?.map(Duration::from_secs));
    Ok(Policy {
        own: OwnSettings {
            key_algorithm: row.opt_text("key_algorithm")?,
            maximum_age: span("maximum_age_secs")?,
            grace_period: span("grace_period_secs")?,
            automatic_rotation: flag("automatic_rotation")?,
            rotation_window: read_window(row)?,
            line_options: read_options(row)?,
            downloads_per_version: row.opt_int("downloads_per_version")?,
            forget_after_download: flag("forget_after_download")?,
            passphrase_required: flag("passphrase_required")?,
            client_made_required: flag("client_made_required")?,
            promote_with_outstanding: flag("promote_with_outstanding")?,
            drift_action: row.opt_text("drift_action")?,
        },
        revision: row.int("revision")?,
        updated_at: row.int("updated_at")?,
        updated_by: row.text("updated_by")?,
    })
}
