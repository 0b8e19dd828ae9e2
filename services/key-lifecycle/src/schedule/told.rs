//! What is told of a key's age.

use super::Aged;
use crate::key_use::LastUse;
use crate::model::{Notice, Rotation};
use keywright_domain::clock::Instant;
use keywright_runtime::failure::Failure;

pub fn due(aged: &Aged) -> Notice {
    let notice = about("rotation.due", aged);
    match aged.planned {
        Some(planned) => notice.detail("plannedAt", planned.rfc3339()),
        None => notice.detail("automatic", "false"),
    }
}

pub fn expired(aged: &Aged) -> Notice {
    about("key.expired", aged)
}

/// The schedule could not even begin. What fails later the rotation tells itself.
pub fn not_begun(aged: &Aged, tries: i64, failure: &Failure) -> Notice {
    about("rotation.failed", aged)
        .occasion(&tries.to_string())
        .detail("reason", failure.reason.as_str())
        .detail("automatic", "true")
}

pub fn ending(rotation: &Rotation, end: Instant, last: &LastUse) -> Notice {
    let notice = grace("grace.ending", rotation, end).detail("oldKeyUse", last.word());
    let notice = match last.unknown {
        0 => notice,
        hosts => notice.detail("oldKeyUnknownHosts", hosts.to_string()),
    };
    match last.latest.as_ref().and_then(|used| Some((used, used.last_used_at?))) {
        Some((used, used_at)) => notice
            .detail("oldKeyLastUsedAt", used_at.rfc3339())
            .detail("oldKeyLastUsedFrom", &used.source_address)
            .detail("oldKeyLastUsedOn", used.server.as_str()),
        None => notice,
    }
}

pub fn extended(rotation: &Rotation, end: Instant) -> Notice {
    grace("grace.extended", rotation, end)
}

fn about(event: &'static str, aged: &Aged) -> Notice {
    Notice::new(event, Some(&aged.key.tenant), aged.key.access.as_str())
        .occasion(aged.key.version.as_str())
        .detail("accessId", aged.key.access.as_str())
        .detail("clientMade", aged.key.client_made.to_string())
        .detail("maximumAgeEndsAt", aged.end.rfc3339())
}

fn grace(event: &'static str, rotation: &Rotation, end: Instant) -> Notice {
    Notice::new(event, Some(&rotation.tenant), rotation.id.as_str())
        .occasion(&end.rfc3339())
        .detail("accessId", rotation.access.as_str())
        .detail("automatic", rotation.automatic.to_string())
        .detail("graceEndsAt", end.rfc3339())
}
