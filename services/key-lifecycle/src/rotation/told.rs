//! What is told of a rotation to whoever wants to know, written in the transaction of what happened.

use crate::model::{Notice, Rotation, RotationState};

pub fn started(rotation: &Rotation) -> Notice {
    about("rotation.started", rotation)
}

/// None where a revocation ended it: that is told by itself.
pub fn ended(rotation: &Rotation) -> Option<Notice> {
    match rotation.state {
        RotationState::Succeeded => Some(about("rotation.succeeded", rotation)),
        RotationState::Failed | RotationState::Stuck => {
            Some(about("rotation.failed", rotation).detail("reason", &rotation.reason))
        }
        RotationState::Running | RotationState::Converging | RotationState::Superseded => None,
    }
}

fn about(event: &'static str, rotation: &Rotation) -> Notice {
    let notice = Notice::new(event, Some(&rotation.tenant), rotation.id.as_str())
        .detail("accessId", rotation.access.as_str())
        .detail("kind", rotation.kind.as_str())
        .detail("automatic", rotation.automatic.to_string());
    let notice = match &rotation.campaign {
        Some(campaign) => notice.detail("campaignId", campaign.as_str()),
        None => notice,
    };
    match rotation.grace_ends_at {
        Some(end) => notice.detail("graceEndsAt", end.rfc3339()),
        None => notice,
    }
}
