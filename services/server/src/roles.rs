//! One function a role: opens its database, builds the service, puts the stack before it.

use crate::args::{Settings, VaultSettings};
use crate::error::StartError;
use crate::installation::Installation;
use crate::targets;
use keywright_audit as audit;
use keywright_connectivity_probe as probe;
use keywright_credential_store as store;
use keywright_domain::caller::ServiceName;
use keywright_domain::secret::Secret;
use keywright_gateway::{Gateway, Limits, Parts as GatewayParts, TrustedProxies};
use keywright_key_lifecycle as lifecycle;
use keywright_runtime::edge::Edge;
use keywright_runtime::idempotency::Idempotency;
use keywright_runtime::keys;
use keywright_runtime::serve::{Assembled, Task, ready};
use keywright_storage::Db;
use std::sync::Arc;
use std::time::Duration;

/// One call to OpenBao or Vault.
const VAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A running service's background work; its peer has taken its place.
pub type Tasks = Vec<Task>;

pub async fn audit(at: &Installation) -> Result<Tasks, StartError> {
    let own = at.own(ServiceName::Audit)?;
    let db = at.database("audit", &audit::MIGRATIONS).await?;
    let built = audit::build(audit::Parts { db, guard: own.guard, stop: at.stop.clone() });
    Ok(place(at, ServiceName::Audit, &own.stack, built))
}

/// The credential-store's database, with the first operator where nobody exists yet.
pub async fn store_database(at: &Installation) -> Result<Db, StartError> {
    at.database("credential", &store::MIGRATIONS).await
}

pub async fn credential_store(at: &Installation, settings: &Settings, db: Db) -> Result<Tasks, StartError> {
    let own = at.own(ServiceName::CredentialStore)?;
    let custody = custody(at, &settings.vault, db.clone()).await?;
    let built = store::build(store::Parts {
        db,
        custody,
        audit: own.audit,
        guard: own.guard,
        outbound: own.outbound,
        clock: at.clock.clone(),
        idempotency: Idempotency::new(&keys::idempotency_key(&at.data)?),
        issuer: at.issuer()?,
        verifier: own.verifier,
        stop: at.stop.clone(),
    });
    Ok(place(at, ServiceName::CredentialStore, &own.stack, built))
}

async fn custody(at: &Installation, vault: &VaultSettings, db: Db) -> Result<store::Custody, StartError> {
    let Some(address) = &vault.vault_addr else {
        store::Kek::create(&at.data)?;
        let kek = store::Kek::load(&at.data)?;
        return Ok(store::Custody::Sealed(store::SealedStore::open(db, &kek).await?));
    };
    let settings = store::VaultSettings {
        address: address.clone(),
        token: vault_token(vault)?,
        ca_certificates: vault.vault_ca.iter().cloned().collect(),
        namespace: None,
        mount: vault.vault_mount.clone(),
        prefix: vault.vault_prefix.clone(),
        timeout: VAULT_TIMEOUT,
    };
    Ok(store::Custody::Vault(store::VaultStore::new(&settings)?))
}

fn vault_token(vault: &VaultSettings) -> Result<Secret, StartError> {
    let text = match (&vault.vault_token_file, &vault.vault_token) {
        (Some(path), _) => {
            std::fs::read_to_string(path).map_err(|source| StartError::File { path: path.clone(), source })?
        }
        (None, Some(token)) => token.clone(),
        (None, None) => return Err(StartError::NoVaultToken),
    };
    Ok(Secret::from_text(text.trim().to_owned()))
}

pub async fn connectivity_probe(at: &Installation, settings: &Settings) -> Result<Tasks, StartError> {
    let own = at.own(ServiceName::ConnectivityProbe)?;
    let db = at.database("probe", &probe::MIGRATIONS).await?;
    let built = probe::build(probe::Parts {
        db,
        audit: own.audit,
        guard: own.guard,
        outbound: own.outbound,
        clock: at.clock.clone(),
        rules: targets::rules(settings),
        stop: at.stop.clone(),
    });
    Ok(place(at, ServiceName::ConnectivityProbe, &own.stack, built))
}

pub async fn key_lifecycle(at: &Installation, settings: &Settings) -> Result<Tasks, StartError> {
    let own = at.own(ServiceName::KeyLifecycle)?;
    let db = at.database("lifecycle", &lifecycle::MIGRATIONS).await?;
    let built = lifecycle::build(lifecycle::Parts {
        db,
        audit: own.audit,
        guard: own.guard,
        outbound: own.outbound,
        clock: at.clock.clone(),
        idempotency: Idempotency::new(&keys::idempotency_key(&at.data)?),
        dialer: targets::dialer(settings),
        stop: at.stop.clone(),
    })?;
    Ok(place(at, ServiceName::KeyLifecycle, &own.stack, built))
}

pub fn gateway(at: &Installation, settings: &Settings) -> Result<Gateway, StartError> {
    let own = at.own(ServiceName::Gateway)?;
    let proxies = TrustedProxies::new(settings.trusted_proxy.clone());
    let edge = Edge::new(own.outbound, own.verifier, at.policy.clone(), own.audit);
    let peers = at.peers.clone();
    let readiness: keywright_gateway::Readiness = Arc::new(move || {
        let peers = peers.clone();
        Box::pin(async move {
            let mut answers = Vec::new();
            for name in ServiceName::ALL.iter().filter(|name| **name != ServiceName::Gateway) {
                answers.push((name.as_str(), ready(peers.get(*name)).await));
            }
            answers
        })
    });
    Ok(Gateway::new(GatewayParts::new(edge, at.peers.clone(), readiness, Limits::default(), proxies))?)
}

fn place(
    at: &Installation,
    name: ServiceName,
    stack: &keywright_runtime::stack::Stack,
    built: Assembled,
) -> Tasks {
    at.peers.set(name, stack.layer(built.routes));
    built.tasks
}
