//! From a name to the addresses that may be dialled.
//!
//! Invariant: a name is resolved once; if one of its addresses is denied the whole name is refused, so that nobody
//! can mix a harmless and a forbidden address and hope for the order.

use std::net::{IpAddr, SocketAddr};

use tokio::time::{Instant, timeout_at};

use crate::failure::{Failure, FailureCode, Stage};
use crate::target::TargetRules;

/// More addresses of one name than this are not tried.
const MAX_ADDRESSES: usize = 16;

/// Resolves `host` (a name, an IPv4 or an IPv6 address, with or without brackets) and checks every address.
pub async fn resolve(
    host: &str,
    port: u16,
    rules: &TargetRules,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, Failure> {
    let started = Instant::now();
    let failed = |code| Failure::new(Stage::Dns, code).after(started.elapsed());
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let found: Vec<SocketAddr> = if let Ok(ip) = bare.parse::<IpAddr>() {
        vec![SocketAddr::new(ip, port)]
    } else {
        match timeout_at(deadline, tokio::net::lookup_host((bare, port))).await {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(_)) => return Err(failed(FailureCode::HostResolutionFailed)),
            Err(_) => {
                return Err(failed(FailureCode::HostResolutionFailed)
                    .saying("The host name was not resolved in time."));
            }
        }
    };
    let mut checked: Vec<SocketAddr> = Vec::new();
    for address in found {
        let address = rules.check(address).map_err(|denied| {
            failed(FailureCode::TargetNotAllowed)
                .with("address", address.ip().to_string())
                .with("because", denied.as_str())
        })?;
        if !checked.contains(&address) && checked.len() < MAX_ADDRESSES {
            checked.push(address);
        }
    }
    if checked.is_empty() { Err(failed(FailureCode::HostResolutionFailed)) } else { Ok(checked) }
}
