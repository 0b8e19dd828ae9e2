//! How often one source and one principal may ask, each in buckets of its own.
//!
//! Invariant: a stranger is counted before anything of his request is read, a principal once it is known who he is.

use crate::failure::Failure;
use crate::rate::{Quota, Rate};
use keywright_domain::clock::Clock;
use keywright_proto::AuditClass;
use std::net::IpAddr;

/// The bits of an IPv6 address that one source shares: what a provider gives to one customer.
const IPV6_SOURCE: u32 = 64;

/// What each may, in one process.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// Requests of one source, whoever asks.
    pub source: Quota,
    /// Of these, such as need no token: log-ins and codes.
    pub strangers: Quota,
    /// Requests of one principal.
    pub principal: Quota,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            source: Quota::per_minute(30_000),
            strangers: Quota::per_minute(120),
            principal: Quota::per_minute(12_000),
        }
    }
}

pub struct Quotas {
    sources: Rate,
    strangers: Rate,
    principals: Rate,
}

impl Quotas {
    pub fn new(shares: Shares, clock: &Clock) -> Self {
        Self {
            sources: Rate::new(shares.source, clock.clone()),
            strangers: Rate::new(shares.strangers, clock.clone()),
            principals: Rate::new(shares.principal, clock.clone()),
        }
    }

    /// Counts a request by the address that it came from. What strangers may ask (log-ins, codes) has a smaller bucket
    /// besides.
    pub fn source(&self, address: &str, class: AuditClass) -> Result<(), Failure> {
        let source = address.parse().map_or_else(|_| address.to_owned(), source_of);
        self.sources.take(&source, "Your address sends more requests than one address may.")?;
        if class == AuditClass::Public {
            self.strangers.take(&source, "Your address sends more log-ins than one address may.")?;
        }
        Ok(())
    }

    pub fn principal(&self, id: &str) -> Result<(), Failure> {
        self.principals.take(id, "You send more requests than one principal may.")
    }
}

/// What counts as one source.
pub fn source_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> (u128::BITS - IPV6_SOURCE);
            format!("{network:x}/{IPV6_SOURCE}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_domain::reason::Reason;

    #[test]
    fn strangers_have_the_smaller_bucket_and_each_source_its_own() {
        let shares = Shares::default();
        let quotas = Quotas::new(shares, &Clock::System);
        let logs_in = |source| quotas.source(source, AuditClass::Public);
        for _ in 0..shares.strangers.burst {
            logs_in("192.0.2.1").unwrap();
        }
        assert_eq!(logs_in("192.0.2.1").unwrap_err().reason, Reason::RateLimited);
        quotas.source("192.0.2.1", AuditClass::Read).unwrap();
        logs_in("192.0.2.2").unwrap();
    }

    #[test]
    fn an_ipv6_customer_is_one_source() {
        let source = |address: &str| source_of(address.parse().unwrap());
        assert_eq!(source("2001:db8:1:2::3"), source("2001:db8:1:2:ffff::1"));
        assert_ne!(source("2001:db8:1:2::3"), source("2001:db8:1:3::3"));
        assert_eq!(source("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
