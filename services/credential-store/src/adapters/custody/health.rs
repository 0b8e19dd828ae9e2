//! How the store is right now, as an operator asks: whatever is wrong is an answer, never an error.
//!
//! Invariant: nothing that the store or a driver says gets out but its version.

use super::status::StoreKind;
use super::vault::quiet;
use super::{Custody, CustodyError, SealedStore, VaultStore};
use crate::store::kek;
use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The longest that an operator waits for the answer.
const LIMIT: Duration = Duration::from_secs(3);
/// A version has at most this many characters.
const LONGEST_VERSION: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Active,
    Standby,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub kind: StoreKind,
    pub reachable: bool,
    pub sealed: bool,
    pub role: Role,
    /// Empty where the store did not say it.
    pub version: String,
    pub latency: Duration,
    /// What is wrong, with the remedy; empty when well.
    pub message: &'static str,
}

impl Custody {
    pub async fn health(&self) -> Health {
        let asked = Instant::now();
        let asking = async {
            match self {
                Self::Sealed(store) => store.health().await,
                Self::Vault(store) => store.health().await,
            }
        };
        let kind = match self {
            Self::Sealed(_) => StoreKind::Embedded,
            Self::Vault(_) => StoreKind::Vault,
        };
        let health = timeout(LIMIT, asking).await.unwrap_or_else(|_| unreachable(kind));
        Health { latency: asked.elapsed(), ..health }
    }
}

fn unreachable(kind: StoreKind) -> Health {
    let message = match kind {
        StoreKind::Embedded => "The database does not answer: check that its disk or server is up.",
        StoreKind::Vault => {
            "OpenBao or Vault does not answer: check that it runs, its address, and the network between."
        }
    };
    Health {
        kind,
        reachable: false,
        sealed: false,
        role: Role::Unknown,
        version: String::new(),
        latency: Duration::ZERO,
        message,
    }
}

impl SealedStore {
    async fn health(&self) -> Health {
        let sealed = self.keys.ring().is_err();
        if kek::all(&self.db).await.is_err() {
            return Health { sealed, version: own_version(), ..unreachable(StoreKind::Embedded) };
        }
        Health {
            kind: StoreKind::Embedded,
            reachable: true,
            sealed,
            role: Role::Active,
            version: own_version(),
            latency: Duration::ZERO,
            message: if sealed {
                "The key-encryption key lies under a passphrase: open it with `keywright admin unseal`."
            } else {
                ""
            },
        }
    }
}

fn own_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The part of `/sys/health` that OpenBao and Vault both answer, in every state with 200.
struct ReadHealth;

#[derive(Deserialize)]
struct Answer {
    initialized: bool,
    sealed: bool,
    standby: bool,
    #[serde(default)]
    performance_standby: bool,
    #[serde(default)]
    version: String,
}

impl Endpoint for ReadHealth {
    type Response = Answer;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        "/sys/health".to_owned()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }

    fn query(&self) -> Result<Option<String>, ClientError> {
        const EVERY_STATE: &str = "standbycode=200&sealedcode=200&uninitcode=200&drsecondarycode=200\
                                   &performancestandbycode=200&removedcode=200&haunhealthycode=200";
        Ok(Some(EVERY_STATE.to_owned()))
    }
}

impl VaultStore {
    async fn health(&self) -> Health {
        let asked = quiet(vaultrs::api::exec_with_no_result(&*self.client, ReadHealth)).await;
        let Ok(answer) = asked else { return unreachable(StoreKind::Vault) };
        let message = match (answer.initialized, answer.sealed) {
            (false, _) => "OpenBao or Vault is not initialized: initialize it (bao operator init).",
            (true, true) => "OpenBao or Vault is sealed: unseal it there (bao operator unseal).",
            (true, false) => match self.ready().await {
                Ok(()) => "",
                Err(CustodyError::Sealed) => {
                    "OpenBao or Vault was sealed just now: unseal it there (bao operator unseal)."
                }
                Err(_) => {
                    "OpenBao or Vault answers, but refuses Keywright: check its token, its policy and the mount."
                }
            },
        };
        let role = match (answer.initialized && !answer.sealed, answer.standby || answer.performance_standby)
        {
            (false, _) => Role::Unknown,
            (true, false) => Role::Active,
            (true, true) => Role::Standby,
        };
        Health {
            kind: StoreKind::Vault,
            reachable: true,
            sealed: answer.sealed || !answer.initialized,
            role,
            version: answer.version.chars().filter(|c| !c.is_control()).take(LONGEST_VERSION).collect(),
            latency: Duration::ZERO,
            message,
        }
    }
}
