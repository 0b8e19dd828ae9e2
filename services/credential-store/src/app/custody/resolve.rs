//! Hands a saved credential's key to an internal service that cannot have Keywright sign for it.
//!
//! Invariant: only to a program that calls this service directly with its own token, only where the tenant allowed it
//! for this credential, with the purpose in the log before the key is read, and only after a transaction that found all
//! of it still so.

use super::shelf::Shelf;
use crate::app::find;
use crate::app::tenants::open;
use crate::domain::credential::Credential;
use crate::domain::server::Lifecycle;
use crate::domain::version::Version;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{ServerId, shown};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::rate::{Quota, Rate};
use keywright_storage::{Db, Intent, Outcome, Tx};
use tracing::instrument;

const ACTION: &str = "credential.resolve";

/// What one principal is given, per process.
pub const KEYS: Quota = Quota::per_minute(60);

const MIN_PURPOSE: usize = 3;
const MAX_PURPOSE: usize = 200;

pub struct ResolveKey {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub shelf: Shelf,
    pub rate: Rate,
}

/// As it came.
pub struct Wanted {
    pub credential_id: String,
    pub purpose: String,
    /// Empty: for no server in particular.
    pub server_id: String,
}

pub struct Resolved {
    pub key: Secret,
    /// Empty where nothing names one.
    pub username: String,
    pub version: Version,
}

impl ResolveKey {
    #[instrument(skip_all, fields(credential = shown(&wanted.credential_id), server = shown(&wanted.server_id)))]
    pub async fn run(&self, caller: &Caller, wanted: Wanted) -> Result<Resolved, Failure> {
        let credential = find::saved(&self.db, &self.guard, caller, ACTION, &wanted.credential_id).await?;
        self.refuse_carried(caller, &credential).await?;
        self.rate.take(&caller.principal.id, "Too many keys were handed to you in the last minute.")?;
        open::check(&self.db, credential.tenant.as_ref()).await?;
        let purpose = purpose(&wanted.purpose)?;
        let server = server(&wanted.server_id)?;
        let denied = Entry::new(ACTION)
            .tenant(credential.tenant.as_ref())
            .target(credential.id.as_str())
            .comment(purpose);
        if !credential.allow_resolve {
            self.audit.denied(caller, denied, Reason::ResolveNotAllowed).await;
            return Err(not_allowed());
        }
        let version = usable(&credential)?;
        let entry = denied
            .detail("version", version.id.as_str())
            .detail("fingerprint", version.public.fingerprint().as_str())
            .detail("server", server.as_ref().map_or("", ServerId::as_str));
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.release(&credential, version, server.as_ref(), &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    /// A service of Keywright that carries a program's request is not the program.
    async fn refuse_carried(&self, caller: &Caller, credential: &Credential) -> Result<(), Failure> {
        if caller.acting.is_none() {
            return Ok(());
        }
        let entry = Entry::new(ACTION).tenant(credential.tenant.as_ref()).target(credential.id.as_str());
        self.audit.denied(caller, entry, Reason::PermissionDenied).await;
        Err(Failure::new(Reason::PermissionDenied, "A key is handed to an internal service itself alone."))
    }

    async fn release(
        &self,
        credential: &Credential,
        version: Version,
        server: Option<&ServerId>,
        intent: &Intent,
    ) -> Result<Resolved, Failure> {
        let key = self.shelf.take(&version.id).await?;
        let recorded: Result<String, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                let now = find::credential_in(&mut tx, &credential.id).await?;
                if let Some(tenant) = &now.tenant {
                    open::require(&mut tx, tenant).await?;
                }
                if !now.allow_resolve {
                    return Err(not_allowed().into());
                }
                if usable(&now)?.id != version.id {
                    return Err(find::no_version(version.id.as_str()).into());
                }
                let username = username(&mut tx, &now, server).await?;
                store::credential::used(&mut tx, &credential.id).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok(username)
            })
            .await;
        Ok(Resolved { username: recorded?, key, version })
    }
}

/// The binding's user where a server is named, which must be an active one that is bound; else the credential's.
async fn username(tx: &mut Tx, credential: &Credential, server: Option<&ServerId>) -> Result<String, Error> {
    let Some(id) = server else { return Ok(credential.username.clone().unwrap_or_default()) };
    let server = store::server::find_in(tx, id).await?;
    let server = server.filter(|server| Some(&server.tenant) == credential.tenant.as_ref());
    let (lifecycle, binding) = server.map(|server| (server.lifecycle, server.binding)).unzip();
    match binding.flatten().filter(|binding| binding.credential == credential.id) {
        None => {
            Err(Failure::violation("serverId", "is not a server that this credential is bound to").into())
        }
        Some(_) if lifecycle == Some(Lifecycle::Inactive) => {
            Err(Failure::new(Reason::ServerInactive, "The server is deactivated and takes no new logins.")
                .into())
        }
        Some(binding) => Ok(binding.username),
    }
}

fn usable(credential: &Credential) -> Result<Version, Failure> {
    let version = credential.current.clone().filter(Version::is_usable);
    version.ok_or_else(|| find::no_version(credential.id.as_str()))
}

fn not_allowed() -> Failure {
    Failure::new(Reason::ResolveNotAllowed, "The tenant does not allow that this key is handed out.")
}

fn server(text: &str) -> Result<Option<ServerId>, Failure> {
    match text {
        "" => Ok(None),
        text => ServerId::parse(text)
            .map(Some)
            .map_err(|_| Failure::violation("serverId", "is not a server that this credential is bound to")),
    }
}

fn purpose(text: &str) -> Result<&str, Failure> {
    let text = text.trim();
    let fits = (MIN_PURPOSE..=MAX_PURPOSE).contains(&text.chars().count());
    if fits && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    Err(Failure::violation("purpose", "must say in 3 to 200 characters what the key is for"))
}
