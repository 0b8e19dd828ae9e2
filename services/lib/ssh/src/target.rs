//! Which addresses Keywright may dial.
//!
//! Invariant: an address is judged in its plainest form (IPv4 inside IPv6 is taken out first), and Keywright's own
//! listeners can be reached by no spelling of them. The built-in denials are not lifted by the allow list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// What somebody wants to connect to: a name or an address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    pub host: String,
    pub port: u16,
}

impl Target {
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

/// The operator's rules. With an empty `allow` everything that is not denied may be dialled; otherwise only what it
/// names. Always denied: link-local, cloud metadata, multicast, unspecified, broadcast, own listeners.
#[derive(Debug, Clone, Default)]
pub struct TargetRules {
    pub allow: Vec<IpNet>,
    pub deny: Vec<IpNet>,
    pub allow_loopback: bool,
    /// Keywright's own sockets and stores, as bound. An unspecified address stands for every address of this machine.
    pub own_listeners: Vec<SocketAddr>,
}

/// Why an address may not be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    Unspecified,
    Broadcast,
    Multicast,
    LinkLocal,
    CloudMetadata,
    Loopback,
    OwnListener,
    DeniedNetwork,
    OutsideAllowedNetworks,
}

impl Denied {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified address",
            Self::Broadcast => "broadcast address",
            Self::Multicast => "multicast address",
            Self::LinkLocal => "link-local address",
            Self::CloudMetadata => "cloud metadata service",
            Self::Loopback => "loopback address",
            Self::OwnListener => "one of Keywright's own listeners",
            Self::DeniedNetwork => "in a denied network",
            Self::OutsideAllowedNetworks => "outside the allowed networks",
        }
    }
}

/// Metadata services that do not already fall under link-local.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

impl TargetRules {
    /// The address in the form in which it is dialled, or why it is not.
    pub fn check(&self, address: SocketAddr) -> Result<SocketAddr, Denied> {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        self.check_ip(address.ip(), address.port())?;
        if let Some(inner) = carried_v4(address.ip()) {
            self.check_ip(IpAddr::V4(inner), address.port())?;
        }
        Ok(address)
    }

    fn check_ip(&self, ip: IpAddr, port: u16) -> Result<(), Denied> {
        builtin(ip)?;
        let own = |l: &SocketAddr| {
            let listener = l.ip().to_canonical();
            l.port() == port && (listener == ip || (listener.is_unspecified() && ip.is_loopback()))
        };
        if self.own_listeners.iter().any(own) {
            return Err(Denied::OwnListener);
        }
        if self.deny.iter().any(|net| net.contains(&ip)) {
            return Err(Denied::DeniedNetwork);
        }
        if ip.is_loopback() {
            return if self.allow_loopback { Ok(()) } else { Err(Denied::Loopback) };
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|net| net.contains(&ip)) {
            return Err(Denied::OutsideAllowedNetworks);
        }
        Ok(())
    }

    /// After connecting: whether the other end is this machine, on a port where Keywright listens on every address.
    /// Only the connection itself tells that an address is one of our own.
    pub(crate) fn reached_own_listener(&self, local: SocketAddr, peer: SocketAddr) -> bool {
        local.ip().to_canonical() == peer.ip().to_canonical()
            && self.own_listeners.iter().any(|l| l.ip().is_unspecified() && l.port() == peer.port())
    }
}

fn builtin(ip: IpAddr) -> Result<(), Denied> {
    if METADATA.contains(&ip) || ip == IpAddr::V4(METADATA_V4) {
        return Err(Denied::CloudMetadata);
    }
    if ip.is_multicast() {
        return Err(Denied::Multicast);
    }
    match ip {
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Err(Denied::Unspecified),
        IpAddr::V4(v4) if v4.is_broadcast() => Err(Denied::Broadcast),
        IpAddr::V4(v4) if v4.is_link_local() => Err(Denied::LinkLocal),
        IpAddr::V6(v6) if v6.is_unspecified() => Err(Denied::Unspecified),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Err(Denied::LinkLocal),
        _ => Ok(()),
    }
}

