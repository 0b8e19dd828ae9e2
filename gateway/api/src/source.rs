//! Where a request really comes from: the TCP peer, or, behind proxies that the operator trusts, what they say of it.

use http::HeaderMap;
use ipnet::IpNet;
use keywright_runtime::tls::Connection;
use std::net::IpAddr;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Proxies whose `X-Forwarded-For` is believed. Nobody else's is.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The last address that no trusted proxy stands for: each proxy appends whom it saw, so the list is read from its
    /// end, and what stands before a stranger's address is the stranger's own word.
    pub fn source(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut source = peer.to_canonical();
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

    /// Whether the client came by TLS: to us, or to a trusted proxy that says so.
    pub fn encrypted(&self, connection: &Connection, headers: &HeaderMap) -> bool {
        let by_proxy = || connection.source_ip.parse().is_ok_and(|peer| self.trusts(peer));
        let said = headers.get_all(FORWARDED_PROTO).iter().next_back().and_then(|value| value.to_str().ok());
        let last = said.and_then(|value| value.rsplit(',').next()).map(str::trim);
        connection.encrypted
            || (by_proxy() && last.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")))
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
        let peer: std::net::SocketAddr = peer.parse().unwrap();
        proxies.source(peer.ip(), &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(source(&[], "127.0.0.1:9", &["192.0.2.7"]), "127.0.0.1");
        assert_eq!(source(&["127.0.0.1/32"], "192.0.2.1:9", &["192.0.2.7"]), "192.0.2.1");
        assert_eq!(source(&["127.0.0.1/32"], "127.0.0.1:9", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(source(&["127.0.0.1/32"], "127.0.0.1:9", &[]), "127.0.0.1");
    }

    #[test]
    fn only_a_trusted_proxy_says_that_the_client_came_by_tls() {
        let proxies = TrustedProxies::new(vec!["127.0.0.1/32".parse().unwrap()]);
        let mut said = HeaderMap::new();
        said.insert(FORWARDED_PROTO, "http, HTTPS".parse().unwrap());
        let from = |source_ip: &str, encrypted| Connection {
            source_ip: source_ip.to_owned(),
            encrypted,
            ..Connection::default()
        };
        assert!(proxies.encrypted(&from("127.0.0.1", false), &said));
        assert!(!proxies.encrypted(&from("192.0.2.1", false), &said));
        assert!(!proxies.encrypted(&from("127.0.0.1", false), &HeaderMap::new()));
        assert!(proxies.encrypted(&from("192.0.2.1", true), &HeaderMap::new()));
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
