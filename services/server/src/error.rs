//! Why the server does not start. Each says what to do.

use keywright_runtime::failure::Failure;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the data directory {path} cannot be used: {source}")]
    DataDir { path: PathBuf, source: std::io::Error },
    #[error("the data directory {path} can be read by others; run: chmod 700 {path}")]
    OpenDataDir { path: PathBuf },
    #[error(transparent)]
    Key(#[from] keywright_runtime::keys::KeyError),
    #[error("the {service} database cannot be opened: {source}")]
    Database { service: &'static str, source: keywright_storage::Error },
    #[error(transparent)]
    Policy(#[from] keywright_policy::PolicyError),
    #[error(transparent)]
    Rules(#[from] keywright_runtime::rules::RulesError),
    #[error(transparent)]
    Telemetry(#[from] keywright_runtime::telemetry::TelemetryError),
    #[error(transparent)]
    Gateway(#[from] keywright_gateway::GatewayError),
    #[error(
        "{0} is not a loopback address, and there is no TLS on this listener: give --tls-cert and --tls-key, or listen on 127.0.0.1 and put a TLS proxy in front"
    )]
    NotLoopback(SocketAddr),
    #[error(transparent)]
    Tls(#[from] keywright_runtime::tls::TlsError),
    #[error("{address} cannot be listened on: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("the address of a peer is not a URL: {0}")]
    Peer(String),
    #[error(transparent)]
    Kek(#[from] keywright_credential_store::KekError),
    #[error(transparent)]
    Sealed(#[from] keywright_credential_store::OpenError),
    #[error(transparent)]
    Vault(#[from] keywright_credential_store::VaultError),
    #[error("--sshfp-trust-anchor: {0}")]
    SshfpTrustAnchor(#[from] keywright_connectivity_probe::BadTrustAnchors),
    #[error(transparent)]
    Oidc(#[from] keywright_credential_store::OidcConfigError),
    #[error(transparent)]
    Mail(#[from] keywright_key_lifecycle::MailError),
    #[error(transparent)]
    Forwarding(#[from] keywright_audit::ForwardingError),
    #[error("--audit-forward-ca: {0}")]
    ForwardingAuthority(#[from] keywright_egress::LineError),
    #[error("--smtp-url needs --smtp-from: whom the mails come from")]
    NoSender,
    #[error(
        "there is nothing to put under a passphrase: private keys lie in OpenBao or Vault, or KEYWRIGHT_KEY_ENCRYPTION_KEY is set"
    )]
    NothingToSeal,
    #[error("no passphrase was typed: run it at a terminal, or give --passphrase-file")]
    NoTerminal,
    #[error("the secret store needs a token: set KEYWRIGHT_VAULT_TOKEN or --vault-token-file")]
    NoVaultToken,
    #[error("{path} cannot be read: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    NoRandomness(#[from] keywright_domain::clock::NoRandomness),
    #[error(transparent)]
    Backup(#[from] crate::recovery_error::BackupError),
    #[error("{0}")]
    Failed(#[from] Failure),
    #[error(
        "there is an operator already; its token was written once. An operator can issue others: keywright token create --role operator"
    )]
    InitializedAlready,
}
