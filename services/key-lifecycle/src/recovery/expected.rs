//! What a backup makes one expect of a key on a host. No clock, no I/O.

use crate::model::{Expected, LineState, ManagementState, VersionState};
use keywright_domain::clock::Instant;
use std::time::Duration;

/// How long after its removal a key is still looked for.
const REMOVED_LATELY: Duration = Duration::from_secs(30 * 24 * 3600);

/// One version on one host of its access.
#[derive(Debug, Clone, Copy)]
pub struct Recorded {
    pub version: VersionState,
    /// None where no line was ever wanted.
    pub line: Option<LineState>,
    /// When its grace ends.
    pub ends_at: Option<Instant>,
    /// When it was last proven, or else made.
    pub seen_at: Instant,
}

/// None where there is nothing to ask.
pub fn expected(recorded: &Recorded, taken_at: Instant, now: Instant) -> Option<Expected> {
    let lately = recorded.seen_at >= taken_at.minus(REMOVED_LATELY);
    let over = recorded.ends_at.is_some_and(|end| end <= now);
    match (recorded.line, recorded.version) {
        // Its rotation may have come to this host after the backup.
        (None, VersionState::Staged) => Some(Expected::Absent),
        (None, _) => None,
        (Some(LineState::Absent), version) if version.is_live() => Some(Expected::Either),
        (Some(LineState::Absent | LineState::RemovedProven), _) => lately.then_some(Expected::Absent),
        (Some(LineState::RemovalPending), _) => Some(Expected::Either),
        (Some(LineState::Installed | LineState::Expiring), version) if version.is_live() && !over => {
            Some(Expected::Present)
        }
        (Some(LineState::Installed | LineState::Expiring), _) => Some(Expected::Either),
    }
}

/// One installation of a management key.
#[derive(Debug, Clone, Copy)]
pub struct RecordedManagement {
    pub state: ManagementState,
    /// It is the last that succeeded on its server.
    pub current: bool,
    pub removed_at: Option<Instant>,
}

pub fn expected_management(recorded: &RecordedManagement, taken_at: Instant) -> Option<Expected> {
    match recorded.removed_at {
        Some(at) => (at >= taken_at.minus(REMOVED_LATELY)).then_some(Expected::Absent),
        None if recorded.state == ManagementState::Succeeded && recorded.current => Some(Expected::Present),
        None => Some(Expected::Either),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn what_is_expected_follows_line_and_version() {
        let taken_at = Instant::from_secs(1_700_000_000);
        let now = taken_at.plus(DAY);
        let of = |version, line, ends_at: Option<Instant>, seen_at| {
            expected(&Recorded { version, line, ends_at, seen_at }, taken_at, now)
        };
        let (later, before) = (Some(now.plus(DAY)), Some(taken_at));
        let recent = taken_at.minus(DAY);
        let old = taken_at.minus(31 * DAY);
        let (active, grace, staged) = (VersionState::Active, VersionState::Grace, VersionState::Staged);
        let installed = Some(LineState::Installed);
        assert_eq!(of(active, installed, None, old), Some(Expected::Present));
        assert_eq!(of(grace, Some(LineState::Expiring), later, old), Some(Expected::Present));
        assert_eq!(
            of(grace, Some(LineState::Expiring), before, old),
            Some(Expected::Either),
            "sshd ended it"
        );
        assert_eq!(of(staged, None, None, recent), Some(Expected::Absent));
        assert_eq!(of(staged, Some(LineState::Absent), None, recent), Some(Expected::Either));
        assert_eq!(
            of(VersionState::Retired, Some(LineState::RemovedProven), before, recent),
            Some(Expected::Absent)
        );
        assert_eq!(of(VersionState::Retired, Some(LineState::RemovedProven), before, old), None);
        assert_eq!(
            of(VersionState::Revoked, Some(LineState::RemovalPending), None, old),
            Some(Expected::Either)
        );
        assert_eq!(of(VersionState::Revoked, None, None, recent), None);
        // An operator took it off the host in an earlier recovery: it is not expected there again.
        assert_eq!(of(active, Some(LineState::RemovedProven), None, recent), Some(Expected::Absent));
    }

    #[test]
    fn the_last_management_key_that_succeeded_is_expected() {
        let taken_at = Instant::from_secs(1_700_000_000);
        let of = |state, current, removed_at| {
            expected_management(&RecordedManagement { state, current, removed_at }, taken_at)
        };
        let (done, failed) = (ManagementState::Succeeded, ManagementState::Failed);
        assert_eq!(of(done, true, None), Some(Expected::Present));
        assert_eq!(of(done, false, None), Some(Expected::Either));
        assert_eq!(of(failed, false, None), Some(Expected::Either));
        assert_eq!(of(done, false, Some(taken_at.minus(DAY))), Some(Expected::Absent));
        assert_eq!(of(done, false, Some(taken_at.minus(31 * DAY))), None);
    }
}
