//! "Sign this login": the port through which connectivity-probe and key-lifecycle log in without ever holding a key.
//!
//! Invariant: what is signed is built here from the fields of a user-authentication request, by the pen.

use super::pen::Pen;
use crate::adapters::work::Works;
use crate::app::directory::route;
use crate::app::find;
use crate::domain::credential::{Credential, Kind};
use crate::domain::server::Server;
use crate::domain::signing::allow_server;
use crate::domain::version::Version;
use crate::store;
use keywright_domain::caller::{Caller, PrincipalKind, ServiceName};
use keywright_domain::ids::shown;
use keywright_domain::ids::{CredentialId, FleetTestId, RevocationId, ServerId, VersionId};
use keywright_domain::key::{Certificate, SignatureAlgorithm, UserauthRequest};
use keywright_domain::reason::Reason;
use keywright_runtime::Decision;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use tracing::instrument;

const ACTION: &str = "credential.sign";

/// What a person who has a login signed must be allowed on the server: to test it, or to put it under management.
const USES: &[&str] = &["connectivity_test.create", "server.manage"];

pub struct SignUserauth {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub works: Works,
    pub pen: Pen,
}

/// The fields, as they came.
pub struct Login {
    pub credential_id: String,
    /// Empty: the version in use.
    pub version_id: String,
    pub server_id: String,
    pub session_id: Vec<u8>,
    pub username: String,
    pub algorithm: String,
    /// Empty: the server itself is what the login is for.
    pub towards_server_id: String,
    /// In wire form; empty: the key itself is presented.
    pub certificate: Vec<u8>,
}

