//! Objects for a caller: what is not there and what is somebody else's look the same.

use crate::domain::credential::{Credential, Kind};
use crate::domain::server::Server;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{CredentialId, ServerId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::page::Page;
use keywright_storage::{Db, Tx};

pub fn no_server(id: &str) -> Failure {
    Failure::not_found(Reason::ServerNotFound, id)
}

pub fn no_credential(id: &str) -> Failure {
    Failure::not_found(Reason::CredentialNotFound, id)
}

pub fn no_version(id: &str) -> Failure {
    Failure::not_found(Reason::VersionNotFound, id)
}

/// A server on which the caller may do `action`.
pub async fn server(
    db: &Db,
    guard: &Guard,
    caller: &Caller,
    action: &str,
    id: &str,
) -> Result<Server, Failure> {
    let parsed = ServerId::parse(id).map_err(|_| no_server(id))?;
    let server = store::server::find(db, &parsed).await?.ok_or_else(|| no_server(id))?;
    guard.allow(caller, action, Some(&server.tenant), id, Reason::ServerNotFound).await?;
    Ok(server)
}

pub async fn server_in(tx: &mut Tx, id: &ServerId) -> Result<Server, Error> {
    Ok(store::server::find_in(tx, id).await?.ok_or_else(|| no_server(id.as_str()))?)
}

/// A credential, saved or managed, on which the caller may do `action`.
pub async fn credential(
    db: &Db,
    guard: &Guard,
    caller: &Caller,
    action: &str,
    id: &str,
) -> Result<Credential, Failure> {
    let parsed = CredentialId::parse(id).map_err(|_| no_credential(id))?;
    let credential = store::credential::find(db, &parsed).await?.ok_or_else(|| no_credential(id))?;
    guard.allow(caller, action, credential.tenant.as_ref(), id, Reason::CredentialNotFound).await?;
    Ok(credential)
}

pub async fn credential_in(tx: &mut Tx, id: &CredentialId) -> Result<Credential, Error> {
    Ok(store::credential::find_in(tx, id).await?.ok_or_else(|| no_credential(id.as_str()))?)
}

/// A saved credential; a managed one is named as such to whoever may see it.
pub async fn saved(
    db: &Db,
    guard: &Guard,
    caller: &Caller,
    action: &str,
    id: &str,
) -> Result<Credential, Failure> {
    let credential = credential(db, guard, caller, action, id).await?;
    match credential.kind {
        Kind::Saved => Ok(credential),
        Kind::Managed => Err(is_managed()),
    }
}

/// A managed credential; for these RPCs a saved one does not exist.
pub async fn managed(
    db: &Db,
    guard: &Guard,
    caller: &Caller,
    action: &str,
    id: &str,
) -> Result<Credential, Failure> {
    let credential = credential(db, guard, caller, action, id).await?;
    match credential.kind {
        Kind::Managed => Ok(credential),
        Kind::Saved => Err(no_credential(id)),
    }
}

pub fn is_managed() -> Failure {
    Failure::new(Reason::CredentialIsManaged, "This credential is managed by Keywright.")
}

/// The tenant of something new: the one named, or the caller's own.
pub fn tenant_for_new(caller: &Caller, named: &str) -> Result<TenantId, Failure> {
    match (named, &caller.principal.tenant) {
        ("", Some(own)) => Ok(own.clone()),
        ("", None) => Err(Failure::violation("tenantId", "is required")),
        (named, _) => TenantId::parse(named).map_err(|_| Failure::not_found(Reason::TenantNotFound, named)),
    }
}

/// Which tenant's objects a list holds: the one named, else the caller's own, else (for the platform's roles) all.
pub async fn tenant_of_list(
    guard: &Guard,
    caller: &Caller,
    action: &str,
    named: &str,
) -> Result<Option<TenantId>, Failure> {
    let named = match named {
        "" => None,
        text => Some(TenantId::parse(text).map_err(|_| Failure::not_found(Reason::TenantNotFound, text))?),
    };
    let tenant = named.or_else(|| caller.principal.tenant.clone());
    let target = tenant.as_ref().map_or("", TenantId::as_str);
    guard.allow(caller, action, tenant.as_ref(), target, Reason::TenantNotFound).await?;
    Ok(tenant)
}

/// The page of a list, bound to what else narrows it.
pub fn page(size: i32, token: &str, tenant: Option<&TenantId>, pattern: &str) -> Result<Page, Failure> {
    Page::parse(size, token, &format!("{}|{pattern}", tenant.map_or("", TenantId::as_str)))
}

/// A typed confirmation: exactly the id, but for spaces at its ends.
pub fn confirmed(typed: &str, id: &str) -> Result<(), Failure> {
    match typed.trim() {
        "" => Err(Failure::new(Reason::ConfirmationRequired, "The operation has to be confirmed.")),
        typed if typed == id => Ok(()),
        _ => Err(Failure::new(Reason::ConfirmationMismatch, "The confirmation is not the id.")),
    }
}
