//! A change of an access's key and its recorded steps.

use super::words::{RotationKind, RotationState, StepName, StepState};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, CampaignId, RotationId, ServerId, TenantId, VersionId};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    pub id: RotationId,
    pub tenant: TenantId,
    pub access: AccessId,
    pub kind: RotationKind,
    pub state: RotationState,
    pub old_version: Option<VersionId>,
    pub new_version: VersionId,
    pub grace: Duration,
    /// The earlier rotation whose grace ends when this one is promoted.
    pub drops: Option<RotationId>,
    pub comment: String,
    pub created_at: Instant,
    pub promoted_at: Option<Instant>,
    pub grace_ends_at: Option<Instant>,
    pub grace_ended_at: Option<Instant>,
    pub finished_at: Option<Instant>,
    /// It is being undone.
    pub failing_at: Option<Instant>,
    pub reason: String,
    pub message: String,
    /// When it is to be looked at again.
    pub next_at: Option<Instant>,
    /// Begun by the service itself.
    pub automatic: bool,
    pub campaign: Option<CampaignId>,
    /// Of an ADD_HOST or REMOVE_HOST.
    pub server: Option<ServerId>,
    /// Promoted although hosts that cannot be reached lack the new key; they catch up.
    pub leaves_behind: bool,
    pub grace_extended_at: Option<Instant>,
}

/// On behalf of what the service begins a rotation by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Schedule,
    Campaign(CampaignId),
}

impl Origin {
    pub const fn campaign(&self) -> Option<&CampaignId> {
        match self {
            Self::Schedule => None,
            Self::Campaign(id) => Some(id),
        }
    }

    /// As the log names it.
    pub fn work(&self) -> &str {
        self.campaign().map_or("schedule", CampaignId::as_str)
    }
}

impl Rotation {
    /// Whether its version is its own: made by it, and gone if it fails. The other kinds move keys that are in use.
    pub const fn brings_a_key(&self) -> bool {
        self.kind.brings_a_key()
    }

    /// Whether it may still act on hosts: itself, or its grace end.
    pub const fn is_open(&self) -> bool {
        self.next_at.is_some()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub position: i64,
    pub name: StepName,
    /// None where it is for no host.
    pub server: Option<ServerId>,
    pub state: StepState,
    pub started_at: Option<Instant>,
    pub finished_at: Option<Instant>,
    pub reason: String,
    pub message: String,
    pub attempts: u32,
    pub undo_attempts: u32,
    /// How often in a row nobody was there.
    pub unreached: u32,
    pub not_before: Instant,
}

impl Step {
    pub const fn pending(position: i64, name: StepName, server: Option<ServerId>) -> Self {
        Self {
            position,
            name,
            server,
            state: StepState::Pending,
            started_at: None,
            finished_at: None,
            reason: String::new(),
            message: String::new(),
            attempts: 0,
            undo_attempts: 0,
            unreached: 0,
            not_before: Instant::from_micros(0),
        }
    }

    pub fn is_done(&self) -> bool {
        self.state == StepState::Done
    }
}
