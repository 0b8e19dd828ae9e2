//! Ends the sessions that revoked keys opened, as often as a host is worked on, and counts them over all of its tries.

use super::drive::{Revoker, Task};
use crate::adapters::door::Door;
use crate::adapters::hosts::Sessions;
use crate::model::{Line, RevocationHost, SessionsToEnd, Version};
use crate::store;
use keywright_domain::reason::{Reason, Retry};
use keywright_runtime::failure::{Error, Failure};

const NONE: &str = "0";
const UNKNOWN: &str = "UNKNOWN";

impl Revoker {
    pub(super) async fn end_sessions(
        &self,
        task: &Task,
        door: &Door,
        keys: &[(Version, Line)],
        host: &mut RevocationHost,
    ) -> Result<(), Failure> {
        let prints: Vec<_> =
            keys.iter().filter_map(|(version, _)| Some(version.public_key.as_ref()?.fingerprint())).collect();
        let which = match task.revocation.sessions {
            SessionsToEnd::None => {
                NONE.clone_into(&mut host.sessions_ended);
                return Ok(());
            }
            SessionsToEnd::All => None,
            SessionsToEnd::RevokedKeys => Some(prints.as_slice()),
        };
        let found = match self.converger.hosts.end_sessions(door, &task.access.account, which).await {
            Ok(found) => found,
            Err(failure) if failure.reason.retry() == Retry::AfterDelay => return Err(failure),
            Err(failure) => {
                let gone = failure.is(Reason::AccountNotFound);
                let ended = if gone { NONE } else { UNKNOWN }.to_owned();
                Sessions { ended, ..Sessions::default() }
            }
        };
        host.sessions_ended = together(&host.sessions_ended, &found.ended);
        host.processes = found.processes;
        host.crontabs = found.crontabs;
        Ok(self.db.serialized(|| self.note_sessions(task, host)).await?)
    }

    /// At once: who does it again finds none of them any more.
    async fn note_sessions(&self, task: &Task, host: &RevocationHost) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("which sessions a revocation ended").await?;
        task.refuse_if_lost(&mut tx).await?;
        store::revocation::update_host(&mut tx, &task.revocation.id, host).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Pure: what was ended before and now. What the host could not tell once is not known any more.
fn together(before: &str, now: &str) -> String {
    match (before.parse::<u64>(), now.parse::<u64>()) {
        (Ok(before), Ok(now)) => before.saturating_add(now).to_string(),
        _ if before.is_empty() => now.to_owned(),
        _ => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_counted_over_all_tries() {
        for (before, now, all) in [
            ("", "2", "2"),
            ("2", "0", "2"),
            ("2", "1", "3"),
            (UNKNOWN, "1", UNKNOWN),
            ("2", UNKNOWN, UNKNOWN),
            ("", UNKNOWN, UNKNOWN),
        ] {
            assert_eq!(together(before, now), all, "{before} and {now}");
        }
    }
}
