//! Rotations.

use super::{Connection, Moment};
use crate::model::{Rotation, RotationState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, CampaignId, RotationId, ServerId, VersionId};
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;
use std::time::Duration;

pub async fn insert(tx: &mut Tx, rotation: &Rotation) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO rotation (id, tenant_id, access_id, kind, state, old_version_id, new_version_id, grace_micros,
                               drops_rotation_id, comment, created_at, reason, message, next_at, automatic_at,
                               campaign_id, server_id, leaves_behind_at, promoted_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '', '', $12, $13, $14, $15, $16, $17)",
    )
    .bind(rotation.id.as_str())
    .bind(rotation.tenant.as_str())
    .bind(rotation.access.as_str())
    .bind(rotation.kind.as_str())
    .bind(rotation.state.as_str())
    .bind(rotation.old_version.as_ref().map(VersionId::as_str))
    .bind(rotation.new_version.as_str())
    .bind(i64::try_from(rotation.grace.as_micros()).unwrap_or(i64::MAX))
    .bind(rotation.drops.as_ref().map(RotationId::as_str))
    .bind(&rotation.comment)
    .bind(rotation.created_at.micros())
    .bind(rotation.next_at.map(Instant::micros))
    .bind(rotation.automatic.then_some(rotation.created_at.micros()))
    .bind(rotation.campaign.as_ref().map(CampaignId::as_str))
    .bind(rotation.server.as_ref().map(ServerId::as_str))
    .bind(rotation.leaves_behind.then_some(rotation.created_at.micros()))
    .bind(rotation.promoted_at.map(Instant::micros))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Everything that changes about a rotation after its start.
