//! The options of an access's lines on one host: what the policy says, as far as the host takes it.

use keywright_domain::authorized_keys::LineOption;

/// What is known of them. None: nothing was recorded yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineOptions {
    /// By the last edit.
    pub written: Option<Vec<LineOption>>,
    /// The host accepted a key with them.
    pub proven: Option<Vec<LineOption>>,
    /// It refused one with them.
    pub refused: Option<Vec<LineOption>>,
}

impl LineOptions {
    /// For an edit that is followed by a proof: what the policy says, unless this host is known to refuse it.
    pub fn tried(self, policy: Vec<LineOption>) -> Vec<LineOption> {
        if self.refused.as_ref() == Some(&policy) { self.proven(policy) } else { policy }
    }

    /// For every other edit: what is known to work.
    pub fn proven(self, policy: Vec<LineOption>) -> Vec<LineOption> {
        self.proven.or(self.written).unwrap_or(policy)
    }

    /// Whether nothing is left to do for the policy.
    pub fn answers(&self, policy: &[LineOption]) -> bool {
        let tried = self.proven.as_deref() == Some(policy) && self.written == self.proven;
        tried || self.refused.as_deref() == Some(policy)
    }
}
