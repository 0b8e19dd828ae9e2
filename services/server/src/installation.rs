//! The data directory, the keys, the policy set: what every role stands on.

use crate::args::Settings;
use crate::error::StartError;
use keywright_domain::caller::ServiceName;
use keywright_domain::clock::Clock;
use keywright_policy::Policy;
use keywright_runtime::audit::{Audit, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::denylist::Denylist;
use keywright_runtime::keys::{self, ISSUER, PublicKeys};
use keywright_runtime::peer::Peers;
use keywright_runtime::rules::Rules;
use keywright_runtime::stack::Stack;
use keywright_runtime::token::{Signer, Verifier};
use keywright_storage::{Db, Migrations, Source};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
pub struct Installation {
    pub data: PathBuf,
    pub source: Source,
    pub policy: Policy,
    pub rules: Rules,
    pub keys: PublicKeys,
    pub peers: Peers,
    pub clock: Clock,
    /// What ended lately; one for the process.
    pub denylist: Denylist,
    pub stop: CancellationToken,
}

/// What one service gets, whichever it is.
pub struct Own {
    pub outbound: Outbound,
    pub audit: Audit,
    pub guard: Guard,
    pub verifier: Verifier,
    pub stack: Stack,
}

impl Installation {
    /// Creates what is missing and reads the rest.
    pub fn open(settings: &Settings, stop: CancellationToken) -> Result<Self, StartError> {
        let data = private_directory(&settings.data_dir)?;
        keys::create_all(&data)?;
        let policy = policy(settings.policy_dir.as_deref())?;
        let source = match &settings.database_url {
            Some(url) => Source::Postgres(url.clone()),
            None => Source::Directory(data.clone()),
        };
        Ok(Self {
            rules: Rules::load(&policy)?,
            keys: keys::public_keys(&data)?,
            policy,
            source,
            data,
            peers: Peers::new(),
            clock: Clock::System,
            denylist: Denylist::new(),
            stop,
        })
    }

    pub fn signer(&self, name: &str) -> Result<Signer, StartError> {
        Ok(Signer::new(keys::signing_key(&self.data, name)?, self.clock.clone()))
    }

    pub fn issuer(&self) -> Result<Signer, StartError> {
        self.signer(ISSUER)
    }

    pub fn own(&self, name: ServiceName) -> Result<Own, StartError> {
        let outbound = Outbound::new(name, self.peers.clone(), self.signer(name.as_str())?);
        let audit = Audit::new(outbound.clone());
        let verifier = Verifier::new(self.keys.clone(), name, self.clock.clone());
        let stack = Stack::new(
            name,
            self.rules.clone(),
            verifier.clone(),
            self.policy.clone(),
            outbound.clone(),
            audit.clone(),
            self.denylist.clone(),
        );
        Ok(Own { guard: Guard::new(self.policy.clone(), audit.clone()), outbound, audit, verifier, stack })
    }

    pub async fn database(&self, service: &'static str, migrations: &Migrations) -> Result<Db, StartError> {
        Db::open(&self.source, service, migrations, self.clock.clone())
            .await
            .map_err(|source| StartError::Database { service, source })
    }
}

fn policy(additions: Option<&Path>) -> Result<Policy, StartError> {
    let Some(folder) = additions else { return Ok(Policy::shipped()?) };
    let policy = Policy::with_additions(folder)?;
    tracing::info!(folder = %folder.display(), added = policy.added().join(" "), "policies were added");
    Ok(policy)
}

pub fn private_directory(path: &Path) -> Result<PathBuf, StartError> {
    let failed = |source| StartError::DataDir { path: path.to_owned(), source };
    if !path.exists() {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        std::fs::DirBuilder::new().mode(0o700).create(path).map_err(failed)?;
    }
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(StartError::OpenDataDir { path: path.to_owned() });
    }
    path.canonicalize().map_err(failed)
}