pub async fn update(tx: &mut Tx, rotation: &Rotation) -> Result<(), Error> {
    sqlx::query(
        "UPDATE rotation SET state = $2, promoted_at = $3, grace_ends_at = $4, grace_ended_at = $5, finished_at = $6,
                failing_at = $7, reason = $8, message = $9, next_at = $10
          WHERE id = $1",
    )
    .bind(rotation.id.as_str())
    .bind(rotation.state.as_str())
    .bind(rotation.promoted_at.map(Instant::micros))
    .bind(rotation.grace_ends_at.map(Instant::micros))
    .bind(rotation.grace_ended_at.map(Instant::micros))
    .bind(rotation.finished_at.map(Instant::micros))
    .bind(rotation.failing_at.map(Instant::micros))
    .bind(&rotation.reason)
    .bind(&rotation.message)
    .bind(rotation.next_at.map(Instant::micros))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A revocation won: those that run are SUPERSEDED, and no grace end is owed by anyone.
pub async fn supersede(tx: &mut Tx, access: &AccessId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE rotation SET state = 'SUPERSEDED', finished_at = $2, reason = 'ACCESS_REVOKED',
                message = 'The access was revoked.'
          WHERE access_id = $1 AND state IN ('RUNNING', 'CONVERGING')",
    )
    .bind(access.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    sqlx::query("UPDATE rotation SET next_at = NULL WHERE access_id = $1")
        .bind(access.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The grace of this rotation's old key ends now.
pub async fn end_grace_now(tx: &mut Tx, id: &RotationId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE rotation SET grace_ends_at = $2, next_at = $2
          WHERE id = $1 AND grace_ended_at IS NULL AND grace_ends_at > $2 AND next_at IS NOT NULL",
    )
    .bind(id.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The old key of this rotation stays valid until `end`, if its grace still runs and ends before; false otherwise. Each
/// host that was told the earlier end is told the new one: its steps are due again at once.
pub async fn extend_grace(tx: &mut Tx, id: &RotationId, end: Instant) -> Result<bool, Error> {
    let now = tx.now().micros();
    let end = end.ceil_to_second().micros();
    let done = sqlx::query(
        "UPDATE rotation SET grace_ends_at = $2, grace_extended_at = $3, next_at = $3
          WHERE id = $1 AND promoted_at IS NOT NULL AND grace_ended_at IS NULL AND grace_ends_at > $3
            AND grace_ends_at < $2 AND next_at IS NOT NULL",
    )
    .bind(id.as_str())
    .bind(end)
    .bind(now)
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE rotation_step SET state = 'PENDING', not_before = 0
          WHERE rotation_id = $1 AND name = 'expire_old' AND state <> 'UNDONE'",
    )
    .bind(id.as_str())
    .execute(tx.conn())
    .await?;
    Ok(true)
}

/// What the campaign began for the access, the last first.
pub async fn of_campaign(
    conn: &mut Connection,
    campaign: &CampaignId,
    access: &AccessId,
) -> Result<Option<Rotation>, Error> {
    let row = sqlx::query(
        "SELECT id, tenant_id, access_id, kind, state, old_version_id, new_version_id, grace_micros, drops_rotation_id,
                comment, created_at, promoted_at, grace_ends_at, grace_ended_at, finished_at, failing_at, reason, message,
                next_at, automatic_at, campaign_id, server_id, leaves_behind_at, grace_extended_at
           FROM rotation WHERE campaign_id = $1 AND access_id = $2 ORDER BY created_at DESC, id DESC LIMIT 1",
    )
    .bind(campaign.as_str())
    .bind(access.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(rotation).transpose()
}

pub async fn find(conn: &mut Connection, id: &RotationId) -> Result<Option<Rotation>, Error> {
    let row = sqlx::query(
        "SELECT id, tenant_id, access_id, kind, state, old_version_id, new_version_id, grace_micros, drops_rotation_id,
                comment, created_at, promoted_at, grace_ends_at, grace_ended_at, finished_at, failing_at, reason, message,
                next_at, automatic_at, campaign_id, server_id, leaves_behind_at, grace_extended_at
           FROM rotation WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(rotation).transpose()
}

/// Newest first.
pub async fn of(conn: &mut Connection, access: &AccessId, limit: i64) -> Result<Vec<Rotation>, Error> {
    let rows = sqlx::query(
        "SELECT id, tenant_id, access_id, kind, state, old_version_id, new_version_id, grace_micros, drops_rotation_id,
                comment, created_at, promoted_at, grace_ends_at, grace_ended_at, finished_at, failing_at, reason, message,
                next_at, automatic_at, campaign_id, server_id, leaves_behind_at, grace_extended_at
           FROM rotation WHERE access_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2",
    )
    .bind(access.as_str())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(rotation).collect()
}

/// The one that has not brought its key into use yet, if any. One that has, and waits for a host that is away, holds up
/// nothing.
pub async fn running(conn: &mut Connection, access: &AccessId) -> Result<Option<Rotation>, Error> {
    let row = sqlx::query(
        "SELECT id, tenant_id, access_id, kind, state, old_version_id, new_version_id, grace_micros, drops_rotation_id,
                comment, created_at, promoted_at, grace_ends_at, grace_ended_at, finished_at, failing_at, reason, message,
                next_at, automatic_at, campaign_id, server_id, leaves_behind_at, grace_extended_at
           FROM rotation WHERE access_id = $1 AND state = 'RUNNING' ORDER BY created_at DESC LIMIT 1",
    )
    .bind(access.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(rotation).transpose()
}

/// The removal of this host that still runs, if any.
pub async fn removal(
    conn: &mut Connection,
    access: &AccessId,
    server: &ServerId,
) -> Result<Option<Rotation>, Error> {
    let row = sqlx::query(
        "SELECT id, tenant_id, access_id, kind, state, old_version_id, new_version_id, grace_micros, drops_rotation_id,
                comment, created_at, promoted_at, grace_ends_at, grace_ended_at, finished_at, failing_at, reason, message,
                next_at, automatic_at, campaign_id, server_id, leaves_behind_at, grace_extended_at
           FROM rotation
          WHERE access_id = $1 AND server_id = $2 AND kind = 'REMOVE_HOST' AND state IN ('RUNNING', 'CONVERGING')",
    )
    .bind(access.as_str())
    .bind(server.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(rotation).transpose()
}

/// Whatever is open of the access is looked at again now.
pub async fn wake(tx: &mut Tx, access: &AccessId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE rotation SET next_at = $2 WHERE access_id = $1 AND next_at > $2")
        .bind(access.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The grace has to end on a further host.
pub async fn reopen_grace(tx: &mut Tx, id: &RotationId) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query("UPDATE rotation SET grace_ended_at = NULL, next_at = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Those that run and have not promoted their key, of every access.
pub async fn unpromoted(conn: &mut Connection) -> Result<Vec<Rotation>, Error> {
    let rows = sqlx::query(
        "SELECT id, tenant_id, access_id, kind, state, old_version_id, new_version_id, grace_micros, drops_rotation_id,
                comment, created_at, promoted_at, grace_ends_at, grace_ended_at, finished_at, failing_at, reason, message,
                next_at, automatic_at, campaign_id, server_id, leaves_behind_at, grace_extended_at
           FROM rotation WHERE state = 'RUNNING' AND promoted_at IS NULL AND next_at IS NOT NULL ORDER BY id",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(rotation).collect()
}

/// When the grace of each version ends that has one, and by which rotation.
pub async fn graces(
    conn: &mut Connection,
    access: &AccessId,
) -> Result<Vec<(VersionId, Instant, RotationId)>, Error> {
    let rows = sqlx::query(
        "SELECT id, old_version_id, grace_ends_at FROM rotation
          WHERE access_id = $1 AND old_version_id IS NOT NULL AND grace_ends_at IS NOT NULL",
    )
    .bind(access.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| Ok((row.text("old_version_id")?, row.int("grace_ends_at")?, row.text("id")?)))
        .collect()
}

/// What is to be driven now and nobody drives; of what is not concluded, what a clock that has gone back since put off too.
pub async fn due(conn: &mut Connection, moment: Moment, limit: i64) -> Result<Vec<RotationId>, Error> {
    let rows = sqlx::query(
        "SELECT id FROM rotation
          WHERE (next_at <= $1 OR (next_at > $2 AND state IN ('RUNNING', 'CONVERGING')))
            AND NOT EXISTS (SELECT 1 FROM lease l
                             WHERE l.id = rotation.id AND l.lease_until >= $1 AND l.lease_until <= $3)
          ORDER BY next_at LIMIT $4",
    )
    .bind(moment.now.micros())
    .bind(moment.latest_pause.micros())
    .bind(moment.latest_lease.micros())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

fn rotation(row: &AnyRow) -> Result<Rotation, Error> {
    let state: RotationState = row.text("state")?;
    Ok(Rotation {
        id: row.text("id")?,
        tenant: row.text("tenant_id")?,
        access: row.text("access_id")?,
        kind: row.text("kind")?,
        state,
        old_version: row.opt_text("old_version_id")?,
        new_version: row.text("new_version_id")?,
        grace: Duration::from_micros(row.int::<u64>("grace_micros")?),
        drops: row.opt_text("drops_rotation_id")?,
        comment: row.text("comment")?,
        created_at: row.int("created_at")?,
        promoted_at: row.opt_int("promoted_at")?,
        grace_ends_at: row.opt_int("grace_ends_at")?,
        grace_ended_at: row.opt_int("grace_ended_at")?,
        finished_at: row.opt_int("finished_at")?,
        failing_at: row.opt_int("failing_at")?,
        reason: row.text("reason")?,
        message: row.text("message")?,
        next_at: row.opt_int("next_at")?,
        automatic: row.opt_int::<i64>("automatic_at")?.is_some(),
        campaign: row.opt_text("campaign_id")?,
        server: row.opt_text("server_id")?,
        leaves_behind: row.opt_int::<i64>("leaves_behind_at")?.is_some(),
        grace_extended_at: row.opt_int("grace_extended_at")?,
    })
}
