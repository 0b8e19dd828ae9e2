//! Ends open sessions of an account, and tells what goes on running.

use keywright_domain::account::AccountName;
use keywright_domain::fingerprint::Fingerprint;
use tracing::instrument;

use super::Host;
use super::failure::HostFailure;
use super::script::{Operation, Script};

pub(super) static END: Operation = Operation {
    parameters: &["all", "fingerprints"],
    ..Operation::new("end_sessions", include_str!("scripts/end_sessions.sh"))
};

/// Which sessions are ended.
#[derive(Debug, Clone, Copy)]
pub enum SessionScope<'a> {
    /// Those that one of these keys opened, by the server's log.
    OpenedBy(&'a [Fingerprint]),
    /// Every session of the account, and every process with its uid.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionCount {
    Ended(u32),
    /// A session goes on of which the log does not tell which key opened it. This many others were ended.
    Unknown {
        ended: u32,
    },
}

/// A process that goes on, by its command name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSessions {
    pub sessions: SessionCount,
    /// At most 50 of the account's processes that are left.
    pub processes: Vec<Process>,
    /// How many are left in truth.
    pub process_count: u32,
    /// The account has a crontab that may start more.
    pub crontab: bool,
}

impl Host<'_> {
    /// Our own session is never ended.
    #[instrument(skip_all)]
    pub async fn end_sessions(
        &self,
        account: &AccountName,
        scope: SessionScope<'_>,
    ) -> Result<EndedSessions, HostFailure> {
        let (all, fingerprints) = match scope {
            SessionScope::All => ("yes", String::new()),
            SessionScope::OpenedBy(keys) => {
                ("no", keys.iter().map(Fingerprint::as_str).collect::<Vec<_>>().join(" "))
            }
        };
        let script = Script::new(account, &END).with("all", all).with("fingerprints", &fingerprints);
        let answer = self.shell.run(&script, b"").await?.done()?;
        let ended = answer.number("ended").unwrap_or(0);
        let sessions = match answer.number::<u32>("unknown") {
            Some(0) => SessionCount::Ended(ended),
            _ => SessionCount::Unknown { ended },
        };
        let process = |line: &str| {
            let (pid, name) = line.split_once(' ')?;
            Some(Process { pid: pid.parse().ok()?, name: name.to_owned() })
        };
        Ok(EndedSessions {
            sessions,
            processes: answer.all("process").filter_map(process).collect(),
            process_count: answer.number("processes").unwrap_or(0),
            crontab: answer.is("crontab", "yes"),
        })
    }
}
