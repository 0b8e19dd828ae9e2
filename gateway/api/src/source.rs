//! Where a request really comes from: the TCP peer, or, behind proxies that the operator trusts, what they say of it.

use http::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Proxies whose `X-Forwarded-For` is believed. Nobody else's is.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The last address that no trusted proxy stands for: each proxy appends whom it saw, so the list is read from its
    /// end, and what stands before a stranger's address is the stranger's own word.
    pub fn source(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let mut source = peer.ip().to_canonical();
        let seen: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok()).collect();
        for hop in seen.join(",").rsplit(',') {
            if !self.trusts(source) {
                break;
            }
            match hop.trim().parse::<IpAddr>() {
                Ok(address) => source = address.to_canonical(),
                Err(_) => break,
            }
        }
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let proxies = TrustedProxies::new(trusted.iter().map(|network| network.parse().unwrap()).collect());
        proxies.source(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(source(&[], "127.0.0.1:9", &["192.0.2.7"]), "127.0.0.1");
        assert_eq!(source(&["127.0.0.1/32"], "192.0.2.1:9", &["192.0.2.7"]), "192.0.2.1");
        assert_eq!(source(&["127.0.0.1/32"], "127.0.0.1:9", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(source(&["127.0.0.1/32"], "127.0.0.1:9", &[]), "127.0.0.1");
    }

    #[test]
    fn what_a_stranger_writes_before_his_own_address_counts_for_nothing() {
        let trusted = ["127.0.0.1/32", "10.0.0.0/8"];
        assert_eq!(source(&trusted, "127.0.0.1:9", &["198.51.100.1, 192.0.2.7, 10.0.0.2"]), "192.0.2.7");
        assert_eq!(source(&trusted, "127.0.0.1:9", &["198.51.100.1", "192.0.2.7"]), "192.0.2.7");
        assert_eq!(source(&trusted, "127.0.0.1:9", &["192.0.2.7, rubbish"]), "127.0.0.1");
        assert_eq!(source(&trusted, "127.0.0.1:9", &["::ffff:192.0.2.7"]), "192.0.2.7");
    }
}
