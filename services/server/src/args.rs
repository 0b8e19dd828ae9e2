//! What the command line and the environment say.

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use keywright_connectivity_probe::SshfpResolver;
use std::net::{IpAddr, SocketAddr};
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
        /// Make the key-encryption key under a passphrase instead of in a file in the clear. The passphrase is asked
        /// for, or read from --passphrase-file. The server then starts sealed.
        #[arg(long)]
        seal_with_passphrase: bool,
    },
    /// Copies every database into one file, sealed to age recipients, while the server runs; or checks such a file.
    Backup(BackupArgs),
    /// The keys that sign the audit log's checkpoints: a new one, or the end of the old ones. Restarts nothing.
    #[command(subcommand)]
    CheckpointKey(CheckpointKeyCommand),
    /// Restores a backup into an empty installation, which then is in recovery. Bring the key-encryption key first.
    Restore(RestoreArgs),
    /// Who may do what: reads the shipped policies, checks your own. Starts nothing.
    #[command(subcommand)]
    Policy(PolicyCommand),
}

#[derive(Debug, Clone, Args, PartialEq, Eq)]
pub struct BackupArgs {
    /// Who can open it: an age recipient (age1…). Repeatable.
    #[arg(long, value_name = "AGE1", required_unless_present = "verify")]
    pub recipient: Vec<String>,

    /// The file to write; one that exists is left alone.
    #[arg(long, value_name = "FILE", required_unless_present = "verify")]
    pub out: Option<PathBuf>,

    /// Checks this backup instead: every count and hash, to its end.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["recipient", "out"], requires = "identity")]
    pub verify: Option<PathBuf>,

    /// The age identity that opens it: a file as age-keygen writes it.
    #[arg(long, value_name = "FILE", requires = "verify")]
    pub identity: Option<PathBuf>,
}

#[derive(Debug, Clone, Args, PartialEq, Eq)]
pub struct RestoreArgs {
    /// The backup.
    #[arg(long = "in", value_name = "FILE")]
    pub input: PathBuf,

    /// The age identity that opens it: a file as age-keygen writes it.
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
}

#[derive(Debug, Clone, Subcommand, PartialEq, Eq)]
pub enum CheckpointKeyCommand {
    /// Puts a new key before the others: from the next checkpoint on both sign, so that who knows the old one can follow.
    /// Give verifiers the new one (keywright audit keys), then run `retire`.
    Rotate,
    /// Takes out all keys but the newest: they sign no more.
    Retire,
}

