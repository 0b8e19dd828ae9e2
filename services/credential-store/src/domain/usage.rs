//! Who uses a credential, and the gate that rests on it.
//!
//! Invariant: a usage that could not be read is an error, never an empty `Usage`.

use super::server::Lifecycle;
use aws_lc_rs::digest;
use keywright_domain::ids::ServerId;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;

/// Ids named in a refusal; the usage itself lists them all.
const NAMED: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUse {
    pub server: ServerId,
    pub name: String,
    pub lifecycle: Lifecycle,
    pub host: String,
    pub username: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub owner: String,
    pub purpose: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub servers: Vec<ServerUse>,
    pub references: Vec<Reference>,
    /// How often it changed since the credential was created.
    pub changes: i64,
}

impl Usage {
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.references.is_empty()
    }

    pub fn active(&self) -> usize {
        self.servers.iter().filter(|server| server.lifecycle == Lifecycle::Active).count()
    }

    pub fn inactive(&self) -> usize {
        self.servers.len().saturating_sub(self.active())
    }

    /// Differs after any change of what stands here.
    pub fn revision(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut text = |value: &str| {
            context.update(&value.len().to_be_bytes());
            context.update(value.as_bytes());
        };
        text(&self.changes.to_string());
        for server in &self.servers {
            for value in [
                server.server.as_str(),
                &server.name,
                server.lifecycle.as_str(),
                &server.host,
                &server.username,
            ] {
                text(value);
            }
        }
        text("references");
        for reference in &self.references {
            text(&reference.owner);
            text(&reference.purpose);
        }
        let digest = context.finish();
        data_encoding::BASE64URL_NOPAD.encode(digest.as_ref().get(..15).unwrap_or_default())
    }

    /// A deletion needs that nothing uses the credential.
    pub fn allow_deletion(&self) -> Result<(), Failure> {
        if self.is_empty() {
            return Ok(());
        }
        Err(self.refusal(Reason::CredentialInUse, "The credential is in use."))
    }

    /// What was read must still hold, where the caller says what it read.
    pub fn require_revision(&self, expected: Option<&str>) -> Result<(), Failure> {
        if expected.is_none_or(|expected| expected == self.revision()) {
            return Ok(());
        }
        Err(self.refusal(Reason::UsageChanged, "Who uses the credential has changed since it was read."))
    }

    /// A rotation needs that its effect on whatever uses the credential is acknowledged.
    pub fn allow_rotation(&self, acknowledged: bool, expected_revision: Option<&str>) -> Result<(), Failure> {
        self.require_revision(expected_revision)?;
        if acknowledged || self.is_empty() {
            return Ok(());
        }
        Err(self.refusal(
            Reason::UsageAcknowledgementRequired,
            "What uses this credential will use the new key from now on.",
        ))
    }

    fn refusal(&self, reason: Reason, message: &str) -> Failure {
        let ids: Vec<&str> = self.servers.iter().take(NAMED).map(|server| server.server.as_str()).collect();
        Failure::new(reason, message)
            .with("totalServers", self.servers.len().to_string())
            .with("activeServers", self.active().to_string())
            .with("inactiveServers", self.inactive().to_string())
            .with("totalReferences", self.references.len().to_string())
            .with("serverIds", ids.join(","))
    }
}

/// What a caller is told when the usage cannot be read.
pub fn unavailable() -> Failure {
    Failure::new(
        Reason::UsageUnavailable,
        "Who uses the credential cannot be read; this is not zero usage, so nothing was changed.",
    )
}
