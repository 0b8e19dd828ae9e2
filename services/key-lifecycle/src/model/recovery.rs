//! The state after a restore, and what each host says to each key that the backup knows.

use super::words::{Answer, Expected};
use keywright_domain::account::AccountName;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, ServerId};
use keywright_domain::key::PublicKey;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    pub backup_taken_at: Instant,
    pub restored_at: Instant,
    pub probe_requested_at: Option<Instant>,
    /// When the last round ended.
    pub probed_at: Option<Instant>,
    pub completed_at: Option<Instant>,
}

impl Recovery {
    pub const fn is_active(&self) -> bool {
        self.completed_at.is_none()
    }

    /// A round of probes was asked for and has not ended.
    pub fn is_probing(&self) -> bool {
        self.is_active() && self.probe_requested_at.is_some() && self.probed_at.is_none()
    }
}

/// What the host said against what the backup makes one expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    Unprobed,
    AsRecorded,
    Missing,
    Unexpected,
    Unreachable,
}

/// One key on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryLine {
    pub id: String,
    /// `acc_…`, or `srv_…` for the server's management key.
    pub owner: String,
    pub server: ServerId,
    pub account: AccountName,
    pub version_id: String,
    pub number: u32,
    pub public_key: PublicKey,
    pub recorded_state: String,
    pub expected: Expected,
    pub answer: Answer,
    pub detail: String,
    pub probed_at: Option<Instant>,
    pub put_back_at: Option<Instant>,
    pub attempts: u32,
}

impl RecoveryLine {
    pub fn finding(&self) -> Finding {
        match (self.answer, self.expected) {
            (Answer::Unprobed, _) => Finding::Unprobed,
            (Answer::Unreachable, _) => Finding::Unreachable,
            (Answer::Accepted, Expected::Absent) => Finding::Unexpected,
            (Answer::Refused, Expected::Present) => Finding::Missing,
            (Answer::Accepted | Answer::Refused, _) => Finding::AsRecorded,
        }
    }

    /// None for a management key.
    pub fn access(&self) -> Option<AccessId> {
        AccessId::parse(&self.owner).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_domain::key::{GenerateSpec, PrivateKey};

    #[test]
    fn a_finding_is_what_the_host_said_against_what_the_backup_says() {
        let mut line = RecoveryLine {
            id: String::new(),
            owner: "srv_x".to_owned(),
            server: ServerId::random().unwrap(),
            account: AccountName::parse("root").unwrap(),
            version_id: String::new(),
            number: 1,
            public_key: PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().clone(),
            recorded_state: String::new(),
            expected: Expected::Present,
            answer: Answer::Unprobed,
            detail: String::new(),
            probed_at: None,
            put_back_at: None,
            attempts: 0,
        };
        let table = [
            (Expected::Present, Answer::Accepted, Finding::AsRecorded),
            (Expected::Present, Answer::Refused, Finding::Missing),
            (Expected::Absent, Answer::Accepted, Finding::Unexpected),
            (Expected::Absent, Answer::Refused, Finding::AsRecorded),
            (Expected::Either, Answer::Accepted, Finding::AsRecorded),
            (Expected::Either, Answer::Refused, Finding::AsRecorded),
            (Expected::Either, Answer::Unreachable, Finding::Unreachable),
            (Expected::Present, Answer::Unprobed, Finding::Unprobed),
        ];
        for (expected, answer, finding) in table {
            (line.expected, line.answer) = (expected, answer);
            assert_eq!(line.finding(), finding, "{expected:?} {answer:?}");
        }
    }
}
