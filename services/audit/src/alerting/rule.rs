//! What the log is watched for. A rule without an outcome and a reason is about beginnings, and judges an intent as it
//! arrives; one with either is about endings, and judges the outcome's own entry.

use super::hours::Hours;
use super::watch::{Entry, Half};
use std::time::Duration;

pub const MOST_ACTIONS: usize = 20;
pub const MOST_TIMES: i64 = 10_000;
pub const LONGEST_WINDOW: Duration = Duration::from_secs(604_800);
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(300);
/// Of operators.
pub const MOST_RULES: i64 = 100;

/// What a rule counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Actor,
    Target,
    /// The address that the request came from.
    Source,
    Tenant,
}

impl Subject {
    pub const ALL: [Self; 4] = [Self::Actor, Self::Target, Self::Source, Self::Tenant];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Target => "target",
            Self::Source => "source",
            Self::Tenant => "tenant",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.as_str() == text)
    }

    /// Empty where the entry has none, or where it was erased.
    pub fn of(self, entry: &Entry) -> &str {
        match self {
            Self::Actor => &entry.actor,
            Self::Target => &entry.target,
            Self::Source => &entry.source,
            Self::Tenant => &entry.tenant,
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = ();
    fn try_from(text: String) -> Result<Self, ()> {
        Self::parse(&text).ok_or(())
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Succeeded,
    Failed,
    Denied,
    Interrupted,
}

impl Ending {
    pub const ALL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::Denied, Self::Interrupted];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Interrupted => "interrupted",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.as_str() == text)
    }
}

/// Whose events count. Only the rules that Keywright brings tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actors {
    All,
    People,
    /// People and programs, not Keywright's own work.
    Outside,
}

impl Actors {
    fn include(self, kind: &str) -> bool {
        match self {
            Self::All => true,
            Self::People => kind == "user",
            Self::Outside => kind != "system",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub id: String,
    pub description: String,
    /// Names of actions; `session.*` for all that begin so, `*` for every one.
    pub actions: Vec<String>,
    /// Any of these; none for every one. An operator's rule has at most one.
    pub endings: Vec<Ending>,
    /// Likewise.
    pub reasons: Vec<String>,
    pub subject: Subject,
    pub actors: Actors,
    pub threshold: i64,
    pub window: Duration,
    pub hours: Option<Hours>,
    pub disabled: bool,
    pub built_in: bool,
}

impl Rule {
    /// Whether an entry counts, but for its hour and its subject.
    pub fn matches(&self, entry: &Entry) -> bool {
        let half = match &entry.half {
            Half::Intent => self.endings.is_empty() && self.reasons.is_empty(),
            Half::Outcome { ending, reason } => {
                (!self.endings.is_empty() || !self.reasons.is_empty())
                    && (self.endings.is_empty() || self.endings.contains(ending))
                    && (self.reasons.is_empty() || self.reasons.contains(reason))
            }
        };
        half && !self.disabled
            && self.actors.include(&entry.actor_kind)
            && self.actions.iter().any(|pattern| covers(pattern, &entry.action))
    }

    /// Whether it counts the same events in the same way, so that what was counted so far still holds.
    pub fn counts_as(&self, other: &Self) -> bool {
        self.actions == other.actions
            && self.endings == other.endings
            && self.reasons == other.reasons
            && self.subject == other.subject
            && self.hours == other.hours
    }
}

fn covers(pattern: &str, action: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => action.starts_with(beginning),
        None => pattern == action,
    }
}

/// `[a-z0-9-]{1,64}`.
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The name of an action, the beginning of some with `.*`, or `*`.
pub fn is_pattern(text: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let name = text.strip_suffix(".*").unwrap_or(text);
    text.len() <= 64 && (text == "*" || name.split('.').all(word))
}

/// As errors and checks name it: `KEY_COMPROMISED`.
pub fn is_reason(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_names_and_beginnings() {
        for (pattern, action, covered) in [
            ("session.login", "session.login", true),
            ("session.login", "session.logins", false),
            ("session.*", "session.open", true),
            ("session.*", "sessions.open", false),
            ("*", "anything.at_all", true),
        ] {
            assert_eq!(covers(pattern, action), covered, "{pattern} {action}");
        }
        for good in ["*", "session.*", "access.download", "server.host_key_mismatch", "a.b.c"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in ["", "**", "session*", "session.*.x", ".x", "x.", "Session.open", "a b", ".*", "*.x"] {
            assert!(!is_pattern(bad), "{bad}");
        }
        assert!(is_id("night-access-2") && !is_id("") && !is_id("Night") && !is_id(&"a".repeat(65)));
        assert!(is_reason("KEY_COMPROMISED") && is_reason("") && !is_reason("key") && !is_reason("A B"));
    }
}
