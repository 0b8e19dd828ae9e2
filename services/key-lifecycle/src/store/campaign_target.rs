//! The targets of campaigns.

use super::{Connection, list, read_list};
use crate::campaign::plan::{Canary, Counts, Reach};
use crate::model::{CampaignTarget, RotationState, Tally, TargetState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{CampaignId, RotationId};
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

pub async fn insert(tx: &mut Tx, campaign: &CampaignId, target: &CampaignTarget) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO campaign_target (campaign_id, position, access_id, tenant_id, account, hosts, wave, state, reason,
                                      message, due_at, attempts)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0)",
    )
    .bind(campaign.as_str())
    .bind(target.position)
    .bind(target.access.as_str())
    .bind(target.tenant.as_str())
    .bind(&target.account)
    .bind(list(&target.hosts))
    .bind(i64::from(target.wave))
    .bind(target.state.as_str())
    .bind(&target.reason)
    .bind(&target.message)
    .bind(target.due_at.map(Instant::micros))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Everything that changes about a target after its insertion.
pub async fn update(tx: &mut Tx, campaign: &CampaignId, target: &CampaignTarget) -> Result<(), Error> {
    sqlx::query(
        "UPDATE campaign_target SET state = $3, rotation_id = $4, reason = $5, message = $6, trying_at = $7,
                attempts = $8, again_at = $9, give_up_at = $10
          WHERE campaign_id = $1 AND position = $2",
    )
    .bind(campaign.as_str())
    .bind(target.position)
    .bind(target.state.as_str())
    .bind(target.rotation.as_ref().map(RotationId::as_str))
    .bind(&target.reason)
    .bind(&target.message)
    .bind(target.trying_at.map(Instant::micros))
    .bind(i64::from(target.attempts))
    .bind(target.again_at.map(Instant::micros))
    .bind(target.give_up_at.map(Instant::micros))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Nothing further is begun of what has no place. Those whose rotation goes on by itself have their new key.
pub async fn cancel(tx: &mut Tx, campaign: &CampaignId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE campaign_target SET state = CASE WHEN state = 'CATCH_UP' AND again_at IS NULL THEN 'SUCCEEDED'
                                                 ELSE 'CANCELLED' END
          WHERE campaign_id = $1 AND state IN ('PENDING', 'CATCH_UP') AND trying_at IS NULL",
    )
    .bind(campaign.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// An operator goes on in spite of how the wave stands: what waits for a host is tried once more at once.
pub async fn excuse(tx: &mut Tx, campaign: &CampaignId, wave: u32) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE campaign_target SET excused_at = $3 WHERE campaign_id = $1 AND wave = $2 AND excused_at IS NULL
                AND state IN ('SUCCEEDED', 'FAILED', 'CATCH_UP', 'SKIPPED')",
    )
    .bind(campaign.as_str())
    .bind(i64::from(wave))
    .bind(now)
    .execute(tx.conn())
    .await?;
    sqlx::query(
        "UPDATE campaign_target SET again_at = $2
          WHERE campaign_id = $1 AND state = 'CATCH_UP' AND trying_at IS NULL AND again_at > $2",
    )
    .bind(campaign.as_str())
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Some of the targets of a campaign that never was begun; false when none is left.
pub async fn discard_some(tx: &mut Tx, campaign: &CampaignId, most: i64) -> Result<bool, Error> {
    let done = sqlx::query(
        "DELETE FROM campaign_target WHERE campaign_id = $1 AND position IN
                (SELECT position FROM campaign_target WHERE campaign_id = $1 ORDER BY position LIMIT $2)",
    )
    .bind(campaign.as_str())
    .bind(most)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The next one of the waves that are open.
pub async fn first_pending(
    conn: &mut Connection,
    campaign: &CampaignId,
    wave: u32,
) -> Result<Option<CampaignTarget>, Error> {
    let row = sqlx::query(
        "SELECT position, access_id, tenant_id, account, hosts, wave, state, rotation_id, reason, message, due_at,
                trying_at, attempts, again_at, give_up_at
           FROM campaign_target WHERE campaign_id = $1 AND state = 'PENDING' AND wave <= $2 ORDER BY position LIMIT 1",
    )
    .bind(campaign.as_str())
    .bind(i64::from(wave))
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(target).transpose()
}

/// The one that has waited longest for a host to be back.
pub async fn first_again(
    conn: &mut Connection,
    campaign: &CampaignId,
    now: Instant,
) -> Result<Option<CampaignTarget>, Error> {
    let row = sqlx::query(
        "SELECT position, access_id, tenant_id, account, hosts, wave, state, rotation_id, reason, message, due_at,
                trying_at, attempts, again_at, give_up_at
           FROM campaign_target
          WHERE campaign_id = $1 AND state = 'CATCH_UP' AND trying_at IS NULL AND again_at <= $2
          ORDER BY again_at, position LIMIT 1",
    )
    .bind(campaign.as_str())
    .bind(now.micros())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(target).transpose()
}

/// One that has a place and no rotation.
pub async fn first_unbegun(
    conn: &mut Connection,
    campaign: &CampaignId,
) -> Result<Option<CampaignTarget>, Error> {
    let row = sqlx::query(
        "SELECT position, access_id, tenant_id, account, hosts, wave, state, rotation_id, reason, message, due_at,
                trying_at, attempts, again_at, give_up_at
           FROM campaign_target
          WHERE campaign_id = $1 AND trying_at IS NOT NULL AND rotation_id IS NULL ORDER BY position LIMIT 1",
    )
    .bind(campaign.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(target).transpose()
}

/// Some of those whose time to catch up is over.
pub async fn over(
    conn: &mut Connection,
    campaign: &CampaignId,
    now: Instant,
    most: i64,
) -> Result<Vec<CampaignTarget>, Error> {
    let rows = sqlx::query(
        "SELECT position, access_id, tenant_id, account, hosts, wave, state, rotation_id, reason, message, due_at,
                trying_at, attempts, again_at, give_up_at
           FROM campaign_target
          WHERE campaign_id = $1 AND state = 'CATCH_UP' AND trying_at IS NULL AND give_up_at <= $2
          ORDER BY position LIMIT $3",
    )
    .bind(campaign.as_str())
    .bind(now.micros())
    .bind(most)
    .fetch_all(conn)
    .await?;
    rows.iter().map(target).collect()
}

pub async fn find(
    conn: &mut Connection,
    campaign: &CampaignId,
    position: i64,
) -> Result<Option<CampaignTarget>, Error> {
    let row = sqlx::query(
        "SELECT position, access_id, tenant_id, account, hosts, wave, state, rotation_id, reason, message, due_at,
                trying_at, attempts, again_at, give_up_at
           FROM campaign_target WHERE campaign_id = $1 AND position = $2",
    )
    .bind(campaign.as_str())
    .bind(position)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(target).transpose()
}

/// After `position`, in the order of the waves, one row more than `size`; `state` empty for all.
pub async fn page(
    conn: &mut Connection,
    campaign: &CampaignId,
    state: &str,
    after: i64,
    size: i64,
) -> Result<Vec<CampaignTarget>, Error> {
    let rows = sqlx::query(
        "SELECT position, access_id, tenant_id, account, hosts, wave, state, rotation_id, reason, message, due_at,
                trying_at, attempts, again_at, give_up_at
           FROM campaign_target
          WHERE campaign_id = $1 AND ($2 = '' OR state = $2) AND position > $3 ORDER BY position LIMIT $4",
    )
    .bind(campaign.as_str())
    .bind(state)
    .bind(after)
    .bind(size.saturating_add(1))
    .fetch_all(conn)
    .await?;
    rows.iter().map(target).collect()
}

/// A target whose rotation has not come to its end, as far as the campaign knows, and how that rotation stands.
#[derive(Debug, Clone)]
pub struct Watched {
    pub position: i64,
    pub rotation: RotationId,
    pub state: RotationState,
    pub promoted: bool,
    /// Hosts do not have the promoted key yet.
    pub outstanding: bool,
    pub reason: String,
    pub message: String,
}

pub async fn watched(conn: &mut Connection, campaign: &CampaignId) -> Result<Vec<Watched>, Error> {
    let rows = sqlx::query(
        "SELECT t.position, r.id, r.state, r.promoted_at, r.reason, r.message,
                (SELECT COUNT(*) FROM rotation_step s
                  WHERE s.rotation_id = r.id AND s.name = 'prove' AND s.state <> 'DONE') AS unproven
           FROM campaign_target t JOIN rotation r ON r.id = t.rotation_id
          WHERE t.campaign_id = $1
            AND (t.trying_at IS NOT NULL OR (t.state = 'CATCH_UP' AND t.again_at IS NULL))
          ORDER BY t.position",
    )
    .bind(campaign.as_str())
    .fetch_all(conn)
    .await?;
    let read = |row: &AnyRow| {
        Ok(Watched {
            position: row.int("position")?,
            rotation: row.text("id")?,
            state: row.text("state")?,
            promoted: row.opt_int::<i64>("promoted_at")?.is_some(),
            outstanding: row.int::<i64>("unproven")? > 0,
            reason: row.text("reason")?,
            message: row.text("message")?,
        })
    };
    rows.iter().map(read).collect()
}

/// How many have one of the places.
pub async fn trying(conn: &mut Connection, campaign: &CampaignId) -> Result<u32, Error> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS trying FROM campaign_target WHERE campaign_id = $1 AND trying_at IS NOT NULL",
    )
    .bind(campaign.as_str())
    .fetch_one(conn)
    .await?;
    row.int("trying")
}

/// As the plan counts them.
pub async fn counts(
    conn: &mut Connection,
    campaign: &CampaignId,
    wave: u32,
    now: Instant,
) -> Result<Counts, Error> {
    let row = sqlx::query(
        "SELECT COUNT(CASE WHEN state = 'PENDING' AND wave <= $2 THEN 1 END) AS pending,
                COUNT(CASE WHEN state = 'PENDING' AND wave > $2 THEN 1 END) AS later,
                COUNT(CASE WHEN state = 'RUNNING' THEN 1 END) AS running,
                COUNT(CASE WHEN trying_at IS NOT NULL THEN 1 END) AS trying,
                COUNT(CASE WHEN trying_at IS NOT NULL AND rotation_id IS NULL THEN 1 END) AS unbegun,
                COUNT(CASE WHEN state = 'CATCH_UP' THEN 1 END) AS catching,
                COUNT(CASE WHEN state = 'CATCH_UP' AND trying_at IS NULL AND again_at <= $3 THEN 1 END) AS again,
                COUNT(CASE WHEN state = 'CATCH_UP' AND trying_at IS NULL AND give_up_at <= $3 THEN 1 END) AS over_now,
                COUNT(CASE WHEN state = 'CATCH_UP' AND trying_at IS NULL AND again_at IS NULL THEN 1 END) AS outstanding,
                COUNT(CASE WHEN give_up_at IS NULL AND state IN ('SUCCEEDED', 'FAILED') THEN 1 END) AS finished,
                COUNT(CASE WHEN give_up_at IS NULL AND state = 'FAILED' THEN 1 END) AS failed,
                COUNT(CASE WHEN wave = $2 AND excused_at IS NULL AND state IN ('SUCCEEDED', 'FAILED', 'CATCH_UP')
                           THEN 1 END) AS tried,
                COUNT(CASE WHEN wave = $2 AND excused_at IS NULL
                            AND ((state = 'CATCH_UP' AND again_at IS NOT NULL) OR (state = 'FAILED' AND give_up_at IS NOT NULL))
                           THEN 1 END) AS down,
                MIN(CASE WHEN state = 'CATCH_UP' AND trying_at IS NULL AND again_at > $3 THEN again_at END) AS next_try,
                MIN(CASE WHEN state = 'CATCH_UP' AND trying_at IS NULL AND give_up_at > $3 THEN give_up_at END) AS next_end
           FROM campaign_target WHERE campaign_id = $1",
    )
    .bind(campaign.as_str())
    .bind(i64::from(wave))
    .bind(now.micros())
    .fetch_one(&mut *conn)
    .await?;
    let next_try: Option<Instant> = row.opt_int("next_try")?;
    let next_end: Option<Instant> = row.opt_int("next_end")?;
    Ok(Counts {
        pending: row.int("pending")?,
        later: row.int("later")?,
        running: row.int("running")?,
        trying: row.int("trying")?,
        unbegun: row.int("unbegun")?,
        catching: row.int("catching")?,
        again: row.int("again")?,
        over: row.int("over_now")?,
        outstanding: row.int("outstanding")?,
        tally: Tally { finished: row.int("finished")?, failed: row.int("failed")? },
        canary: canary(conn, campaign).await?,
        reach: Reach { tried: row.int("tried")?, down: row.int("down")? },
        next: [next_try, next_end].into_iter().flatten().min(),
    })
}

/// A rotation that tries the same step again and again after its key came into use has not come to a good end.
async fn canary(conn: &mut Connection, campaign: &CampaignId) -> Result<Canary, Error> {
    let row = sqlx::query(
        "SELECT COUNT(CASE WHEN seen = 0 AND state = 'SUCCEEDED' AND reason = '' AND settled = 1 THEN 1 END) AS proven,
                COUNT(CASE WHEN seen = 0 AND (state = 'FAILED' OR (state = 'SUCCEEDED' AND reason <> '')
                                              OR (state = 'SUCCEEDED' AND settled = 0 AND trouble = 1)) THEN 1 END) AS missed,
                COUNT(CASE WHEN seen = 0 AND (state = 'CATCH_UP'
                                              OR (state = 'SUCCEEDED' AND reason = '' AND settled = 0 AND trouble = 0))
                           THEN 1 END) AS waiting,
                COUNT(CASE WHEN seen = 1 THEN 1 END) AS excused
           FROM (SELECT t.state, t.reason, CASE WHEN t.excused_at IS NULL THEN 0 ELSE 1 END AS seen,
                        CASE WHEN r.state IN ('RUNNING', 'CONVERGING') THEN 0 ELSE 1 END AS settled,
                        CASE WHEN EXISTS (SELECT 1 FROM rotation_step s
                                           WHERE s.rotation_id = r.id AND s.state = 'FAILED' AND s.attempts >= 3)
                             THEN 1 ELSE 0 END AS trouble
                   FROM campaign_target t LEFT JOIN rotation r ON r.id = t.rotation_id
                  WHERE t.campaign_id = $1 AND t.wave = 1) AS first_wave",
    )
    .bind(campaign.as_str())
    .fetch_one(conn)
    .await?;
    Ok(Canary {
        proven: row.int("proven")?,
        missed: row.int("missed")?,
        waiting: row.int("waiting")?,
        excused: row.int("excused")?,
    })
}

/// How many stand where, and how many of them are of a wave.
pub async fn by_state(
    conn: &mut Connection,
    campaign: &CampaignId,
) -> Result<Vec<(TargetState, u32)>, Error> {
    let rows = sqlx::query(
        "SELECT state, COUNT(*) AS targets FROM campaign_target WHERE campaign_id = $1 GROUP BY state ORDER BY state",
    )
    .bind(campaign.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((row.text("state")?, row.int("targets")?))).collect()
}

fn target(row: &AnyRow) -> Result<CampaignTarget, Error> {
    Ok(CampaignTarget {
        position: row.int("position")?,
        access: row.text("access_id")?,
        tenant: row.text("tenant_id")?,
        account: row.text("account")?,
        hosts: read_list(row, "hosts")?,
        wave: row.int("wave")?,
        state: row.text("state")?,
        rotation: row.opt_text("rotation_id")?,
        reason: row.text("reason")?,
        message: row.text("message")?,
        due_at: row.opt_int("due_at")?,
        trying_at: row.opt_int("trying_at")?,
        attempts: row.int("attempts")?,
        again_at: row.opt_int("again_at")?,
        give_up_at: row.opt_int("give_up_at")?,
    })
}
