//! The name of a key-encryption key, and how far it has come.

use std::fmt;

/// The first 16 hexadecimal digits of a hash of the key: enough to tell keys apart, nothing to find one by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KekId(String);

impl KekId {
    pub const LENGTH: usize = 16;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no id of a key-encryption key")]
pub struct NoKekId;

impl TryFrom<String> for KekId {
    type Error = NoKekId;

    fn try_from(text: String) -> Result<Self, NoKekId> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if digits && text.len() == Self::LENGTH { Ok(Self(text)) } else { Err(NoKekId) }
    }
}

/// The life of a key-encryption key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KekState {
    /// Its file is being written; nothing lies under it.
    Announced,
    /// What is new lies under it.
    Current,
    /// Its successor is current; data keys still lie under it.
    Retiring,
    /// Nothing lies under it any more; its file is to go.
    Retired,
    /// Its file is gone.
    Gone,
}

impl KekState {
    const ALL: [Self; 5] = [Self::Announced, Self::Current, Self::Retiring, Self::Retired, Self::Gone];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Current => "current",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Gone => "gone",
        }
    }
}

impl TryFrom<String> for KekState {
    type Error = NoKekId;

    fn try_from(text: String) -> Result<Self, NoKekId> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(NoKekId)
    }
}
