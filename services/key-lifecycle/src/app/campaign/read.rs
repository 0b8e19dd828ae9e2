//! Reads campaigns and their targets, once or again and again.

use super::{missing, parse_id};
use crate::model::{Campaign, CampaignState, CampaignTarget, TargetState};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_domain::ids::CampaignId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::Page;
use keywright_storage::Db;

const ACTION: &str = "campaign.read";

#[derive(Clone)]
pub struct ReadCampaigns {
    pub db: Db,
    pub guard: Guard,
}

#[derive(Debug, Clone)]
pub struct CampaignView {
    pub campaign: Campaign,
    /// How many targets stand where, those that were skipped from the beginning included.
    pub counts: Vec<(TargetState, u32)>,
    /// Of a dry run: every one.
    pub targets: Vec<CampaignTarget>,
}

impl CampaignView {
    pub fn preview(campaign: Campaign, targets: Vec<CampaignTarget>) -> Self {
        let count = |state| targets.iter().filter(|target| target.state == state).count();
        let number = |state| (state, u32::try_from(count(state)).unwrap_or(u32::MAX));
        let counts = vec![number(TargetState::Pending), number(TargetState::Skipped)];
        Self { campaign, counts, targets }
    }

    pub fn count(&self, state: TargetState) -> u32 {
        self.counts.iter().find(|(there, _)| *there == state).map_or(0, |(_, count)| *count)
    }

    /// A dry run: nothing is stored.
    pub fn is_preview(&self) -> bool {
        self.campaign.state == CampaignState::Preparing
    }
}

impl ReadCampaigns {
    pub async fn list(
        &self,
        caller: &Caller,
        size: i32,
        token: &str,
    ) -> Result<(Vec<CampaignView>, String), Failure> {
        self.guard.allow(caller, ACTION, None, "", Reason::PermissionDenied).await?;
        let page = Page::parse(size, token, "")?;
        let mut reader = store::reader(&self.db).await?;
        let rows = store::campaign::page(&mut reader, &page).await?;
        let (rows, next) = page.cut(rows, |row| (row.created_at, row.id.to_string()));
        let mut views = Vec::with_capacity(rows.len());
        for campaign in rows {
            let counts = store::campaign_target::by_state(&mut reader, &campaign.id).await?;
            views.push(CampaignView { campaign, counts, targets: Vec::new() });
        }
        Ok((views, next))
    }

    /// The id, if the caller may read what it names.
    pub async fn authorize(&self, caller: &Caller, id: &str) -> Result<CampaignId, Failure> {
        self.guard.allow(caller, ACTION, None, id, Reason::CampaignNotFound).await?;
        parse_id(id)
    }

    /// As it is now; for whoever was authorized.
    pub async fn view(&self, id: &CampaignId) -> Result<CampaignView, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let campaign = store::campaign::find(&mut reader, id).await?;
        let campaign = campaign.filter(|it| it.state != CampaignState::Preparing);
        let campaign = campaign.ok_or_else(|| missing(id.as_str()))?;
        let counts = store::campaign_target::by_state(&mut reader, id).await?;
        Ok(CampaignView { campaign, counts, targets: Vec::new() })
    }

    /// In the order of their waves.
    pub async fn targets(
        &self,
        caller: &Caller,
        id: &str,
        state: Option<TargetState>,
        size: i32,
        token: &str,
    ) -> Result<(Vec<CampaignTarget>, String), Failure> {
        let id = self.authorize(caller, id).await?;
        self.view(&id).await?;
        let state = state.map_or("", TargetState::as_str);
        let page = Page::parse(size, token, &format!("{id}|{state}"))?;
        let after = page.before.as_ref().map_or(0, |(position, _)| position.micros());
        let mut reader = store::reader(&self.db).await?;
        let rows = store::campaign_target::page(&mut reader, &id, state, after, page.size).await?;
        Ok(page.cut(rows, |target| (Instant::from_micros(target.position), String::new())))
    }
}
