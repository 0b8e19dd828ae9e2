//! An alert: so many events of one subject within a time.

use super::rule::Subject;
use keywright_domain::clock::Instant;
use keywright_domain::ids::AlertId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody has acknowledged it.
    Open,
    /// Somebody deals with it.
    Acknowledged,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
        }
    }
}

impl TryFrom<String> for State {
    type Error = ();
    fn try_from(text: String) -> Result<Self, ()> {
        [Self::Open, Self::Acknowledged].into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    pub id: AlertId,
    /// Its place among all, from 1; what is raised later has a higher one. 0 until it is stored.
    pub number: i64,
    pub rule: String,
    pub description: String,
    /// Empty for the platform's: its events are of none, or of several.
    pub tenant: String,
    pub subject_kind: Subject,
    pub subject: String,
    /// Events that it covers.
    pub times: i64,
    /// When the event that raised it was recorded.
    pub raised_at: Instant,
    /// When the last of its events was recorded.
    pub last_at: Instant,
    /// The event that raised it.
    pub event: String,
    pub state: State,
    /// Empty before.
    pub acknowledged_by: String,
    pub acknowledged_at: Option<Instant>,
    pub comment: String,
}
