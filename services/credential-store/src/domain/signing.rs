//! What a key may sign a login for: a server that uses it, whose pinned host key took part in the session.

use super::credential::{Credential, Kind};
use super::server::{Lifecycle, Server};
use keywright_domain::ids::{AccessId, ServerId};
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;

/// A credential that signs, and where it is good for a login.
#[derive(Debug, Clone)]
pub struct SigningKey {
    pub credential: Credential,
    pub servers: Vec<SigningServer>,
}

#[derive(Debug, Clone)]
pub struct SigningServer {
    pub server: ServerId,
    pub name: String,
    /// Empty where any user may be asked for: the host knows whose the key is.
    pub username: String,
    pub host_keys: Vec<PublicKey>,
}

/// The access that a managed credential belongs to; management keys sign for Keywright alone.
pub fn access(credential: &Credential) -> Option<&str> {
    let owner = credential.owner.as_deref().filter(|_| credential.kind == Kind::Managed)?;
    AccessId::parse(owner).is_ok().then_some(owner)
}

/// A server that showed a wrong host key is not logged in to by anybody, until that is settled.
pub fn allow_server(server: &Server) -> Result<(), Failure> {
    let Some(mismatch) = &server.mismatch else { return Ok(()) };
    let message = "The server has shown another host key than a pinned one: nothing logs in to it until its keys are approved again or re-pinned.";
    Err(Failure::new(Reason::HostKeyMismatch, message)
        .with("serverId", server.id.as_str())
        .with("presented", mismatch.presented.as_str())
        .with("seenAt", mismatch.seen_at.rfc3339()))
}

/// Whether the server takes logins, and the key of the session's host is one that somebody vouched for.
pub fn allow_host(server: &Server, host_key: &PublicKey) -> Result<(), Failure> {
    if server.lifecycle == Lifecycle::Inactive {
        return Err(Failure::new(
            Reason::ServerInactive,
            "The server is deactivated and takes no new logins.",
        ));
    }
    if server.host_keys.is_empty() {
        return Err(Failure::new(Reason::HostKeyUnpinned, "No host key of this server is approved."));
    }
    allow_server(server)?;
    if server.host_keys.iter().any(|pinned| !pinned.authority && pinned.key == *host_key) {
        return Ok(());
    }
    let pinned: Vec<String> =
        server.host_keys.iter().map(|pinned| pinned.key.fingerprint().to_string()).collect();
    Err(Failure::new(Reason::HostKeyMismatch, "The session's host key is not one of this server's.")
        .with("hostKey", host_key.fingerprint().to_string())
        .with("pinned", pinned.join(",")))
}

/// Whether the server uses the credential, for that user. `holds`: the credential's access has the server among its
/// hosts.
pub fn allow_user(
    server: &Server,
    credential: &Credential,
    holds: bool,
    username: &str,
) -> Result<(), Failure> {
    let binding = server.binding.as_ref().filter(|binding| binding.credential == credential.id);
    let user = match (credential.kind, binding) {
        (Kind::Saved, Some(binding)) => binding.username.as_str(),
        (Kind::Managed, _) if holds => "",
        _ => return Err(Failure::violation("serverId", "is not a server that uses this credential")),
    };
    if user.is_empty() || user == username {
        return Ok(());
    }
    Err(Failure::violation("username", "is not the user that the server's binding names"))
}
