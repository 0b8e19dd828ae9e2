//! One version of a credential's key: its public half and where it stands.

use keywright_domain::clock::Instant;
use keywright_domain::ids::VersionId;
use keywright_domain::key::PublicKey;

/// About the key, not about a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Staged,
    Active,
    Grace,
    Retired,
    Revoked,
    Failed,
}

impl State {
    pub const ALL: &'static [Self] =
        &[Self::Staged, Self::Active, Self::Grace, Self::Retired, Self::Revoked, Self::Failed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Active => "active",
            Self::Grace => "grace",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
            Self::Failed => "failed",
        }
    }

    /// Whether its key may still be used: proven, in use, or in its grace.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Staged | Self::Active | Self::Grace)
    }

    /// STAGED → ACTIVE → GRACE → RETIRED; STAGED → FAILED; any live state → REVOKED. An ACTIVE version that nobody has
    /// retires without a grace. Staying where it is is always allowed.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Staged, Self::Staged | Self::Active | Self::Failed | Self::Revoked)
                | (Self::Active, Self::Active | Self::Grace | Self::Retired | Self::Revoked)
                | (Self::Grace, Self::Grace | Self::Retired | Self::Revoked)
                | (Self::Retired, Self::Retired)
                | (Self::Revoked, Self::Revoked)
                | (Self::Failed, Self::Failed)
        )
    }
}

impl TryFrom<String> for State {
    type Error = ();
    fn try_from(text: String) -> Result<Self, ()> {
        Self::ALL.iter().find(|state| state.as_str() == text).copied().ok_or(())
    }
}

/// Where the private half came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Plain,
    /// It came encrypted; the passphrase was dropped.
    Encrypted,
    Generated,
    /// Its holder made it and keeps the private half, which was never here.
    Client,
}

impl Origin {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Encrypted => "encrypted",
            Self::Generated => "generated",
            Self::Client => "client",
        }
    }
}

impl TryFrom<String> for Origin {
    type Error = ();
    fn try_from(text: String) -> Result<Self, ()> {
        [Self::Plain, Self::Encrypted, Self::Generated, Self::Client]
            .into_iter()
            .find(|origin| origin.as_str() == text)
            .ok_or(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub id: VersionId,
    pub number: i32,
    pub state: State,
    pub origin: Origin,
    pub public: PublicKey,
    pub compromised_at: Option<Instant>,
    /// When the private half was seen to be gone.
    pub destroyed_at: Option<Instant>,
    pub created_at: Instant,
}

impl Version {
    /// Whether its private half may be used.
    pub const fn is_usable(&self) -> bool {
        self.state.is_live() && self.destroyed_at.is_none() && self.compromised_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::State::*;
    use super::*;

    #[test]
    fn nothing_leaves_an_end_and_every_live_state_can_be_revoked() {
        for from in State::ALL {
            assert!(from.may_become(*from));
            assert_eq!(from.may_become(Revoked), from.is_live() || *from == Revoked);
            for to in State::ALL {
                assert!(from.is_live() || from == to || !from.may_become(*to), "{from:?} to {to:?}");
            }
        }
        assert!(!Active.may_become(Staged) && !Grace.may_become(Active) && !Active.may_become(Failed));
    }
}
