//! Ends open sessions of an account, and tells what goes on running.

use keywright_domain::account::AccountName;
use keywright_domain::fingerprint::Fingerprint;
use tracing::instrument;

use super::Host;
use super::answer::Answer;
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

/// As the script shows of them.
const MOST_PROCESSES: usize = 50;
const LONGEST_NAME: usize = 64;

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
        Ok(ended(&self.shell.run(&script, b"").await?.done()?))
    }
}

/// Bounded and in plain characters here too: it is kept and shown, and the host may say what it likes.
fn ended(answer: &Answer) -> EndedSessions {
    let ended = answer.number("ended").unwrap_or(0);
    let sessions = match answer.number::<u32>("unknown") {
        Some(0) => SessionCount::Ended(ended),
        _ => SessionCount::Unknown { ended },
    };
    let process = |line: &str| {
        let (pid, name) = line.split_once(' ')?;
        let plain = |c: &char| c.is_ascii_alphanumeric() || "._:/+-".contains(*c);
        Some(Process {
            pid: pid.parse().ok()?,
            name: name.chars().filter(plain).take(LONGEST_NAME).collect(),
        })
    };
    EndedSessions {
        sessions,
        processes: answer.all("process").filter_map(process).take(MOST_PROCESSES).collect(),
        process_count: answer.number("processes").unwrap_or(0),
        crontab: answer.is("crontab", "yes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_says_of_processes_is_bounded_and_plain() {
        let lines = "process=7 evil\u{1b}[2J name\n".repeat(5_000);
        let answer = format!("@@keywright\n{lines}ended=1\nunknown=0\nprocesses=5000\nresult=done\n@@end\n");
        let found = ended(&Answer::parse(answer.as_bytes()).unwrap());
        assert_eq!((found.processes.len(), found.process_count), (MOST_PROCESSES, 5_000));
        assert_eq!(found.processes[0], Process { pid: 7, name: "evil2Jname".to_owned() });
        assert_eq!(found.sessions, SessionCount::Ended(1));
    }
}
