//! What the command line and the environment say.

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A control plane for SSH credentials.
///
/// Without a role it runs all of them in one process on one port, with everything in the data directory. The first
/// start creates the directory, the keys and an operator token, and prints how to go on.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110, args_conflicts_with_subcommands = false)]
pub struct Cli {
    #[command(subcommand)]
    pub role: Option<Role>,
    #[command(flatten)]
    pub settings: Settings,
}

#[derive(Debug, Clone, Subcommand, PartialEq, Eq)]
pub enum Role {
    /// All services and the gateway in one process (the default).
    All,
    /// Identity, tenants, servers, credentials and custody.
    CredentialStore,
    /// SSH access, rotations, revocations.
    KeyLifecycle,
    /// Connectivity tests, host-key scans, login receipts.
    ConnectivityProbe,
    /// The audit log.
    Audit,
    /// REST, grpc-web and gRPC for clients.
    Gateway,
    /// Creates the data directory, the keys and the first operator's token, once, and ends.
    Init {
        /// Where to write the first operator's token. Default: operator.token in the data directory.
        #[arg(long, value_name = "FILE")]
        token_out: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where keys and, with the embedded default, the databases live. Created with mode 0700.
    #[arg(long, global = true, env = "KEYWRIGHT_DATA_DIR", value_name = "DIR", default_value_os_t = default_data_dir())]
    pub data_dir: PathBuf,

    /// Where to listen. An address beyond loopback is refused: there is no TLS yet, put a proxy in front.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_LISTEN",
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:8480"
    )]
    pub listen: SocketAddr,

    /// Proxies whose X-Forwarded-For is believed, so that limits and the log see the client's address. Repeatable.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_TRUSTED_PROXIES",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub trusted_proxy: Vec<IpNet>,

    /// PostgreSQL instead of SQLite files: postgres://user@host/database. One schema per service.
    #[arg(long, global = true, env = "KEYWRIGHT_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    #[command(flatten)]
    pub vault: VaultSettings,

    #[command(flatten)]
    pub targets: TargetSettings,

    #[command(flatten)]
    pub peers: PeerSettings,

    /// Send spans to this OTLP endpoint (gRPC), for example http://127.0.0.1:4317.
    #[arg(long, global = true, env = "KEYWRIGHT_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// What to log, in the form of RUST_LOG.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_LOG",
        default_value = "info,sqlx=warn,russh=off,vaultrs=off,rustify=off,h2=warn,hyper=warn"
    )]
    pub log: String,

    #[arg(long, global = true, env = "KEYWRIGHT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Private keys in OpenBao or Vault instead of the embedded sealed store.
#[derive(Debug, Clone, Args)]
pub struct VaultSettings {
    /// Address of OpenBao or Vault, for example https://127.0.0.1:8200.
    #[arg(long, global = true, env = "KEYWRIGHT_VAULT_ADDR", value_name = "URL")]
    pub vault_addr: Option<String>,

    /// The KV version 2 mount.
    #[arg(long, global = true, env = "KEYWRIGHT_VAULT_MOUNT", default_value = "secret")]
    pub vault_mount: String,

    /// The folder in the mount.
    #[arg(long, global = true, env = "KEYWRIGHT_VAULT_PREFIX", default_value = "keywright")]
    pub vault_prefix: String,

    /// The token. Never on the command line of a shared machine: use the environment or a file.
    #[arg(long, global = true, env = "KEYWRIGHT_VAULT_TOKEN", hide_env_values = true, hide = true)]
    pub vault_token: Option<String>,

    /// A file that holds the token.
    #[arg(long, global = true, env = "KEYWRIGHT_VAULT_TOKEN_FILE", value_name = "FILE")]
    pub vault_token_file: Option<PathBuf>,

    /// A CA certificate (PEM) for its TLS.
    #[arg(long, global = true, env = "KEYWRIGHT_VAULT_CA", value_name = "FILE")]
    pub vault_ca: Option<PathBuf>,
}

/// Which addresses may be dialled. Link-local, cloud metadata and multicast never are.
#[derive(Debug, Clone, Args)]
pub struct TargetSettings {
    /// Only these networks may be dialled. Repeatable.
    #[arg(long, global = true, env = "KEYWRIGHT_ALLOW_TARGETS", value_name = "CIDR", value_delimiter = ',')]
    pub allow_target: Vec<IpNet>,

    /// These networks may not be dialled. Repeatable.
    #[arg(long, global = true, env = "KEYWRIGHT_DENY_TARGETS", value_name = "CIDR", value_delimiter = ',')]
    pub deny_target: Vec<IpNet>,

    /// Whether this machine's own loopback may be dialled. Default: yes with the embedded databases, no with PostgreSQL.
    #[arg(long, global = true, env = "KEYWRIGHT_ALLOW_LOOPBACK_TARGETS", value_name = "BOOL")]
    pub allow_loopback_targets: Option<bool>,
}

/// Where the other services are, for a role run apart. All on loopback, all with the same data directory.
#[derive(Debug, Clone, Args)]
pub struct PeerSettings {
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_CREDENTIAL_STORE_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8481"
    )]
    pub credential_store_url: String,
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_KEY_LIFECYCLE_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8482"
    )]
    pub key_lifecycle_url: String,
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_CONNECTIVITY_PROBE_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8483"
    )]
    pub connectivity_probe_url: String,
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_AUDIT_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8484"
    )]
    pub audit_url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

fn default_data_dir() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    home.join(".local/share/keywright")
}
