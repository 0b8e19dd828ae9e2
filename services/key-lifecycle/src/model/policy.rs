//! What holds for the keys of an access, with every level applied.

use keywright_domain::authorized_keys::LineOption;
use keywright_domain::key::KeyAlgorithm;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Every setting, as it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub key_algorithm: KeyAlgorithm,
    pub maximum_age: Duration,
    pub grace_period: Duration,
    pub automatic_rotation: bool,
    /// None: at any time.
    pub rotation_window: Option<Window>,
    /// Of the lines that Keywright writes.
    pub line_options: Vec<LineOption>,
    pub downloads_per_version: u32,
    pub forget_after_download: bool,
    pub passphrase_required: bool,
    pub client_made_required: bool,
    pub promote_with_outstanding: bool,
    pub drift_action: DriftAction,
}

/// Hours in the tenant's time zone in which automatic work may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Monday is 0; none means every day.
    pub weekdays: Vec<u8>,
    /// Minutes after midnight.
    pub start_minute: u16,
    pub length: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriftAction {
    Observe,
    Repair,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key_algorithm: KeyAlgorithm::Ed25519,
            maximum_age: DAY.saturating_mul(90),
            grace_period: DAY,
            automatic_rotation: true,
            rotation_window: None,
            line_options: Vec::new(),
            downloads_per_version: 1,
            forget_after_download: false,
            passphrase_required: false,
            client_made_required: false,
            promote_with_outstanding: false,
            drift_action: DriftAction::Observe,
        }
    }
}
