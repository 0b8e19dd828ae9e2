//! Where a server is: its name or address, its port, and the host keys that somebody vouches for.

mod known_hosts;

pub use known_hosts::{HostKeyTextError, host_keys};

use crate::key::PublicKey;
use std::fmt;
use std::net::IpAddr;

/// Who a host may show itself to be: by keys of its own, or by a certificate that one of the authorities signed for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHost {
    pub keys: Vec<PublicKey>,
    pub authorities: Vec<PublicKey>,
}

impl KnownHost {
    /// Nobody vouches for the host yet.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.authorities.is_empty()
    }
}

impl From<Vec<PublicKey>> for KnownHost {
    fn from(keys: Vec<PublicKey>) -> Self {
        Self { keys, authorities: Vec::new() }
    }
}

impl From<&[PublicKey]> for KnownHost {
    fn from(keys: &[PublicKey]) -> Self {
        keys.to_vec().into()
    }
}

impl<const N: usize> From<&[PublicKey; N]> for KnownHost {
    fn from(keys: &[PublicKey; N]) -> Self {
        keys.to_vec().into()
    }
}

impl From<&Vec<PublicKey>> for KnownHost {
    fn from(keys: &Vec<PublicKey>) -> Self {
        keys.clone().into()
    }
}

impl From<&Self> for KnownHost {
    fn from(known: &Self) -> Self {
        known.clone()
    }
}

/// A DNS name, an IPv4 or an IPv6 address (without brackets and zone), in lower case. No URL, network, user or port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host; use a DNS name or an IP address, without scheme, user, port, path or brackets")]
pub struct BadHostName;

const MAX: usize = 253;
const MAX_LABEL: usize = 63;

impl HostName {
    pub fn parse(text: &str) -> Result<Self, BadHostName> {
        if let Ok(address) = text.parse::<IpAddr>() {
            // `::ffff:10.0.0.7` is `10.0.0.7`: one host has one spelling.
            return Ok(Self(address.to_canonical().to_string()));
        }
        // One final dot (an absolute name) means the same host.
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let labels_fit = name.split('.').all(|label| {
            let bytes = label.as_bytes();
            (1..=MAX_LABEL).contains(&bytes.len())
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
                && bytes.first() != Some(&b'-')
                && bytes.last() != Some(&b'-')
        });
        // What ends in a number is read as an address by somebody's resolver (`10.1`, `0x7f.1`, `2130706433`).
        let last = name.rsplit('.').next().unwrap_or_default();
        let numeric = last.bytes().all(|byte| byte.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if name.len() <= MAX && labels_fit && !numeric { Ok(Self(name)) } else { Err(BadHostName) }
    }

    /// The address, where it is one and no name has to be resolved.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HostName {
    type Error = BadHostName;
    fn try_from(text: String) -> Result<Self, BadHostName> {
        Self::parse(&text)
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

/// A TCP port, 1 to 65535; 22 where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(u16);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a port; use a number from 1 to 65535")]
pub struct BadPort;

impl Port {
    pub const SSH: Self = Self(22);

    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for Port {
    fn default() -> Self {
        Self::SSH
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i64> for Port {
    type Error = BadPort;
    fn try_from(number: i64) -> Result<Self, BadPort> {
        match u16::try_from(number) {
            Ok(port) if port != 0 => Ok(Self(port)),
            _ => Err(BadPort),
        }
    }
}

impl From<Port> for i64 {
    fn from(port: Port) -> Self {
        Self::from(port.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_taken_in_lower_case() {
        for (given, kept) in [
            ("Web-1.Example.ORG", "web-1.example.org"),
            ("web.", "web"),
            ("host_a.internal", "host_a.internal"),
            ("10.0.0.7", "10.0.0.7"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ] {
            assert_eq!(HostName::parse(given).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        let long = format!("{}.{}", "a".repeat(63), "b.".repeat(120));
        for bad in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "ssh://web",
            "user@web",
            "web:22",
            "[::1]",
            "10.0.0.0/8",
            "web/x",
            "fe80::1%eth0",
            "10.1",
            "0x7f.1",
            "2130706433",
            "127.0.0.01",
            "256.1.1.1",
            "a\n",
            "ä.de",
            "*",
            &long,
        ] {
            assert!(HostName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ports_are_one_to_65535() {
        assert_eq!(Port::try_from(22).unwrap(), Port::default());
        assert_eq!(Port::try_from(65535).unwrap().get(), 65535);
        for bad in [0, -1, 65536, i64::MAX] {
            assert!(Port::try_from(bad).is_err());
        }
    }
}
