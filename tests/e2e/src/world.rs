//! A Keywright on one pair of stores, a host under management, a tenant and its owner.
//!
//! Invariant: set-up goes the way a person goes: register, approve a scanned host key, manage by a bootstrap key,
//! invite, redeem.

use std::path::{Path, PathBuf};

use keywright_kit::{
    Caller, HostOptions, KeyPair, KeyType, Keywright, KeywrightOptions, TestHost, bao_mount, keygen,
    postgres_database,
};
use serde_json::{Value, json};

use crate::access::Access;
use crate::{LIMIT, text};

/// Where state and private keys are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stores {
    /// SQLite and the sealed store, in the data folder.
    Embedded,
    /// PostgreSQL and OpenBao.
    External,
}

/// Which SSH server the host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sshd {
    OpenSsh,
    Dropbear,
}

/// A line that root of the host has before Keywright comes.
pub const ROOTS_OWN_LINE: &str = "# root's own line\n";

#[derive(Debug)]
pub struct World {
    pub keywright: Keywright,
    pub host: TestHost,
    pub sshd: Sshd,
    /// The PostgreSQL database, with external stores.
    pub database: Option<String>,
    /// `ten_…`
    pub tenant: String,
    /// `srv_…`
    pub server: String,
    /// The tenant owner's token.
    pub owner_token: String,
    /// The one-use code that it was redeemed for.
    pub invitation: String,
    /// Root's key of the host before Keywright came.
    pub bootstrap: KeyPair,
}

impl World {
    pub async fn new(stores: Stores, sshd: Sshd) -> Self {
        let (options, database) = options(stores).await;
        Self::with(options, database, sshd).await
    }

    /// The embedded stores and an OpenSSH host.
    pub async fn embedded() -> Self {
        Self::new(Stores::Embedded, Sshd::OpenSsh).await
    }

    pub async fn with(options: KeywrightOptions, database: Option<String>, sshd: Sshd) -> Self {
        let (keywright, host) = tokio::join!(Keywright::start(options), start_host(sshd));
        let keywright = keywright.unwrap();
        let bootstrap = keygen(KeyType::Ed25519, "").await.unwrap();
        host.write_authorized_keys("root", format!("{ROOTS_OWN_LINE}{}\n", bootstrap.public_line()));
        let tenant = create_tenant(&keywright, "Acme").await;
        let (invitation, owner_token) = owner(&keywright, &tenant).await;
        let server = register(&keywright, &tenant, &host, "web-1").await;
        manage(&keywright, &server, &bootstrap).await;
        Self { keywright, host, sshd, database, tenant, server, owner_token, invitation, bootstrap }
    }

    /// The tenant's owner.
    pub fn owner(&self) -> Caller {
        self.keywright.caller(&self.owner_token)
    }

    /// An access to an account that Keywright makes.
    pub async fn provision(&self) -> Access<'_> {
        self.provision_with(json!({"serverIds": [self.server], "createAccount": true})).await
    }

    /// An access to an account that is there, with a user's own key file.
    pub async fn provision_existing(&self, account: &str, foreign: &str) -> Access<'_> {
        self.host.add_user(account);
        self.host.write_authorized_keys(account, foreign);
        self.provision_with(json!({"serverIds": [self.server], "account": account})).await
    }

    async fn provision_with(&self, body: Value) -> Access<'_> {
        let path = format!("/api/tenants/{}/ssh-access", self.tenant);
        let started = self.keywright.post(&path, body).await.success();
        let access = Access::new(self, &started);
        access.finished(&text(&started, "/recentRotations/0/id")).await;
        access
    }
}

/// What a server on these stores is started with, and its database.
pub async fn options(stores: Stores) -> (KeywrightOptions, Option<String>) {
    match stores {
        Stores::Embedded => (KeywrightOptions::default(), None),
        Stores::External => {
            let (database, mount) = tokio::join!(postgres_database(), bao_mount());
            let (database, mount) = (database.unwrap(), mount.unwrap());
            let options = KeywrightOptions::default().database_url(&database).vault(&mount);
            // The test host is on loopback, which a production database closes.
            (options.arg("--allow-loopback-targets").arg("true"), Some(database))
        }
    }
}

pub async fn start_host(sshd: Sshd) -> TestHost {
    let started = match sshd {
        Sshd::OpenSsh => TestHost::openssh(HostOptions::default()).await,
        Sshd::Dropbear => TestHost::dropbear(HostOptions::default()).await,
    };
    started.unwrap()
}

/// `ten_…`
pub async fn create_tenant(keywright: &Keywright, name: &str) -> String {
    text(&keywright.post("/api/tenants", json!({"name": name})).await.success(), "/id")
}

/// Invites an owner, who redeems: the code and the token.
pub async fn owner(keywright: &Keywright, tenant: &str) -> (String, String) {
    let body = json!({"role": "tenant_owner", "email": "ada@example.com"});
    let invitation = keywright.post(&format!("/api/tenants/{tenant}/invitations"), body).await.success();
    let code = text(&invitation, "/code");
    let body = json!({"code": code, "name": "Ada Lovelace"});
    let redeemed = keywright.anonymous().post("/api/auth/invitations/redeem", body).await.success();
    (code, text(&redeemed, "/token"))
}

/// Registers the host without keys, scans it, and approves what the host really has: `srv_…`.
pub async fn register(keywright: &Keywright, tenant: &str, host: &TestHost, name: &str) -> String {
    let body = json!({"tenantId": tenant, "name": name, "host": host.address(), "port": host.port()});
    let server = text(&keywright.post("/api/servers", body).await.success(), "/id");
    let scan = keywright.post(&format!("/api/servers/{server}/host-keys/scan"), json!({})).await.success();
    let items = scan["items"].as_array().unwrap();
    let real = host.host_keys();
    for item in items {
        let shown = text(item, "/publicKey");
        assert!(real.iter().any(|key| shown.starts_with(key.as_str())), "{shown} is none of the host's keys");
    }
    let fingerprints: Vec<String> = items.iter().map(|item| text(item, "/fingerprint")).collect();
    let body = json!({"action": "approve", "fingerprints": fingerprints});
    keywright.post(&format!("/api/servers/{server}/host-keys"), body).await.success();
    server
}

/// Installs the management key by root's bootstrap key.
pub async fn manage(keywright: &Keywright, server: &str, bootstrap: &KeyPair) {
    let body = json!({"bootstrapCredential": {"privateKey": bootstrap.private_text(), "username": "root"}});
    let managed = keywright.post(&format!("/api/servers/{server}/management"), body).await.success();
    assert_eq!(managed["receipt"]["accepted"], true, "{managed}");
}

/// Every regular file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = entries_below(folder);
    files.retain(|path| path.symlink_metadata().is_ok_and(|entry| entry.is_file()));
    files
}

/// All that lies below a folder and is no folder: links that lead nowhere too. What goes away meanwhile may be missing.
pub fn entries_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        assert!(!folder.exists(), "{} cannot be read", folder.display());
        return found;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        match path.symlink_metadata() {
            Ok(entry) if entry.is_dir() => found.extend(entries_below(&path)),
            Ok(_) => found.push(path),
            Err(_) => {}
        }
    }
    found
}

/// Waits for an object that the operator reads.
pub async fn wait_for(keywright: &Keywright, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    keywright.wait_for(path, LIMIT, holds).await
}
