//! What is to be done about a management key. No clock, no I/O.

use crate::model::{Management, ManagementKind, ManagementState};
use keywright_domain::clock::Instant;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a predecessor stays where no backup that holds its successor is recorded.
pub const PREDECESSOR_STAYS: Duration = Duration::from_secs(7 * 24 * 3600);

/// An automatic rotation begins in the last tenth of the maximum age, so that what was installed together does not
/// rotate together.
const SPREAD: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// An installation whose request did not live to its end.
    Settle,
    /// The step that was begun last.
    Step,
    /// It never counted: it is destroyed, and its line is taken off the host.
    CleanUp,
    /// Its successor counts, and the wait is over.
    End,
    Wait(Instant),
    Nothing,
}

/// `backup`: when the newest recorded backup began.
pub fn next(it: &Management, backup: Option<Instant>, now: Instant) -> Next {
    match (it.state, it.kind, it.replaced_at) {
        (ManagementState::Running, ManagementKind::Bootstrap, _) => Next::Settle,
        (ManagementState::Running, ManagementKind::Rotate, _) => Next::Step,
        (ManagementState::Failed, ..) if it.next_at.is_some() && it.removed_at.is_none() => Next::CleanUp,
        (ManagementState::Succeeded, _, Some(replaced_at)) if it.removed_at.is_none() => {
            let until = replaced_at.plus(PREDECESSOR_STAYS);
            let held = backup.is_some_and(|taken_at| taken_at > replaced_at);
            if held || until <= now { Next::End } else { Next::Wait(until) }
        }
        _ => Next::Nothing,
    }
}

/// Whether a key in use is to be replaced now by itself.
pub fn is_due(it: &Management, maximum_age: Duration, now: Instant) -> bool {
    let Some(since) = it.finished_at else { return false };
    let early = (maximum_age / SPREAD).mul_f64(f64::from(u32::from(share(it))) / 256.0);
    since.plus(maximum_age.saturating_sub(early)) <= now
}

/// Of a random id: the same each time.
fn share(it: &Management) -> u8 {
    it.id.bare().bytes().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte))
}

/// After so many failures in a row: from a second to an hour.
pub fn pause(attempts: u32) -> Duration {
    Duration::from_secs(1 << attempts.min(12)).min(Duration::from_secs(3600))
}

/// What is older than this may be due under some policy; younger keys are not looked at.
pub const fn youngest() -> Duration {
    DAY.saturating_mul(27)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_domain::ids::{CredentialId, ManagementId, ServerId, VersionId};

    fn key(state: ManagementState) -> Management {
        let keys = (CredentialId::random().unwrap(), VersionId::random().unwrap());
        let (id, server) = (ManagementId::random().unwrap(), ServerId::random().unwrap());
        let at = Instant::from_secs(1_700_000_000);
        let mut it = Management::new(id, server, keys, "root".to_owned(), ManagementKind::Rotate, at);
        it.state = state;
        it
    }

    #[test]
    fn a_predecessor_waits_for_a_backup_that_began_after_its_successor_counted() {
        let mut it = key(ManagementState::Succeeded);
        let replaced = it.created_at.plus(DAY);
        it.replaced_at = Some(replaced);
        let until = replaced.plus(7 * DAY);
        let soon = replaced.plus(DAY);
        assert_eq!(next(&it, None, soon), Next::Wait(until));
        assert_eq!(next(&it, Some(replaced.minus(DAY)), soon), Next::Wait(until));
        assert_eq!(next(&it, Some(replaced), soon), Next::Wait(until), "it may have missed the successor");
        assert_eq!(next(&it, Some(replaced.plus(Duration::from_micros(1))), soon), Next::End);
        assert_eq!(next(&it, None, until), Next::End);
        it.removed_at = Some(until);
        assert_eq!(next(&it, None, until), Next::Nothing);
    }

    #[test]
    fn what_counts_is_left_alone_and_what_failed_is_cleaned_up_once() {
        let now = Instant::from_secs(1_800_000_000);
        assert_eq!(next(&key(ManagementState::Succeeded), Some(now), now), Next::Nothing);
        assert_eq!(next(&key(ManagementState::Running), None, now), Next::Step);
        let mut failed = key(ManagementState::Failed);
        assert_eq!(next(&failed, None, now), Next::Nothing);
        failed.next_at = Some(now);
        assert_eq!(next(&failed, None, now), Next::CleanUp);
        failed.removed_at = Some(now);
        assert_eq!(next(&failed, None, now), Next::Nothing);
    }

    #[test]
    fn a_key_is_due_in_the_last_tenth_of_its_age_and_not_before() {
        for _ in 0..64 {
            let mut it = key(ManagementState::Succeeded);
            it.finished_at = Some(it.created_at);
            assert!(!is_due(&it, 90 * DAY, it.created_at.plus(80 * DAY)));
            assert!(is_due(&it, 90 * DAY, it.created_at.plus(90 * DAY)));
        }
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        assert_eq!(pause(0), Duration::from_secs(1));
        assert_eq!(pause(5), Duration::from_secs(32));
        assert_eq!(pause(u32::MAX), Duration::from_secs(3600));
    }
}
