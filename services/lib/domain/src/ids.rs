//! Typed ids: a prefix and 26 random lower-case base32 characters (130 bits, not ordered by time).

use crate::clock::{NoRandomness, fill_random};
use std::fmt;

/// Characters after the prefix.
pub const ID_CHARS: usize = 26;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}<26 characters a-z2-7>")]
pub struct BadId {
    pub prefix: &'static str,
}

fn random_text(prefix: &str) -> Result<String, NoRandomness> {
    let mut bytes = [0u8; ID_CHARS];
    fill_random(&mut bytes)?;
    let mut text = String::with_capacity(prefix.len() + ID_CHARS);
    text.push_str(prefix);
    text.extend(bytes.iter().filter_map(|b| ALPHABET.get(usize::from(b & 31)).map(|c| char::from(*c))));
    Ok(text)
}

fn well_formed(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == ID_CHARS && rest.bytes().all(|b| ALPHABET.contains(&b)))
}

/// The text if it has the form of an id, for logs, spans and answers: whatever else somebody sent as an id (a key, a
/// token) is not repeated.
pub fn shown(text: &str) -> &str {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if text.len() <= 40 && text.bytes().all(plain) { text } else { "(not an id)" }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            pub fn random() -> Result<Self, NoRandomness> {
                Ok(Self(random_text($prefix)?))
            }

            pub fn parse(text: &str) -> Result<Self, BadId> {
                if well_formed(text, $prefix) { Ok(Self(text.to_owned())) } else { Err(BadId { prefix: $prefix }) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The characters after the prefix.
            pub fn bare(&self) -> &str {
                self.0.get($prefix.len()..).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                if well_formed(&text, $prefix) { Ok(Self(text)) } else { Err(BadId { prefix: $prefix }) }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )*};
}

ids! {
    /// A tenant.
    TenantId = "ten_";
    /// A server.
    ServerId = "srv_";
    /// A saved or managed SSH credential.
    CredentialId = "sshcred_";
    /// One numbered version of a credential.
    VersionId = "ver_";
    /// A tenant's SSH access to one account.
    AccessId = "acc_";
    /// A rotation (provision, rotate, regenerate).
    RotationId = "rot_";
    /// A revocation.
    RevocationId = "rev_";
    /// A connectivity test.
    TestId = "ctest_";
    /// A connectivity test of many servers.
    FleetTestId = "ftest_";
    /// A signature that a test waits for.
    SignatureRequestId = "sigreq_";
    /// An audit event (an intent).
    EventId = "evt_";
    /// Something that the audit log was watched for.
    AlertId = "alt_";
    /// An API token.
    TokenId = "tok_";
    /// An invitation.
    InvitationId = "inv_";
    /// A principal: a person, a service or the platform's first operator.
    PrincipalId = "prn_";
    /// A download claim.
    ClaimId = "clm_";
    /// A request, as seen at the edge.
    RequestId = "req_";
    /// An installation of a management key on a server.
    ManagementId = "mgt_";
    /// A campaign.
    CampaignId = "cmp_";
    /// A challenge to prove the possession of a key.
    ChallengeId = "chl_";
    /// A notification target.
    NotificationTargetId = "ntf_";
    /// A message to a notification target.
    MessageId = "msg_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_id_is_not_shown() {
        assert_eq!(shown("srv_abc"), "srv_abc");
        assert_eq!(shown("-----BEGIN OPENSSH PRIVATE KEY-----"), "(not an id)");
        assert_eq!(shown(&"a".repeat(41)), "(not an id)");
    }

    #[test]
    fn a_random_id_parses_and_a_mangled_one_does_not() {
        let id = ServerId::random().unwrap();
        assert_eq!(ServerId::parse(id.as_str()).unwrap(), id);
        assert_eq!(id.bare().len(), ID_CHARS);
        assert!(TenantId::parse(id.as_str()).is_err());
        assert!(ServerId::parse(&id.as_str().to_uppercase()).is_err());
        assert!(ServerId::parse(&format!("{id}a")).is_err());
        assert!(ServerId::parse("srv_").is_err());
    }
}
