//! What can go wrong between here and a shell, in words for the person who has to repair it.
//!
//! Invariant: messages and remedies are ours. Facts hold addresses, fingerprints, algorithm names and counts, never
//! text that a server chose freely.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// Where in the connection something happened. The names are those of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    Dns,
    Tcp,
    Handshake,
    HostKey,
    Authentication,
    Session,
    Runtime,
}

impl Stage {
    pub const fn as_str(self) -> &'static str {
        match self {
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

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a stage failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCode {
    TargetNotAllowed,
    HostResolutionFailed,
    NetworkUnreachable,
    ConnectionRefused,
    ConnectTimeout,
    ServerBusy,
    NotAnSshServer,
    HandshakeTimeout,
    ConnectionClosed,
    NoCommonAlgorithm,
    HostKeyUnknown,
    HostKeyMismatch,
    AuthenticationRejected,
    MoreFactorsRequired,
    Nologin,
    ForcedCommand,
    SessionRefused,
    RuntimeUnreadable,
}

impl FailureCode {
    pub const ALL: [Self; 18] = [
        Self::TargetNotAllowed,
        Self::HostResolutionFailed,
        Self::NetworkUnreachable,
        Self::ConnectionRefused,
        Self::ConnectTimeout,
        Self::ServerBusy,
        Self::NotAnSshServer,
        Self::HandshakeTimeout,
        Self::ConnectionClosed,
        Self::NoCommonAlgorithm,
        Self::HostKeyUnknown,
        Self::HostKeyMismatch,
        Self::AuthenticationRejected,
        Self::MoreFactorsRequired,
        Self::Nologin,
        Self::ForcedCommand,
        Self::SessionRefused,
        Self::RuntimeUnreadable,
    ];

    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// What happened, in one sentence.
    pub const fn message(self) -> &'static str {
        self.row().1
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        self.row().2
    }

    /// The one table: name, message, remedy.
    const fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::TargetNotAllowed => (
                "TARGET_NOT_ALLOWED",
                "Keywright may not connect to this address.",
                "Use an address of the server that the target rules permit, or have the rules changed.",
            ),
            Self::HostResolutionFailed => (
                "HOST_RESOLUTION_FAILED",
                "The host name could not be resolved to an address.",
                "Check the spelling of the host name and that Keywright's DNS servers know it.",
            ),
            Self::NetworkUnreachable => (
                "NETWORK_UNREACHABLE",
                "There is no network path to the server.",
                "Check the address, routing and firewalls between Keywright and the server.",
            ),
            Self::ConnectionRefused => (
                "CONNECTION_REFUSED",
                "The server refused the connection: nothing listens on this port.",
                "Check the port and that the SSH service runs on the server.",
            ),
            Self::ConnectTimeout => (
                "CONNECT_TIMEOUT",
                "The server did not answer the connection attempt in time.",
                "Check that the server is up and that no firewall drops the connection.",
            ),
            Self::ServerBusy => (
                "SERVER_BUSY",
                "The SSH server takes no more connections from here at the moment.",
                "Try again later; raise MaxStartups and PerSourceMaxStartups on the server, or exempt Keywright's address from PerSourcePenalties (PerSourcePenaltyExemptList).",
            ),
            Self::NotAnSshServer => (
                "NOT_AN_SSH_SERVER",
                "What listens on this port does not speak SSH.",
                "Check the port: another service answers there.",
            ),
            Self::HandshakeTimeout => (
                "HANDSHAKE_TIMEOUT",
                "The server accepted the connection but did not complete the SSH exchange in time.",
                "Check the load of the server and that nothing between here and there holds back SSH traffic.",
            ),
            Self::ConnectionClosed => (
                "CONNECTION_CLOSED",
                "The server closed the connection.",
                "Look at the server's SSH log; it may be overloaded (MaxStartups), or block Keywright's address.",
            ),
            Self::NoCommonAlgorithm => (
                "NO_COMMON_ALGORITHM",
                "The server supports no algorithm that Keywright accepts.",
                "Update the SSH server, or enable current algorithms in its configuration.",
            ),
            Self::HostKeyUnknown => (
                "HOST_KEY_UNKNOWN",
                "No host key of this server is known yet.",
                "Scan the server's host keys, compare the fingerprints with the server's own, and approve them.",
            ),
            Self::HostKeyMismatch => (
                "HOST_KEY_MISMATCH",
                "The server presented another host key than the pinned one. Nothing was sent to it.",
                "If the server was reinstalled, have the new fingerprint confirmed on the server and re-pin it. Otherwise somebody may stand between.",
            ),
            Self::AuthenticationRejected => (
                "AUTHENTICATION_REJECTED",
                "The server rejected the login: wrong user, wrong key, or a locked account.",
                "Check the user name, that the public key stands in the account's authorized_keys with sane file modes, and that the account is neither locked nor excluded. The server does not tell which.",
            ),
            Self::MoreFactorsRequired => (
                "MORE_FACTORS_REQUIRED",
                "The server accepted the key but asks for another factor.",
                "Exempt the account from further authentication methods (AuthenticationMethods publickey).",
            ),
            Self::Nologin => (
                "NOLOGIN",
                "The key was accepted but the account may not log in.",
                "Remove /etc/nologin, give the account a login shell, or lift its expiry.",
            ),
            Self::ForcedCommand => (
                "FORCED_COMMAND",
                "The login works, but the server runs a command of its own instead of ours.",
                "Remove the forced command (command= in authorized_keys, ForceCommand in the server's configuration) for this key.",
            ),
            Self::SessionRefused => (
                "SESSION_REFUSED",
                "The login works, but the server opens no session for commands.",
                "Check MaxSessions, the account's shell and home directory (also within a ChrootDirectory), and the server's SSH log.",
            ),
            Self::RuntimeUnreadable => (
                "RUNTIME_UNREADABLE",
                "The session works, but facts about the system could not be read.",
                "Check that the account may run uname, cat and df.",
            ),
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stage that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: FailureCode,
    pub stage: Stage,
    pub message: Cow<'static, str>,
    pub remedy: Cow<'static, str>,
    /// Names in camelCase with short values: fingerprints, addresses, reasons.
    pub facts: Vec<(&'static str, String)>,
    /// How long the failed stage took.
    pub took: Duration,
}

impl Failure {
    pub fn new(stage: Stage, code: FailureCode) -> Self {
        Self {
            code,
            stage,
            message: Cow::Borrowed(code.message()),
            remedy: Cow::Borrowed(code.remedy()),
            facts: Vec::new(),
            took: Duration::ZERO,
        }
    }

    #[must_use]
    pub fn saying(mut self, message: &'static str) -> Self {
        self.message = Cow::Borrowed(message);
        self
    }

    #[must_use]
    pub fn advising(mut self, remedy: &'static str) -> Self {
        self.remedy = Cow::Borrowed(remedy);
        self
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn after(mut self, took: Duration) -> Self {
        self.took = took;
        self
    }

    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_name_and_says_what_to_do() {
        let names: std::collections::BTreeSet<_> = FailureCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(names.len(), FailureCode::ALL.len());
        for code in FailureCode::ALL {
            assert!(code.as_str().chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{code}");
            assert!(code.message().ends_with('.') && code.remedy().ends_with('.'), "{code}");
        }
    }

    #[test]
    fn a_rejection_names_all_three_causes() {
        let said = FailureCode::AuthenticationRejected.message();
        assert!(["user", "key", "locked"].iter().all(|word| said.contains(word)));
    }
}
