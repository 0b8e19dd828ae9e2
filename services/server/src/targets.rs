//! Which addresses this process may dial: the operator's rules, and never Keywright's own sockets and stores.

use crate::args::Settings;
use keywright_ssh::{Dialer, TargetRules, Timeouts};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

pub fn dialer(settings: &Settings) -> Dialer {
    Dialer::new(rules(settings), Timeouts::default())
}

pub fn rules(settings: &Settings) -> Arc<TargetRules> {
    let embedded = settings.database_url.is_none();
    Arc::new(TargetRules {
        allow: settings.targets.allow_target.clone(),
        deny: settings.targets.deny_target.clone(),
        allow_loopback: settings.targets.allow_loopback_targets.unwrap_or(embedded),
        own_listeners: own_listeners(settings),
    })
}

fn own_listeners(settings: &Settings) -> Vec<SocketAddr> {
    let peers = &settings.peers;
    let urls = [
        settings.database_url.as_deref(),
        settings.vault.vault_addr.as_deref(),
        settings.otlp_endpoint.as_deref(),
        Some(&peers.credential_store_url),
        Some(&peers.key_lifecycle_url),
        Some(&peers.connectivity_probe_url),
        Some(&peers.audit_url),
    ];
    let stores = urls.into_iter().flatten().filter_map(authority).flat_map(|authority| {
        // A name that does not resolve now cannot be dialled either.
        authority.to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default()
    });
    std::iter::once(settings.listen).chain(stores).collect()
}

/// `host:port` of a URL, with the scheme's usual port where it names none.
fn authority(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = match scheme {
        "postgres" | "postgresql" => 5432,
        "https" => 443,
        _ => 80,
    };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Some(if has_port { host.to_owned() } else { format!("{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_of_a_store_is_found() {
        assert_eq!(authority("postgres://u:p@127.0.0.1:5433/db?x=1").unwrap(), "127.0.0.1:5433");
        assert_eq!(authority("postgres://db.example/kw").unwrap(), "db.example:5432");
        assert_eq!(authority("https://[::1]:8200").unwrap(), "[::1]:8200");
        assert_eq!(authority("https://[::1]").unwrap(), "[::1]:443");
        assert_eq!(authority("nonsense"), None);
    }
}