/// The IPv4 address that a translating network would deliver this to: NAT64, 6to4, IPv4-compatible.
fn carried_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = ip else { return None };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0x64, 0xff9b, 0, 0, 0, 0) => Some(join(g, h)),
        (0x2002, high, low, ..) => Some(join(high, low)),
        (0, 0, 0, 0, 0, 0) if !v6.is_loopback() && !v6.is_unspecified() => Some(join(g, h)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(rules: &TargetRules, address: &str) -> Result<String, Denied> {
        rules.check(address.parse().unwrap()).map(|a| a.to_string())
    }

    #[test]
    fn dangerous_addresses_are_denied_in_every_spelling() {
        let rules = TargetRules {
            allow_loopback: true,
            allow: vec!["::/0".parse().unwrap(), "0.0.0.0/0".parse().unwrap()],
            ..Default::default()
        };
        for (address, why) in [
            ("169.254.169.254:22", Denied::CloudMetadata),
            ("[::ffff:169.254.169.254]:22", Denied::CloudMetadata),
            ("[64:ff9b::a9fe:a9fe]:22", Denied::CloudMetadata),
            ("[2002:a9fe:a9fe::1]:22", Denied::CloudMetadata),
            ("[::169.254.169.254]:22", Denied::CloudMetadata),
            ("[fd00:ec2::254]:22", Denied::CloudMetadata),
            ("169.254.1.1:22", Denied::LinkLocal),
            ("[fe80::1]:22", Denied::LinkLocal),
            ("[ff02::1]:22", Denied::Multicast),
            ("224.0.0.1:22", Denied::Multicast),
            ("0.0.0.0:22", Denied::Unspecified),
            ("0.1.2.3:22", Denied::Unspecified),
            ("[::]:22", Denied::Unspecified),
            ("255.255.255.255:22", Denied::Broadcast),
        ] {
            assert_eq!(judge(&rules, address), Err(why), "{address}");
        }
    }

    #[test]
    fn loopback_needs_leave() {
        let mut rules = TargetRules::default();
        for address in ["127.0.0.1:22", "127.9.9.9:22", "[::1]:22", "[::ffff:127.0.0.1]:22"] {
            assert_eq!(judge(&rules, address), Err(Denied::Loopback), "{address}");
        }
        rules.allow_loopback = true;
        assert_eq!(judge(&rules, "[::ffff:127.0.0.1]:22").unwrap(), "127.0.0.1:22");
        assert_eq!(judge(&rules, "[::1]:22").unwrap(), "[::1]:22");
    }

    #[test]
    fn own_listeners_are_denied_by_address_and_port() {
        let own = |text: &str| TargetRules {
            allow_loopback: true,
            own_listeners: vec![text.parse().unwrap()],
            ..Default::default()
        };
        let exact = own("127.0.0.1:8480");
        assert_eq!(judge(&exact, "127.0.0.1:8480"), Err(Denied::OwnListener));
        assert_eq!(judge(&exact, "[::ffff:127.0.0.1]:8480"), Err(Denied::OwnListener));
        assert!(judge(&exact, "127.0.0.1:22").is_ok());
        let everywhere = own("[::]:8480");
        assert_eq!(judge(&everywhere, "127.3.3.3:8480"), Err(Denied::OwnListener));
        let me = "192.0.2.7:40000".parse().unwrap();
        assert!(everywhere.reached_own_listener(me, "192.0.2.7:8480".parse().unwrap()));
        assert!(!everywhere.reached_own_listener(me, "192.0.2.8:8480".parse().unwrap()));
        assert!(!everywhere.reached_own_listener(me, "192.0.2.7:22".parse().unwrap()));
    }

    #[test]
    fn networks_are_allowed_and_denied() {
        let rules = TargetRules {
            allow: vec!["10.0.0.0/8".parse().unwrap()],
            deny: vec!["10.9.0.0/16".parse().unwrap()],
            ..Default::default()
        };
        assert!(judge(&rules, "10.1.2.3:22").is_ok());
        assert!(judge(&rules, "[::ffff:10.1.2.3]:22").is_ok());
        assert_eq!(judge(&rules, "10.9.2.3:22"), Err(Denied::DeniedNetwork));
        assert_eq!(judge(&rules, "[::ffff:10.9.2.3]:22"), Err(Denied::DeniedNetwork));
        assert_eq!(judge(&rules, "192.0.2.1:22"), Err(Denied::OutsideAllowedNetworks));
        assert!(judge(&TargetRules::default(), "192.0.2.1:22").is_ok());
    }
}
