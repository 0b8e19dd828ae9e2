//! What holds for the keys of an access: what each level says, and what follows when every level is applied.

use keywright_domain::authorized_keys::LineOption;
use keywright_domain::clock::Instant;
use keywright_domain::key::KeyAlgorithm;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

macro_rules! settings {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $name:literal, $default:expr;)*) => {
        /// Every setting, as it holds.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Settings { $($(#[$doc])* pub $field: $type,)* }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        /// What one level says by itself; the rest is inherited.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct OwnSettings { $(pub $field: Option<$type>,)* }

        impl OwnSettings {
            /// All settings said at once.
            pub fn of(settings: Settings) -> Self {
                Self { $($field: Some(settings.$field),)* }
            }

            /// The names of what is said, as in the contract's JSON.
            pub fn names(&self) -> Vec<&'static str> {
                let said = [$(($name, self.$field.is_some()),)*];
                said.into_iter().filter(|(_, said)| *said).map(|(name, _)| name).collect()
            }

            /// The names of what became another, each with what was said before and what is said now.
            pub fn changes(&self, before: &Self) -> Vec<(&'static str, String, String)> {
                let words = [$((
                    $name,
                    before.$field.as_ref().map_or_else(unsaid, Said::said),
                    self.$field.as_ref().map_or_else(unsaid, Said::said),
                ),)*];
                words.into_iter().filter(|(_, from, to)| from != to).collect()
            }
        }

        impl Effective {
            /// Whatever `own` says overrules what held before.
            pub fn apply(&mut self, level: Level, own: &OwnSettings) {
                $(if let Some(value) = &own.$field {
                    self.settings.$field = value.clone();
                    self.origins.insert($name, level);
                })*
            }
        }

        impl Default for Effective {
            fn default() -> Self {
                let origins = [$(($name, Level::Default),)*].into_iter().collect();
                Self { settings: Settings::default(), origins }
            }
        }
    };
}

settings! {
    key_algorithm: KeyAlgorithm = "keyAlgorithm", KeyAlgorithm::Ed25519;
    maximum_age: Duration = "maximumAge", DAY.saturating_mul(90);
    grace_period: Duration = "gracePeriod", DAY;
    automatic_rotation: bool = "automaticRotation", true;
    /// None: at any time.
    rotation_window: Option<Window> = "rotationWindow", None;
    /// Of the lines that Keywright writes.
    line_options: Vec<LineOption> = "lineOptions", Vec::new();
    downloads_per_version: u32 = "downloadsPerVersion", 1;
    forget_after_download: bool = "forgetAfterDownload", false;
    passphrase_required: bool = "passphraseRequired", false;
    client_made_required: bool = "clientMadeRequired", false;
    promote_with_outstanding: bool = "promoteWithOutstanding", false;
    drift_action: DriftAction = "driftAction", DriftAction::Observe;
}

/// A setting in words, as the audit log shows it.
trait Said {
    fn said(&self) -> String;
}

/// Where the level above decides.
fn unsaid() -> String {
    "inherited".to_owned()
}

impl Said for bool {
    fn said(&self) -> String {
        self.to_string()
    }
}

impl Said for u32 {
    fn said(&self) -> String {
        self.to_string()
    }
}

impl Said for Duration {
    fn said(&self) -> String {
        format!("{}s", self.as_secs())
    }
}

impl Said for KeyAlgorithm {
    fn said(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Said for DriftAction {
    fn said(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Said for Vec<LineOption> {
    fn said(&self) -> String {
        let options: Vec<&str> = self.iter().map(LineOption::as_str).collect();
        format!("[{}]", options.join(", "))
    }
}

impl Said for Option<Window> {
    fn said(&self) -> String {
        let Some(window) = self else { return "at any time".to_owned() };
        let name = |day: &u8| WEEKDAYS.get(usize::from(*day)).copied().unwrap_or_default();
        let days: Vec<&str> = window.weekdays.iter().map(name).collect();
        let days = if days.is_empty() { "daily".to_owned() } else { days.join(",") };
        let (hour, minute) = (window.start_minute / 60, window.start_minute % 60);
        format!("{days} {hour:02}:{minute:02} for {}s", window.length.as_secs())
    }
}

/// Where a setting comes from; each overrules the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Default,
    Platform,
    Tenant,
    Access,
}

impl Level {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Platform => "platform",
            Self::Tenant => "tenant",
            Self::Access => "access",
        }
    }
}

/// What holds, and the origin of each setting by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    pub settings: Settings,
    pub origins: BTreeMap<&'static str, Level>,
}

/// The policy of one level as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub own: OwnSettings,
    pub revision: i64,
    pub updated_at: Instant,
    pub updated_by: String,
}

/// Hours in the tenant's time zone in which automatic work may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Monday is 0; none means every day.
    pub weekdays: Vec<u8>,
    /// Minutes after midnight.
    pub start_minute: u16,
    pub length: Duration,
}

/// Monday first.
pub const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriftAction {
    Observe,
    Repair,
}

impl DriftAction {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "OBSERVE",
            Self::Repair => "REPAIR",
        }
    }
}

impl TryFrom<String> for DriftAction {
    type Error = ();
    fn try_from(text: String) -> Result<Self, ()> {
        match text.as_str() {
            "OBSERVE" => Ok(Self::Observe),
            "REPAIR" => Ok(Self::Repair),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_level_that_says_something_wins() {
        let mut holds = Effective::default();
        let platform =
            OwnSettings { grace_period: Some(DAY * 2), downloads_per_version: Some(3), ..Default::default() };
        let access = OwnSettings { grace_period: Some(Duration::ZERO), ..Default::default() };
        holds.apply(Level::Platform, &platform);
        holds.apply(Level::Tenant, &OwnSettings::default());
        holds.apply(Level::Access, &access);
        assert_eq!(holds.settings.grace_period, Duration::ZERO);
        assert_eq!(holds.settings.downloads_per_version, 3);
        assert_eq!(holds.origins["gracePeriod"], Level::Access);
        assert_eq!(holds.origins["downloadsPerVersion"], Level::Platform);
        assert_eq!(holds.origins["keyAlgorithm"], Level::Default);
        assert_eq!(holds.origins.len(), 12);
        assert_eq!(access.names(), ["gracePeriod"]);
    }

    #[test]
    fn every_setting_that_became_another_is_named_with_both_values() {
        let window = Window { weekdays: vec![0, 6], start_minute: 150, length: DAY };
        let before =
            OwnSettings { downloads_per_version: Some(3), grace_period: Some(DAY), ..Default::default() };
        let options = LineOption::parse("no-pty").unwrap();
        let now = OwnSettings {
            grace_period: Some(DAY),
            rotation_window: Some(Some(window)),
            line_options: Some(vec![options]),
            passphrase_required: Some(true),
            ..Default::default()
        };
        let changes = now.changes(&before);
        let seen: Vec<_> =
            changes.iter().map(|(name, from, to)| (*name, from.as_str(), to.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("rotationWindow", "inherited", "mon,sun 02:30 for 86400s"),
                ("lineOptions", "inherited", "[no-pty]"),
                ("downloadsPerVersion", "3", "inherited"),
                ("passphraseRequired", "inherited", "true"),
            ]
        );
        let any = OwnSettings { rotation_window: Some(None), ..Default::default() };
        assert_eq!(any.changes(&now)[1].2, "at any time");
        assert!(OwnSettings::of(Settings::default()).changes(&OwnSettings::default()).len() == 12);
    }
}
