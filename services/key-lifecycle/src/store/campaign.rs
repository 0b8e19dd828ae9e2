//! Campaigns. One in PREPARING is not there for anybody but its maker.

use super::Connection;
use crate::model::{Campaign, CampaignPlan, CampaignState, PauseReason, Tally};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{CampaignId, TenantId};
use keywright_runtime::page::Page;
use keywright_storage::{Columns, Error, Tx};
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use std::collections::HashSet;
use std::time::Duration;

pub async fn insert(tx: &mut Tx, campaign: &Campaign) -> Result<(), Error> {
    let plan = &campaign.plan;
    sqlx::query(
        "INSERT INTO campaign (id, state, pause_reason, selector, canary, soak_micros, growth, max_parallel,
                failure_budget, catch_up_micros, grace_micros, comment, created_by, created_at, wave, waves,
                forgiven_finished, forgiven_failed, next_at)
         VALUES ($1, $2, '', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, $14, 0, 0, $15)",
    )
    .bind(campaign.id.as_str())
    .bind(campaign.state.as_str())
    .bind(json(&campaign.selector))
    .bind(i64::from(plan.canary))
    .bind(micros(plan.soak))
    .bind(i64::from(plan.growth))
    .bind(i64::from(plan.max_parallel))
    .bind(i64::from(plan.failure_budget))
    .bind(micros(plan.catch_up))
    .bind(campaign.grace.map(micros))
    .bind(&campaign.comment)
    .bind(&campaign.created_by)
    .bind(campaign.created_at.micros())
    .bind(json(&campaign.waves))
    .bind(campaign.next_at.map(Instant::micros))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Everything that changes about a campaign after its start.
pub async fn update(tx: &mut Tx, campaign: &Campaign) -> Result<(), Error> {
    sqlx::query(
        "UPDATE campaign SET state = $2, pause_reason = $3, finished_at = $4, wave = $5, soak_until = $6,
                forgiven_finished = $7, forgiven_failed = $8, next_at = $9
          WHERE id = $1",
    )
    .bind(campaign.id.as_str())
    .bind(campaign.state.as_str())
    .bind(campaign.pause.map_or("", PauseReason::as_str))
    .bind(campaign.finished_at.map(Instant::micros))
    .bind(i64::from(campaign.wave))
    .bind(campaign.soak_until.map(Instant::micros))
    .bind(i64::from(campaign.forgiven.finished))
    .bind(i64::from(campaign.forgiven.failed))
    .bind(campaign.next_at.map(Instant::micros))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What never was begun; its targets are gone before.
pub async fn discard(tx: &mut Tx, id: &CampaignId) -> Result<(), Error> {
    sqlx::query("DELETE FROM campaign WHERE id = $1 AND state = 'PREPARING'")
        .bind(id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub async fn find(conn: &mut Connection, id: &CampaignId) -> Result<Option<Campaign>, Error> {
    let row = sqlx::query(
        "SELECT id, state, pause_reason, selector, canary, soak_micros, growth, max_parallel, failure_budget,
                catch_up_micros, grace_micros, comment, created_by, created_at, finished_at, wave, waves, soak_until,
                forgiven_finished, forgiven_failed, next_at
           FROM campaign WHERE id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(campaign).transpose()
}

/// Newest first, one row more than the page holds.
pub async fn page(conn: &mut Connection, page: &Page) -> Result<Vec<Campaign>, Error> {
    let (before, id) = page.key();
    let rows = sqlx::query(
        "SELECT id, state, pause_reason, selector, canary, soak_micros, growth, max_parallel, failure_budget,
                catch_up_micros, grace_micros, comment, created_by, created_at, finished_at, wave, waves, soak_until,
                forgiven_finished, forgiven_failed, next_at
           FROM campaign
          WHERE state <> 'PREPARING' AND (created_at < $1 OR (created_at = $1 AND id < $2))
          ORDER BY created_at DESC, id DESC LIMIT $3",
    )
    .bind(before)
    .bind(id)
    .bind(page.size.saturating_add(1))
    .fetch_all(conn)
    .await?;
    rows.iter().map(campaign).collect()
}

/// What is to be driven now.
pub async fn due(conn: &mut Connection, now: Instant, limit: i64) -> Result<Vec<CampaignId>, Error> {
    let rows = sqlx::query("SELECT id FROM campaign WHERE next_at <= $1 ORDER BY next_at LIMIT $2")
        .bind(now.micros())
        .bind(limit)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| row.text("id")).collect()
}

/// Whether all automation is stopped, and else whose.
pub async fn frozen(conn: &mut Connection) -> Result<(bool, HashSet<TenantId>), Error> {
    let pulled = super::freeze::all(conn).await?;
    let everybody = pulled.iter().any(|brake| brake.tenant.is_none());
    Ok((everybody, pulled.into_iter().filter_map(|brake| brake.tenant).collect()))
}

fn campaign(row: &AnyRow) -> Result<Campaign, Error> {
    let pause: String = row.text("pause_reason")?;
    let pause = Some(pause).filter(|text| !text.is_empty()).map(PauseReason::try_from).transpose();
    Ok(Campaign {
        id: row.text("id")?,
        state: row.text::<CampaignState>("state")?,
        pause: pause.map_err(|()| Error::Corrupt("pause_reason".to_owned()))?,
        selector: read(row, "selector")?,
        plan: CampaignPlan {
            canary: row.int("canary")?,
            soak: Duration::from_micros(row.int("soak_micros")?),
            growth: row.int("growth")?,
            max_parallel: row.int("max_parallel")?,
            failure_budget: row.int("failure_budget")?,
            catch_up: Duration::from_micros(row.int("catch_up_micros")?),
        },
        grace: row.opt_int::<u64>("grace_micros")?.map(Duration::from_micros),
        comment: row.text("comment")?,
        created_by: row.text("created_by")?,
        created_at: row.int("created_at")?,
        finished_at: row.opt_int("finished_at")?,
        wave: row.int("wave")?,
        waves: read(row, "waves")?,
        soak_until: row.opt_int("soak_until")?,
        forgiven: Tally { finished: row.int("forgiven_finished")?, failed: row.int("forgiven_failed")? },
        next_at: row.opt_int("next_at")?,
    })
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn read<T: DeserializeOwned>(row: &AnyRow, column: &str) -> Result<T, Error> {
    let text: String = row.text(column)?;
    serde_json::from_str(&text).map_err(|_| Error::Corrupt(column.to_owned()))
}