#[derive(Debug, Clone, Subcommand, PartialEq, Eq)]
pub enum PolicyCommand {
    /// Prints the schema, the shipped policies and the limits that no policy lifts.
    Print,
    /// Checks the *.cedar files of a folder as a start with --policy-dir does.
    Check {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where keys and, with the embedded default, the databases live. Created with mode 0700.
    #[arg(long, global = true, env = "KEYWRIGHT_DATA_DIR", value_name = "DIR", default_value_os_t = default_data_dir())]
    pub data_dir: PathBuf,

    /// Where to listen. An address beyond loopback needs --tls-cert and --tls-key.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_LISTEN",
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:8480"
    )]
    pub listen: SocketAddr,

    /// A second port, for internal platform services, of the role `all`: gRPC straight to the services.
    #[arg(long, global = true, env = "KEYWRIGHT_INTERNAL_LISTEN", value_name = "ADDR:PORT")]
    pub internal_listen: Option<SocketAddr>,

    #[command(flatten)]
    pub tls: TlsSettings,

    /// Proxies whose X-Forwarded-For is believed, so that limits and the log see the client's address. Repeatable.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_TRUSTED_PROXIES",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub trusted_proxy: Vec<IpNet>,

    /// How often the key files of every managed server are looked at, in seconds.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_KEY_SCAN_INTERVAL",
        value_name = "SECONDS",
        default_value_t = 21_600,
        value_parser = clap::value_parser!(u64).range(1..=2_592_000)
    )]
    pub key_scan_interval: u64,

    /// How long results of connectivity tests and changes of servers' states are kept, in days; the newest test of each
    /// server with its bound credential is kept for good.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_HISTORY_DAYS",
        value_name = "DAYS",
        default_value_t = 90,
        value_parser = clap::value_parser!(u32).range(1..=3650)
    )]
    pub history_days: u32,

    #[command(flatten)]
    pub log_settings: LogSettings,

    /// Least time between two offers of a key on one server, in seconds, beyond the first two: its defences
    /// (sshd's PerSourcePenalties, fail2ban) count refused keys by the address they come from. 0: none.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_REFUSAL_SPACING",
        value_name = "SECONDS",
        default_value_t = keywright_key_lifecycle::REFUSAL_SPACING.as_secs(),
        value_parser = clap::value_parser!(u64).range(0..=60)
    )]
    pub refusal_spacing: u64,

    /// PostgreSQL instead of SQLite files: postgres://user@host/database. One schema per service.
    #[arg(long, global = true, env = "KEYWRIGHT_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// A folder of your own Cedar policies (*.cedar), read at start: who may do less, or more within the limits.
    #[arg(long, global = true, env = "KEYWRIGHT_POLICY_DIR", value_name = "DIR")]
    pub policy_dir: Option<PathBuf>,

    /// A file whose first line is the passphrase of the key-encryption key, where that lies under one: the server
    /// unseals itself at its start.
    #[arg(long, global = true, env = "KEYWRIGHT_KEK_PASSPHRASE_FILE", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,

    #[command(flatten)]
    pub vault: VaultSettings,

    /// OpenID Connect providers through which people log in: a TOML file, read by the credential-store at its start.
    #[arg(long, global = true, env = "KEYWRIGHT_OIDC_CONFIG", value_name = "FILE")]
    pub oidc_config: Option<PathBuf>,

    #[command(flatten)]
    pub mail: MailSettings,

    #[command(flatten)]
    pub forwarding: ForwardingSettings,

    #[command(flatten)]
    pub targets: TargetSettings,

    #[command(flatten)]
    pub sshfp: SshfpSettings,

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
        default_value = "info,sqlx=warn,russh=off,vaultrs=off,rustify=off,hickory=off,h2=warn,hyper=warn"
    )]
    pub log: String,

    #[arg(long, global = true, env = "KEYWRIGHT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// TLS on the listeners. The files are read again on SIGHUP.
#[derive(Debug, Clone, Args)]
pub struct TlsSettings {
    /// The server's certificate, its chain after it (PEM).
    #[arg(long, global = true, env = "KEYWRIGHT_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM).
    #[arg(long, global = true, env = "KEYWRIGHT_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Ask for client certificates of this authority (PEM). One that is shown must verify; none need be shown.
    #[arg(long, global = true, env = "KEYWRIGHT_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub client_ca: Option<PathBuf>,
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

/// The mail server by which people are told of what happened.
#[derive(Debug, Clone, Args)]
pub struct MailSettings {
    /// A mail server: smtp://[user@]host[:port] (STARTTLS, which it must offer; plain to this machine itself) or
    /// smtps://[user@]host[:port]. Without it nobody is told by e-mail.
    #[arg(long, global = true, env = "KEYWRIGHT_SMTP_URL", value_name = "URL")]
    pub smtp_url: Option<String>,

    /// Whom the mails come from: keywright@example.com, or Keywright <keywright@example.com>.
    #[arg(long, global = true, env = "KEYWRIGHT_SMTP_FROM", value_name = "ADDRESS")]
    pub smtp_from: Option<String>,

    /// The password of the mail server's user. Only by the environment; or use the file.
    #[arg(long, global = true, env = "KEYWRIGHT_SMTP_PASSWORD", hide_env_values = true, hide = true)]
    pub smtp_password: Option<String>,

    /// A file whose first line is the password of the mail server's user.
    #[arg(long, global = true, env = "KEYWRIGHT_SMTP_PASSWORD_FILE", value_name = "FILE")]
    pub smtp_password_file: Option<PathBuf>,
}

/// Where the audit log is handed on to.
#[derive(Debug, Clone, Args)]
pub struct ForwardingSettings {
    /// Forward every event of the audit log: syslog+tcp://, syslog+tls:// or syslog+udp://host:port, otlp:// or
    /// otlps://host:port (gRPC), or an https:// webhook. Repeatable.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_AUDIT_FORWARD",
        value_name = "URL",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub audit_forward: Vec<String>,

    /// A file whose first line is the secret that signs what is posted to webhooks: whsec_ and the base64 of 24 to 64
    /// bytes.
    #[arg(long, global = true, env = "KEYWRIGHT_AUDIT_FORWARD_SECRET_FILE", value_name = "FILE")]
    pub audit_forward_secret_file: Option<PathBuf>,

