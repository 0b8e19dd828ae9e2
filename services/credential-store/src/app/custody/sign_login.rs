//! "Sign this login for me": for a person's agent or an internal service that logs in by itself.
//!
//! Invariant: what is signed is a login on a server that uses the credential, in a session that the server's pinned
//! host key signed; the proof of it is checked here, and everything it rests on once more in the transaction after
//! which the signature is handed out.

use super::pen::Pen;
use crate::app::find;
use crate::app::tenants::open;
use crate::domain::credential::Credential;
use crate::domain::server::Server;
use crate::domain::signing::{SigningKey, access, allow_host, allow_user};
use crate::domain::version::Version;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{CredentialId, ServerId};
use keywright_domain::key::{KeyError, PublicKey, SignatureAlgorithm, UserauthRequest};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::rate::{Quota, Rate};
use keywright_storage::{Db, Tx};
use tracing::instrument;

const ACTION: &str = "credential.sign_login";

/// What one principal has signed, per process.
pub const SIGNATURES: Quota = Quota::per_minute(120);

pub struct SignLogin {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub pen: Pen,
    pub rate: Rate,
}

/// The fields, as they came.
pub struct Login {
    pub credential_id: String,
    pub server_id: String,
    pub session_id: Vec<u8>,
    pub username: String,
    pub algorithm: String,
    pub host_key: Vec<u8>,
    pub host_signature: Vec<u8>,
    pub host_bound: bool,
}

/// What a login rests on.
pub struct Grounds {
    credential: CredentialId,
    server: ServerId,
    username: String,
    host_key: PublicKey,
}

impl Grounds {
    pub async fn still_stand(&self, tx: &mut Tx) -> Result<(), Error> {
        let credential = find::credential_in(tx, &self.credential).await?;
        let server = find::server_in(tx, &self.server).await?;
        open::require(tx, &server.tenant).await?;
        let holds = match access(&credential) {
            Some(access) => store::signing::holds_in(tx, access, &server.id).await?,
            None => false,
        };
        allow_host(&server, &self.host_key)?;
        Ok(allow_user(&server, &credential, holds, &self.username)?)
    }
}

impl SignLogin {
    #[instrument(skip_all, fields(credential = shown(&login.credential_id), server = shown(&login.server_id)))]
    pub async fn run(&self, caller: &Caller, login: Login) -> Result<Vec<u8>, Failure> {
        let credential =
            find::credential(&self.db, &self.guard, caller, ACTION, &login.credential_id).await?;
        let server = find::server(&self.db, &self.guard, caller, ACTION, &login.server_id).await?;
        if credential.tenant.as_ref() != Some(&server.tenant) {
            return Err(find::no_credential(credential.id.as_str()));
        }
        self.rate.take(&caller.principal.id, "Too many logins were signed for you in the last minute.")?;
        open::check(&self.db, credential.tenant.as_ref()).await?;
        let (version, request, host_key) = parse(&login, &credential)?;
        self.prove(caller, &login, &credential, &server, &host_key).await?;
        let holds = match access(&credential) {
            Some(access) => store::signing::holds(&self.db, access, &server.id).await?,
            None => false,
        };
        allow_user(&server, &credential, holds, &login.username)?;
        let entry = Entry::new(ACTION)
            .tenant(credential.tenant.as_ref())
            .target(credential.id.as_str())
            .detail("server", server.id.as_str())
            .detail("version", version.id.as_str())
            .detail("fingerprint", version.public.fingerprint().as_str())
            .detail("hostKey", host_key.fingerprint().as_str())
            .detail("username", login.username.as_str());
        let grounds = Grounds {
            credential: credential.id.clone(),
            server: server.id,
            username: login.username,
            host_key,
        };
        let intent = self.audit.intend(caller, entry).await?;
        let signed = self.pen.sign(&intent, &credential.id, &version.id, request, Some(&grounds)).await;
        self.audit.conclude(&self.db, &intent, &signed).await;
        signed
    }

    /// The host's proof. One that fails is logged: somebody has a login signed in a session that is not the server's.
    async fn prove(
        &self,
        caller: &Caller,
        login: &Login,
        credential: &Credential,
        server: &Server,
        host_key: &PublicKey,
    ) -> Result<(), Failure> {
        let proven = allow_host(server, host_key).and_then(|()| {
            host_key.verify(&login.session_id, &login.host_signature).map_err(|_| {
                Failure::violation(
                    "hostSignature",
                    "is not the host key's signature over the session identifier",
                )
            })
        });
        let Err(failure) = proven else { return Ok(()) };
        let entry = Entry::new(ACTION)
            .tenant(credential.tenant.as_ref())
            .target(credential.id.as_str())
            .detail("server", server.id.as_str())
            .detail("hostKey", host_key.fingerprint().as_str());
        self.audit.denied(caller, entry, failure.reason).await;
        Err(failure)
    }
}

fn parse(login: &Login, credential: &Credential) -> Result<(Version, UserauthRequest, PublicKey), Failure> {
    let version = credential.current.clone().filter(Version::is_usable);
    let version = version.ok_or_else(|| find::no_version(credential.id.as_str()))?;
    let algorithm = SignatureAlgorithm::parse(&login.algorithm)
        .map_err(|_| Failure::violation("algorithm", "is no signature algorithm that is used"))?;
    let host_key = PublicKey::from_blob(&login.host_key).map_err(|error| match error {
        KeyError::CertificateGiven => Failure::new(
            Reason::HostKeyMismatch,
            "The session's host showed a certificate; only a pinned key is a proof.",
        ),
        _ => Failure::violation("hostKey", "is no host key in SSH wire form"),
    })?;
    let (session, user) = (login.session_id.clone(), login.username.clone());
    let request = UserauthRequest::new(session, user, algorithm, version.public.clone()).map_err(|_| {
        Failure::violation(
            "sessionId",
            "and the other fields make no user-authentication request of this key",
        )
    })?;
    let request = if login.host_bound { request.bound_to(host_key.clone()) } else { request };
    Ok((version, request, host_key))
}

/// What signs for the caller.
pub struct ListSigningKeys {
    pub db: Db,
    pub guard: Guard,
}

impl ListSigningKeys {
    /// The page, and where the next one begins.
    pub async fn run(
        &self,
        caller: &Caller,
        tenant: &str,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<SigningKey>, String), Failure> {
        let tenant = find::tenant_of_list(&self.guard, caller, ACTION, tenant).await?;
        let page = find::page(page_size, page_token, tenant.as_ref(), "")?;
        let keys = store::signing::list(&self.db, tenant.as_ref(), &page).await?;
        Ok(page.cut(keys, |key| (key.credential.created_at, key.credential.id.to_string())))
    }
}
