//! One function a role: opens its database, builds the service, puts the stack before it.

use crate::args::{Settings, SshfpSettings};
use crate::custody;
use crate::error::StartError;
use crate::forwarding;
use crate::installation::Installation;
use crate::mail;
use crate::targets;
use keywright_audit as audit;
use keywright_connectivity_probe as probe;
use keywright_credential_store as store;
use keywright_domain::caller::ServiceName;
use keywright_gateway::{Gateway, Limits, Parts as GatewayParts, TrustedProxies};
use keywright_key_lifecycle as lifecycle;
use keywright_runtime::clients::Outbound;
use keywright_runtime::edge::Edge;
use keywright_runtime::idempotency::Idempotency;
use keywright_runtime::keys;
use keywright_runtime::serve::{Assembled, Task, ready};
use keywright_storage::Db;
use std::sync::Arc;

/// A running service's background work; its peer has taken its place.
pub type Tasks = Vec<Task>;

pub async fn audit(at: &Installation, settings: &Settings) -> Result<Tasks, StartError> {
    let own = at.own(ServiceName::Audit)?;
    let forwarding = forwarding::forwarding(settings)?;
    let db = at.database("audit", &audit::MIGRATIONS).await?;
    let kept = settings.log_settings.audit_retention_days;
    let kept = kept.map(|days| std::time::Duration::from_secs(u64::from(days) * 86_400));
    let built = audit::build(audit::Parts {
        db,
        audit: own.audit,
        guard: own.guard,
        outbound: own.outbound,
        signing: signing(at, settings),
        retention: audit::Retention(kept),
        forwarding,
        stop: at.stop.clone(),
    })?;
    Ok(place(at, ServiceName::Audit, &own.stack, built))
}

fn signing(at: &Installation, settings: &Settings) -> audit::Signing {
    let log = &settings.log_settings;
    audit::Signing {
        name: log.audit_origin.clone(),
        keys: keys::checkpoint_keys_file(&at.data),
        interval: std::time::Duration::from_secs(log.audit_checkpoint_interval),
        burst: log.audit_checkpoint_burst,
    }
}

/// The credential-store's database, with the first operator where nobody exists yet.
pub async fn store_database(at: &Installation) -> Result<Db, StartError> {
    at.database("credential", &store::MIGRATIONS).await
}

pub async fn credential_store(at: &Installation, settings: &Settings, db: Db) -> Result<Tasks, StartError> {
    let own = at.own(ServiceName::CredentialStore)?;
    let oidc =
        settings.oidc_config.as_deref().map(store::OidcProviders::load).transpose()?.unwrap_or_default();
    let custody = custody::open(at, settings, db.clone()).await?;
    let built = store::build(store::Parts {
        db,
        custody,
        oidc,
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

pub async fn connectivity_probe(at: &Installation, settings: &Settings) -> Result<Tasks, StartError> {
    let own = at.own(ServiceName::ConnectivityProbe)?;
    let db = at.database("probe", &probe::MIGRATIONS).await?;
    let built = probe::build(probe::Parts {
        db,
        audit: own.audit,
        guard: own.guard,
        outbound: own.outbound,
        idempotency: Idempotency::new(&keys::idempotency_key(&at.data)?),
        clock: at.clock.clone(),
        rules: targets::rules(settings),
        sshfp: sshfp(&settings.sshfp)?,
        history: std::time::Duration::from_secs(u64::from(settings.history_days) * 86_400),
        signature_wait: probe::SIGNATURE_WAIT,
        stop: at.stop.clone(),
    })?;
    Ok(place(at, ServiceName::ConnectivityProbe, &own.stack, built))
}

fn sshfp(settings: &SshfpSettings) -> Result<probe::Sshfp, StartError> {
    let Some(path) = &settings.sshfp_trust_anchor else {
        return Ok(probe::Sshfp::new(settings.sshfp_resolver, "")?);
    };
    let anchors =
        std::fs::read_to_string(path).map_err(|source| StartError::File { path: path.clone(), source })?;
    Ok(probe::Sshfp::new(settings.sshfp_resolver, &anchors)?)
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
        telling: telling(at, settings)?,
        key_scan_interval: std::time::Duration::from_secs(settings.key_scan_interval),
        refusal_spacing: std::time::Duration::from_secs(settings.refusal_spacing),
        egress: settings.targets.egress_address.clone(),
        stop: at.stop.clone(),
    })?;
    Ok(place(at, ServiceName::KeyLifecycle, &own.stack, built))
}

fn telling(at: &Installation, settings: &Settings) -> Result<lifecycle::Telling, StartError> {
    let keyring = lifecycle::Keyring::new(keys::notification_key(&at.data)?);
    let mailer = mail::settings(&settings.mail)?.map(|mail| lifecycle::Mailer::new(&mail)).transpose()?;
    Ok(lifecycle::Telling { keyring, mailer })
}

/// The gateway, and what it does by itself.
pub fn gateway(at: &Installation, settings: &Settings) -> Result<(Gateway, Task), StartError> {
    let own = at.own(ServiceName::Gateway)?;
    let counted: Task = Box::pin(own.audit.clone().tell_at_end(at.stop.clone()));
    let proxies = TrustedProxies::new(settings.trusted_proxy.clone());
    let edge = Edge::new(own.outbound, own.verifier, at.policy.clone(), own.audit, at.denylist.clone());
    let (peers, denylist) = (at.peers.clone(), at.denylist.clone());
    let readiness: keywright_gateway::Readiness = Arc::new(move || {
        let (peers, denylist) = (peers.clone(), denylist.clone());
        Box::pin(async move {
            let mut answers = Vec::new();
            for name in ServiceName::ALL.iter().filter(|name| **name != ServiceName::Gateway) {
                answers.push((name.as_str(), ready(peers.get(*name)).await));
            }
            let heard = denylist.in_contact().map(|()| String::new()).map_err(|failure| failure.message);
            answers.push((ServiceName::Gateway.as_str(), heard));
            answers
        })
    });
    let parts = GatewayParts::new(edge, at.peers.clone(), readiness, Limits::default(), proxies);
    Ok((Gateway::new(parts)?, counted))
}

/// Follows the feed of revocations for the whole process.
pub fn revocations(at: &Installation, name: ServiceName) -> Result<Task, StartError> {
    let outbound = Outbound::new(name, at.peers.clone(), at.signer(name.as_str())?);
    Ok(Box::pin(at.denylist.clone().follow(outbound, at.stop.clone())))
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
