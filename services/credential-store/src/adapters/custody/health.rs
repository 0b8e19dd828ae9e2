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
use vaultrs::error::ClientError as VaultClientError;

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

/// Its answer, whatever the status: something in between may not pass the parameters on, and then a standby says 429.
fn said(asked: Result<Answer, VaultClientError>) -> Option<Answer> {
    match asked {
        Ok(answer) => Some(answer),
        Err(VaultClientError::RestClientError {
            source: ClientError::ServerResponseError { content: Some(content), .. },
        }) => serde_json::from_str(&content).ok(),
        Err(_) => None,
    }
}

impl VaultStore {
    async fn health(&self) -> Health {
        let asked = quiet(vaultrs::api::exec_with_no_result(&*self.client, ReadHealth)).await;
        let Some(answer) = said(asked) else { return unreachable(StoreKind::Vault) };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::custody::VaultSettings;
    use keywright_domain::secret::Secret;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A node that answers about itself like this; with its own status codes where nobody passes the parameters on.
    async fn node(about: &'static str, status: u16, heeds: bool) -> VaultStore {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
                let (status, body) = match line.contains("/v1/sys/health") {
                    true if heeds && line.contains(&format!("{}=200", code(status))) => (200, about),
                    true => (status, about),
                    false => (404, r#"{"errors": []}"#),
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        store(&address)
    }

    fn code(status: u16) -> &'static str {
        match status {
            429 => "standbycode",
            473 => "performancestandbycode",
            503 => "sealedcode",
            501 => "uninitcode",
            _ => "activecode",
        }
    }

    fn store(address: &str) -> VaultStore {
        VaultStore::new(&VaultSettings {
            address: address.to_owned(),
            token: Secret::from_text("token".to_owned()),
            ca_certificates: Vec::new(),
            namespace: None,
            mount: "secret".to_owned(),
            prefix: String::new(),
            timeout: Duration::from_secs(5),
        })
        .unwrap()
    }

    #[tokio::test]
    async fn every_state_of_a_node_is_told() {
        const ACTIVE: &str = r#"{"initialized":true,"sealed":false,"standby":false,"version":"2.4.1"}"#;
        const STANDBY: &str = r#"{"initialized":true,"sealed":false,"standby":true,"version":"2.4.1"}"#;
        const PERFORMANCE: &str =
            r#"{"initialized":true,"sealed":false,"standby":false,"performance_standby":true}"#;
        const SEALED: &str = r#"{"initialized":true,"sealed":true,"standby":true,"version":"2.4.1"}"#;
        const NEW: &str = r#"{"initialized":false,"sealed":true,"standby":true}"#;
        let cases = [
            (ACTIVE, 200, Role::Active, false, ""),
            (STANDBY, 429, Role::Standby, false, ""),
            (PERFORMANCE, 473, Role::Standby, false, ""),
            (SEALED, 503, Role::Unknown, true, "unseal"),
            (NEW, 501, Role::Unknown, true, "initialize"),
        ];
        for (about, status, role, sealed, remedy) in cases {
            for heeds in [true, false] {
                let health = Custody::Vault(node(about, status, heeds).await).health().await;
                assert!(health.reachable, "{status} {heeds}");
                assert_eq!((health.role, health.sealed), (role, sealed), "{status} {heeds}");
                assert!(health.message.contains(remedy), "{status}: {}", health.message);
                assert_eq!(health.message.is_empty(), remedy.is_empty(), "{status}: {}", health.message);
            }
        }
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let health = Custody::Vault(store(&format!("http://{nobody}"))).health().await;
        assert!(!health.reachable && health.role == Role::Unknown && !health.message.is_empty());
        let rubbish = Custody::Vault(node("<html>", 502, false).await).health().await;
        assert!(!rubbish.reachable, "what something in between says is no answer");
    }
}