    /// Whose certificates are trusted at these places besides those that this machine trusts (PEM).
    #[arg(long, global = true, env = "KEYWRIGHT_AUDIT_FORWARD_CA", value_name = "FILE")]
    pub audit_forward_ca: Option<PathBuf>,

    /// Keep the newest signed checkpoint of the audit log in this file, and every one in FILE.history.
    #[arg(long, global = true, env = "KEYWRIGHT_AUDIT_CHECKPOINT_FILE", value_name = "FILE")]
    pub audit_checkpoint_file: Option<PathBuf>,

    /// Post every signed checkpoint of the audit log to this webhook.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_AUDIT_CHECKPOINT_WEBHOOK",
        value_name = "URL",
        hide_env_values = true
    )]
    pub audit_checkpoint_webhook: Option<String>,
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

    /// The addresses from which hosts see Keywright come: a policy whose `from=` leaves one of them out is refused.
    /// Repeatable.
    #[arg(long, global = true, env = "KEYWRIGHT_EGRESS_ADDRESSES", value_name = "IP", value_delimiter = ',')]
    pub egress_address: Vec<IpAddr>,
}

/// The audit log as something that others can check.
#[derive(Debug, Clone, Args)]
pub struct LogSettings {
    /// The first part of the audit log's name, which stands in its checkpoints, as in audit.example.com/keywright. Taken
    /// when the log is made, and after a restore.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_AUDIT_ORIGIN",
        value_name = "NAME",
        default_value = "keywright",
        value_parser = audit_origin
    )]
    pub audit_origin: String,

    /// New entries of the audit log wait at most so long for a signed checkpoint, in seconds.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_AUDIT_CHECKPOINT_INTERVAL",
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub audit_checkpoint_interval: u64,

    /// So many new entries get a checkpoint at once.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_AUDIT_CHECKPOINT_BURST",
        value_name = "ENTRIES",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000)
    )]
    pub audit_checkpoint_burst: u64,

    /// Entries of the audit log may be deleted by an operator, a whole exported segment at a time, when they are so old, in
    /// days. Without it nothing is ever deleted.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_AUDIT_RETENTION_DAYS",
        value_name = "DAYS",
        value_parser = clap::value_parser!(u32).range(1..=36_500)
    )]
    pub audit_retention_days: Option<u32>,
}

fn audit_origin(text: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    if !text.is_empty() && text.len() <= 200 && text.bytes().all(plain) && !text.ends_with('/') {
        Ok(text.to_owned())
    } else {
        Err(
            "must be 1 to 200 letters, digits, dots, hyphens, underscores and slashes, for example audit.example.com/keywright",
        )
    }
}

/// Whether and where DNS is asked about host keys.
#[derive(Debug, Clone, Args)]
pub struct SshfpSettings {
    /// Whom to ask what a host's DNS zone says of its keys (SSHFP records), as a hint beside scans: `system` (the name
    /// servers of /etc/resolv.conf), `off`, or a name server's address and port.
    #[arg(
        long,
        global = true,
        env = "KEYWRIGHT_SSHFP_RESOLVER",
        value_name = "system|off|ADDR:PORT",
        default_value = "system",
        value_parser = sshfp_resolver
    )]
    pub sshfp_resolver: SshfpResolver,

    /// DNSKEY records that are trusted beside the root's, in the form of a zone file: for private zones that are signed.
    #[arg(long, global = true, env = "KEYWRIGHT_SSHFP_TRUST_ANCHOR", value_name = "FILE")]
    pub sshfp_trust_anchor: Option<PathBuf>,
}

fn sshfp_resolver(text: &str) -> Result<SshfpResolver, &'static str> {
    match text {
        "system" => Ok(SshfpResolver::System),
        "off" => Ok(SshfpResolver::Off),
        text => text.parse().map(SshfpResolver::At).map_err(|_| {
            "is neither `system` nor `off` nor an address with a port, for example 127.0.0.1:53 or [::1]:53"
        }),
    }
}

/// Where the other services are, for a role run apart. All with the same data directory.
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

    /// Whose certificates the other services show, where their URLs are https (PEM).
    #[arg(long, global = true, env = "KEYWRIGHT_PEER_CA", value_name = "FILE")]
    pub peer_ca: Option<PathBuf>,
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
