//! Campaigns: created, read, paused, resumed, cancelled.

pub mod control;
pub mod create;
pub mod parse;
pub mod read;

use keywright_domain::ids::CampaignId;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;

fn missing(id: &str) -> Failure {
    Failure::not_found(Reason::CampaignNotFound, id)
}

fn parse_id(id: &str) -> Result<CampaignId, Failure> {
    CampaignId::parse(id).map_err(|_| missing(id))
}
