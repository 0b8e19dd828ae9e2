//! The checks that several use cases share.

use crate::adapters::credential_store::{CredentialStore, Server};
use crate::model::{Access, Host};
use crate::store::{self, Connection};
use keywright_domain::account::AccountName;
use keywright_domain::ids::{AccessId, ServerId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Tx;

/// Servers of one access.
pub const MOST_SERVERS: usize = 100;
/// A reason of the caller's has at most this many characters.
const LONGEST_COMMENT: usize = 500;

pub fn tenant(id: &str) -> Result<TenantId, Failure> {
    TenantId::parse(id).map_err(|_| Failure::not_found(Reason::TenantNotFound, id))
}

/// For routes below a tenant whose object is the access: what is malformed does not exist.
pub fn tenant_and_access(tenant: &str, access: &str) -> Result<(TenantId, AccessId), Failure> {
    let missing = || Failure::not_found(Reason::AccessNotFound, access);
    Ok((TenantId::parse(tenant).map_err(|_| missing())?, AccessId::parse(access).map_err(|_| missing())?))
}

/// The access, if it is this tenant's.
pub async fn find(conn: &mut Connection, tenant: &TenantId, id: &AccessId) -> Result<Access, Error> {
    let found = store::access::find(conn, id).await?;
    let found = found.filter(|access| access.tenant == *tenant);
    found.ok_or_else(|| Failure::not_found(Reason::AccessNotFound, id.as_str()).into())
}

/// The same, if it ever came into use or still may.
pub async fn find_usable(conn: &mut Connection, tenant: &TenantId, id: &AccessId) -> Result<Access, Error> {
    let access = find(conn, tenant, id).await?;
    if access.deprovision_at.is_some() {
        let what = "The access was given up for good, and no key is made for it again. Provision a new one.";
        return Err(for_good(Reason::AccessRevoked, what).into());
    }
    if access.closed_at.is_none() {
        return Ok(access);
    }
    let what = "This access was never provisioned: its first key failed. Provision a new one.";
    Err(for_good(Reason::AccessNotFound, what).with("id", id.as_str()).into())
}

/// Without the reason's own remedy, which would not help here.
fn for_good(reason: Reason, what: &str) -> Failure {
    let mut failure = Failure::new(reason, what);
    what.clone_into(&mut failure.message);
    failure
}

/// The typed confirmation equals the id exactly.
pub fn confirmed(typed: Option<&str>, id: &AccessId) -> Result<(), Failure> {
    typed_exactly(typed, id.as_str(), "The confirmation is not the id of the access.")
}

pub fn confirmed_server(typed: Option<&str>, id: &ServerId) -> Result<(), Failure> {
    typed_exactly(typed, id.as_str(), "The confirmation is not the id of the server.")
}

pub fn confirmed_tenant(typed: Option<&str>, id: &TenantId) -> Result<(), Failure> {
    typed_exactly(typed, id.as_str(), "The confirmation is not the id of the tenant.")
}

fn typed_exactly(typed: Option<&str>, id: &str, otherwise: &str) -> Result<(), Failure> {
    match typed.map(str::trim) {
        None | Some("") => Err(Failure::new(Reason::ConfirmationRequired, "The confirmation is missing.")),
        Some(typed) if typed == id => Ok(()),
        Some(_) => Err(Failure::new(Reason::ConfirmationMismatch, otherwise)),
    }
}

pub fn comment(text: &str) -> Result<(), Failure> {
    if text.chars().count() > LONGEST_COMMENT || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Failure::violation(
            "reason",
            format!("must be text of at most {LONGEST_COMMENT} characters"),
        ));
    }
    Ok(())
}

/// The account is the tenant's, not the one that Keywright itself logs in to.
pub fn not_ours(server: &Server, account: &AccountName) -> Result<(), Failure> {
    if server.management.as_ref().is_some_and(|(_, username)| username == account.as_str()) {
        let failure =
            Failure::new(Reason::AccountNotAllowed, "The account is Keywright's own on this server.");
        return Err(failure.with("serverId", server.id.as_str()));
    }
    Ok(())
}

/// The tenant's server, if an access to this account may begin on it.
pub async fn server_for(
    store: &CredentialStore,
    tenant: &TenantId,
    server: &str,
    account: &AccountName,
) -> Result<Server, Failure> {
    let missing = || Failure::not_found(Reason::ServerNotFound, server);
    let id = ServerId::parse(server).map_err(|_| missing())?;
    let found = store.server(&id).await?;
    if found.tenant != *tenant {
        return Err(missing());
    }
    usable(&found)?;
    not_ours(&found, account)?;
    Ok(found)
}

/// The server is one of the access's hosts from here on, and its account is taken.
pub async fn join(
    tx: &mut Tx,
    access: &Access,
    server: &Server,
    position: i64,
    create_account: bool,
) -> Result<(), Error> {
    stays_managed(tx.conn(), &server.id).await?;
    if let Some(holder) = store::access::of_account(tx.conn(), &server.id, access.account.as_str()).await? {
        let failure = if holder == access.id {
            Failure::new(Reason::AlreadyExists, "The access has this host already.")
        } else {
            Failure::new(Reason::AccountNotAllowed, "Another access has this account of the server.")
        };
        let failure = failure.with("accessId", holder.as_str());
        return Err(failure.with("serverId", server.id.as_str()).into());
    }
    store::access::take_account(tx, &server.id, &access.account, &access.id).await?;
    let host = Host {
        server: server.id.clone(),
        name: server.name.clone(),
        host: server.host.clone(),
        port: server.port,
        residual: Vec::new(),
        create_account,
        leaving: false,
    };
    Ok(store::access::insert_host(tx, &access.id, position, &host).await?)
}

/// In the transaction that begins something on the server: it is not being released. What came to it then could never be
/// taken off it again.
pub async fn stays_managed(conn: &mut Connection, server: &ServerId) -> Result<(), Error> {
    match store::release::running_on(conn, server).await? {
        None => Ok(()),
        Some(_) => {
            let failure = Failure::new(Reason::ServerNotManaged, "The server is being released.");
            Err(failure.with("serverId", server.as_str()).into())
        }
    }
}

/// It is known who the server is, and it has not shown itself to be another one.
pub fn recognized(server: &Server) -> Result<(), Failure> {
    let (reason, message) = if server.known.is_empty() {
        (Reason::HostKeyUnpinned, "No host key of the server is approved.")
    } else if server.mismatched {
        let shown = "The server has shown another host key than a pinned one; scan it, and approve its keys again or re-pin them.";
        (Reason::HostKeyMismatch, shown)
    } else {
        return Ok(());
    };
    Err(Failure::new(reason, message).with("serverId", server.id.as_str()))
}

/// New work may begin on the server.
pub fn usable(server: &Server) -> Result<(), Failure> {
    let refuse =
        |reason, message: &str| Err(Failure::new(reason, message).with("serverId", server.id.as_str()));
    if !server.active {
        return refuse(Reason::ServerInactive, "The server is deactivated.");
    }
    recognized(server)?;
    if server.management.is_none() {
        return refuse(Reason::ServerNotManaged, "The server has no management key.");
    }
    Ok(())
}
