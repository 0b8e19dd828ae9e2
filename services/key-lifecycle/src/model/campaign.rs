//! A rotation of many accesses and its targets.

use super::words::{CampaignState, PauseReason, TargetState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, CampaignId, RotationId, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    pub id: CampaignId,
    pub state: CampaignState,
    pub pause: Option<PauseReason>,
    pub selector: Selector,
    pub plan: CampaignPlan,
    /// None: each policy decides.
    pub grace: Option<Duration>,
    pub comment: String,
    pub created_by: String,
    pub created_at: Instant,
    pub finished_at: Option<Instant>,
    /// The one that runs or soaks, from 1; 0 before.
    pub wave: u32,
    /// How many targets each wave has.
    pub waves: Vec<u32>,
    pub soak_until: Option<Instant>,
    pub forgiven: Tally,
    /// When it is to be looked at again.
    pub next_at: Option<Instant>,
}

impl Campaign {
    /// Nothing will be begun any more.
    pub const fn has_ended(&self) -> bool {
        matches!(self.state, CampaignState::Succeeded | CampaignState::Cancelled)
    }
}

impl PauseReason {
    /// It paused by itself because of what became of its targets.
    pub const fn is_of_targets(self) -> bool {
        matches!(self, Self::FailureBudget | Self::Canary | Self::Unreachable)
    }
}

/// Which accesses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    pub which: Which,
    /// Of the tenant: it carries all of these.
    pub labels: BTreeMap<String, String>,
    pub tenant: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    All,
    Overdue,
    /// And the overdue.
    DueSoon,
    Named(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignPlan {
    /// Targets of the first wave.
    pub canary: u32,
    pub soak: Duration,
    /// How many times larger each wave is than the one before.
    pub growth: u32,
    pub max_parallel: u32,
    /// In percent of the finished.
    pub failure_budget: u32,
    pub catch_up: Duration,
}

/// How many targets came to an end by themselves, and how many of them by failing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub finished: u32,
    pub failed: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignTarget {
    pub position: i64,
    pub access: AccessId,
    pub tenant: TenantId,
    pub account: String,
    /// Names of its servers.
    pub hosts: Vec<String>,
    /// 0 where it is skipped from the beginning.
    pub wave: u32,
    pub state: TargetState,
    pub rotation: Option<RotationId>,
    pub reason: String,
    pub message: String,
    pub due_at: Option<Instant>,
    /// It has one of the campaign's places.
    pub trying_at: Option<Instant>,
    pub attempts: u32,
    /// None in CATCH_UP: its rotation goes on by itself.
    pub again_at: Option<Instant>,
    pub give_up_at: Option<Instant>,
}
