//! What a connectivity test found: nine checks in order, and the one status that follows from them.
//!
//! Invariant: a report holds each check once and in order; after the first failure nothing passed.

use crate::login::LoginName;
use keywright_domain::clock::Instant;
use keywright_domain::host::{HostName, Port};
use keywright_domain::ids::{CredentialId, ServerId, TestId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The checks, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckName {
    Key,
    Passphrase,
    Dns,
    Tcp,
    Handshake,
    HostKey,
    Authentication,
    Session,
    Runtime,
}

impl CheckName {
    pub const ALL: [Self; 9] = [
        Self::Key,
        Self::Passphrase,
        Self::Dns,
        Self::Tcp,
        Self::Handshake,
        Self::HostKey,
        Self::Authentication,
        Self::Session,
        Self::Runtime,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Passphrase => "passphrase",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Handshake => "handshake",
            Self::HostKey => "host-key",
            Self::Authentication => "authentication",
            Self::Session => "session",
            Self::Runtime => "runtime",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    Passed,
    Failed,
    Skipped,
}

/// One check, as it ended. `code` is empty unless it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: CheckName,
    pub status: CheckStatus,
    pub code: String,
    pub message: String,
    pub remedy: String,
    pub duration_ms: i32,
    pub metadata: BTreeMap<String, String>,
}

/// Names in camelCase with short values.
pub type Facts = Vec<(&'static str, String)>;

/// Why a check failed.
#[derive(Debug, Clone)]
pub struct Fault {
    pub code: &'static str,
    pub message: String,
    pub remedy: String,
    pub facts: Facts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All that ran passed.
    Healthy,
    /// Logged in, then something failed.
    Degraded,
    /// No login.
    Unreachable,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Degraded => "DEGRADED",
            Self::Unreachable => "UNREACHABLE",
        }
    }
}

impl TryFrom<String> for Status {
    type Error = ();
    fn try_from(text: String) -> Result<Self, ()> {
        [Self::Healthy, Self::Degraded, Self::Unreachable]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(())
    }
}

/// A test under way.
#[derive(Debug, Default)]
pub struct Progress {
    checks: Vec<Check>,
}

impl Progress {
    pub fn passed(&mut self, name: CheckName, message: &str, took: Duration, facts: Facts) {
        self.checks.push(Check {
            name,
            status: CheckStatus::Passed,
            code: String::new(),
            message: message.to_owned(),
            remedy: String::new(),
            duration_ms: millis(took),
            metadata: named(facts),
        });
    }

    pub fn failed(&mut self, name: CheckName, fault: Fault, took: Duration) {
        self.checks.push(Check {
            name,
            status: CheckStatus::Failed,
            code: fault.code.to_owned(),
            message: fault.message,
            remedy: fault.remedy,
            duration_ms: millis(took),
            metadata: named(fault.facts),
        });
    }

    /// Facts about a check that became known later.
    pub fn add(&mut self, name: CheckName, facts: Facts) {
        if let Some(check) = self.checks.iter_mut().find(|check| check.name == name) {
            check.metadata.extend(named(facts));
        }
    }

    /// What was not reached is skipped.
    pub fn finish(self) -> Report {
        let mut checks = self.checks;
        for name in CheckName::ALL.into_iter().skip(checks.len()) {
            checks.push(Check {
                name,
                status: CheckStatus::Skipped,
                code: String::new(),
                message: "Not reached, since an earlier check failed.".to_owned(),
                remedy: String::new(),
                duration_ms: 0,
                metadata: BTreeMap::new(),
            });
        }
        Report { checks }
    }
}

/// All nine checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    checks: Vec<Check>,
}

impl Report {
    /// A report that was kept; none if these are not the nine checks.
    pub fn from_checks(checks: Vec<Check>) -> Option<Self> {
        checks.iter().map(|check| check.name).eq(CheckName::ALL).then_some(Self { checks })
    }

    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    pub fn status(&self) -> Status {
        let of = |name| self.checks.iter().find(|check| check.name == name).map(|check| check.status);
        if of(CheckName::Authentication) != Some(CheckStatus::Passed) {
            Status::Unreachable
        } else if self.failed().is_some() {
            Status::Degraded
        } else {
            Status::Healthy
        }
    }

    /// The check that failed, if one did.
    pub fn failed(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.status == CheckStatus::Failed)
    }
}

/// A test and what it found. A draft has neither an id nor a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectivityTest {
    pub id: Option<TestId>,
    pub server: Option<ServerId>,
    /// None for a one-time key.
    pub credential: Option<CredentialId>,
    pub host: HostName,
    pub port: Port,
    pub username: LoginName,
    pub checked_at: Instant,
    pub report: Report,
}

fn millis(took: Duration) -> i32 {
    i32::try_from(took.as_millis()).unwrap_or(i32::MAX)
}

fn named(facts: Facts) -> BTreeMap<String, String> {
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up_to(last: CheckName, fails: bool) -> Report {
        let mut progress = Progress::default();
        for name in CheckName::ALL {
            if name == last && fails {
                let fault =
                    Fault { code: "X", message: String::new(), remedy: String::new(), facts: Vec::new() };
                progress.failed(name, fault, Duration::from_millis(7));
                break;
            }
            progress.passed(name, "ok", Duration::from_millis(7), vec![("fact", "value".to_owned())]);
            if name == last {
                break;
            }
        }
        progress.finish()
    }

    #[test]
    fn the_status_follows_from_the_login() {
        assert_eq!(up_to(CheckName::Runtime, false).status(), Status::Healthy);
        assert_eq!(up_to(CheckName::Runtime, true).status(), Status::Degraded);
        assert_eq!(up_to(CheckName::Session, true).status(), Status::Degraded);
        for name in CheckName::ALL.into_iter().take(7) {
            assert_eq!(up_to(name, true).status(), Status::Unreachable, "{}", name.as_str());
        }
    }

    #[test]
    fn a_report_has_nine_checks_in_order_and_survives_being_kept() {
        let report = up_to(CheckName::Tcp, true);
        let statuses: Vec<CheckStatus> = report.checks().iter().map(|check| check.status).collect();
        assert_eq!(statuses.iter().filter(|s| **s == CheckStatus::Skipped).count(), 5);
        assert_eq!(report.failed().unwrap().name, CheckName::Tcp);
        let text = serde_json::to_string(report.checks()).unwrap();
        assert_eq!(Report::from_checks(serde_json::from_str(&text).unwrap()), Some(report.clone()));
        let mut fewer = report.checks().to_vec();
        fewer.pop();
        assert_eq!(Report::from_checks(fewer), None);
    }

    #[test]
    fn a_check_is_kept_under_the_name_it_is_shown_with() {
        for name in CheckName::ALL {
            assert_eq!(serde_json::to_string(&name).unwrap(), format!("\"{}\"", name.as_str()));
        }
    }
}