impl SignUserauth {
    #[instrument(skip_all, fields(credential = shown(&login.credential_id), server = shown(&login.server_id)))]
    pub async fn run(&self, caller: &Caller, login: Login) -> Result<Vec<u8>, Failure> {
        let missing = || find::no_credential(&login.credential_id);
        let id = CredentialId::parse(&login.credential_id).map_err(|_| missing())?;
        let server_id = ServerId::parse(&login.server_id).map_err(|_| find::no_server(&login.server_id))?;
        let credential = store::credential::find(&self.db, &id).await?.ok_or_else(missing)?;
        let server = store::server::find(&self.db, &server_id).await?;
        let server = server.ok_or_else(|| find::no_server(server_id.as_str()))?;
        let towards = self.towards(&login, &credential, &server).await?;
        self.authorize(caller, &credential, &server, towards.as_ref()).await?;
        allow_server(&server)?;
        let version = self.version(&credential, &login.version_id).await?;
        let request = parse(&login, &version)?;
        let entry = Entry::new(ACTION)
            .tenant(credential.tenant.as_ref())
            .target(id.as_str())
            .detail("server", server.id.as_str())
            .detail("version", version.id.as_str())
            .detail("fingerprint", version.public.fingerprint().as_str())
            .detail("username", login.username.as_str());
        let entry = match &towards {
            None => entry,
            Some(towards) => entry.detail("towards", towards.id.as_str()),
        };
        let intent = if is_revocation(caller) {
            self.audit.intend_or_spool(caller, entry, self.db.now().await?).await?
        } else {
            self.audit.intend(caller, entry).await?
        };
        let result = self.pen.sign(&intent, &id, &version.id, request, None).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    /// For a work that is open and covers both; or for a person whose request connectivity-probe or key-lifecycle
    /// carries, who may use the server, and a saved credential of the same tenant.
    async fn authorize(
        &self,
        caller: &Caller,
        credential: &Credential,
        server: &Server,
        towards: Option<&Server>,
    ) -> Result<(), Failure> {
        let inside =
            matches!(caller.acting, Some(ServiceName::ConnectivityProbe | ServiceName::KeyLifecycle));
        let same_tenant = credential.tenant.as_ref() == Some(&server.tenant);
        let mut hidden = false;
        let allowed = if !inside {
            false
        } else if caller.principal.kind == PrincipalKind::System {
            match caller.principal.work.as_deref() {
                Some(work) if !work.is_empty() && (same_tenant || credential.tenant.is_none()) => {
                    self.is_open(work, credential, server, towards).await?
                }
                _ => false,
            }
        } else {
            let decisions = USES.iter().map(|action| self.guard.decide(caller, action, Some(&server.tenant)));
            let decisions: Vec<Decision> = decisions.collect();
            hidden = decisions.contains(&Decision::Hidden);
            decisions.contains(&Decision::Allow) && credential.kind == Kind::Saved && same_tenant
        };
        if allowed {
            return Ok(());
        }
        let reason = if hidden { Reason::CredentialNotFound } else { Reason::PermissionDenied };
        let entry = Entry::new(ACTION).tenant(credential.tenant.as_ref()).target(credential.id.as_str());
        self.audit.denied(caller, entry.detail("server", server.id.as_str()), reason).await;
        Err(match reason {
            Reason::CredentialNotFound => find::no_credential(credential.id.as_str()),
            _ => Failure::new(reason, "This credential is not signed with for this caller on this server."),
        })
    }

    /// Where the login is to a jump host: the server behind it. It must stand on the way there, and only what is bound to
    /// it is logged in with, as the user of the binding.
    async fn towards(
        &self,
        login: &Login,
        credential: &Credential,
        server: &Server,
    ) -> Result<Option<Server>, Failure> {
        let id = login.towards_server_id.as_str();
        if id.is_empty() {
            return Ok(None);
        }
        let missing = || find::no_server(id);
        let towards = ServerId::parse(id).map_err(|_| missing())?;
        let towards = store::server::find(&self.db, &towards).await?.ok_or_else(missing)?;
        let as_bound = is_bound(server, credential)
            && server.binding.as_ref().is_some_and(|bound| bound.username == login.username);
        let way = route::way(&self.db, &towards).await?;
        if as_bound && towards.tenant == server.tenant && way.iter().any(|on| on.id == server.id) {
            return Ok(Some(towards));
        }
        Err(Failure::violation("towardsServerId", "is not reached through this server with this credential"))
    }

    /// A fleet test logs in with what is bound, and nothing else. Towards another server it counts whether the work is
    /// open there: on the way, only what is bound is used.
    async fn is_open(
        &self,
        work: &str,
        credential: &Credential,
        server: &Server,
        towards: Option<&Server>,
    ) -> Result<bool, Failure> {
        match (FleetTestId::parse(work), towards) {
            (Ok(test), None) => {
                Ok(is_bound(server, credential) && self.works.is_tested(&test, &server.id).await?)
            }
            (Ok(test), Some(towards)) => self.works.is_tested(&test, &towards.id).await,
            (Err(_), None) => self.works.is_open(work, Some(&credential.id), &server.id).await,
            (Err(_), Some(towards)) => self.works.is_open(work, None, &towards.id).await,
        }
    }

    async fn version(&self, credential: &Credential, named: &str) -> Result<Version, Failure> {
        let found = if named.is_empty() {
            credential.current.clone()
        } else {
            let id = VersionId::parse(named).map_err(|_| find::no_version(named))?;
            store::version::find(&self.db, &credential.id, &id).await?
        };
        found.filter(Version::is_usable).ok_or_else(|| find::no_version(named))
    }
}

fn is_bound(server: &Server, credential: &Credential) -> bool {
    server.binding.as_ref().is_some_and(|bound| bound.credential == credential.id)
}

/// A log that does not answer holds no revocation back; the pen's transaction keeps the intent for it.
fn is_revocation(caller: &Caller) -> bool {
    let work = caller.principal.work.as_deref().filter(|_| caller.principal.kind == PrincipalKind::System);
    work.is_some_and(|work| RevocationId::parse(work).is_ok())
}

fn parse(login: &Login, version: &Version) -> Result<UserauthRequest, Failure> {
    let algorithm = SignatureAlgorithm::parse(&login.algorithm)
        .map_err(|_| Failure::violation("algorithm", "is no signature algorithm that is used"))?;
    let key = version.public.clone();
    let request = UserauthRequest::new(login.session_id.clone(), login.username.clone(), algorithm, key);
    let request = request.map_err(|_| {
        Failure::violation(
            "sessionId",
            "and the other fields make no user-authentication request of this key",
        )
    })?;
    if login.certificate.is_empty() {
        return Ok(request);
    }
    let certificate = Certificate::from_blob(&login.certificate)
        .map_err(|error| Failure::violation("certificate", error.to_string()))?;
    request
        .certified(certificate)
        .map_err(|_| Failure::violation("certificate", "does not certify the credential's key"))
}
