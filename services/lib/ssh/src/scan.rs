//! Which host keys a server has.
//!
//! A server shows one key per handshake, so there is one handshake for each kind, one after the other, each ending
//! before authentication. Invariant: whole or not at all; a scan that lost a connection half-way reports nothing.

use std::collections::BTreeMap;

use keywright_domain::host::KnownHost;
use keywright_domain::key::PublicKey;
use tracing::instrument;

use crate::algorithms::{self, HOST_KEYS};
use crate::authenticate::LoginError;
use crate::dial::{Dialer, Resolved};
use crate::failure::{Failure, FailureCode};
use crate::handshake::Refusal;
use crate::target::Target;

/// What a scan showed. Nothing is trusted by it.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// Every host key that Keywright would accept, in order of preference.
    pub keys: Vec<PublicKey>,
    /// The identification line, such as `SSH-2.0-OpenSSH_9.2p1`.
    pub server_version: String,
}

impl Dialer {
    #[instrument(skip_all)]
    pub async fn scan_host_keys(&self, target: &Target) -> Result<Scanned, LoginError> {
        let resolved = self.resolve(target).await?.value;
        self.scan(&resolved).await
    }

    /// The keys alone, where the name was resolved already: it is not asked again.
    #[instrument(skip_all)]
    pub async fn scan_resolved(&self, resolved: &Resolved) -> Result<Vec<PublicKey>, LoginError> {
        Ok(self.scan(resolved).await?.keys)
    }

    /// No more connections than needed: a server may charge for each that ends without a login (PerSourcePenalties).
    async fn scan(&self, resolved: &Resolved) -> Result<Scanned, LoginError> {
        let mut address = None;
        let mut found: BTreeMap<usize, PublicKey> = BTreeMap::new();
        let mut listed: Option<Vec<String>> = None;
        let (mut last, mut server_version) = (None, String::new());
        // The rare kinds first: a server without one answers with the list of what it has, which spares the rest.
        for (rank, kind) in HOST_KEYS.into_iter().enumerate().rev() {
            if listed.as_ref().is_some_and(|server| !algorithms::offered(kind, server)) {
                continue;
            }
            let dialed = self.dial(resolved).await?.value;
            // All keys must come from one machine, also where a name has several addresses.
            if *address.get_or_insert(dialed.address()) != dialed.address() {
                return Err(Failure::new(crate::Stage::Tcp, FailureCode::ConnectionClosed)
                    .saying("The name led to another machine in the middle of the scan.")
                    .into());
            }
            match self.exchange(dialed, KnownHost::default(), algorithms::only(kind)).await {
                Ok(greeted) => {
                    found.insert(rank, greeted.value.host_key().clone());
                    greeted.value.server_version().clone_into(&mut server_version);
                }
                Err(Refusal { failure, server_host_key_algorithms }) => {
                    if failure.code != FailureCode::NoCommonAlgorithm {
                        return Err(failure.into());
                    }
                    listed = server_host_key_algorithms.or(listed);
                    last = Some(failure);
                }
            }
        }
        match last {
            Some(failure) if found.is_empty() => Err(failure.into()),
            _ => Ok(Scanned { keys: found.into_values().collect(), server_version }),
        }
    }
}
