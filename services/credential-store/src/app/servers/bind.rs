//! Binds a saved credential to a server, and tests the two together.
//!
//! Invariant: the binding names the credential and never copies it; until a test has run with it, it is UNVERIFIED.

use crate::adapters::probe::Probe;
use crate::app::find;
use crate::app::tenants::open;
use crate::domain::credential::Kind;
use crate::domain::server::{Lifecycle, Server};
use crate::domain::text;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{CredentialId, ServerId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "server.bind";

pub struct BindCredential {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub probe: Probe,
}

pub struct NewBinding {
    pub server_id: String,
    pub credential_id: String,
    /// Empty: the credential's.
    pub username: String,
    pub skip_test: bool,
}

/// What came of it.
pub struct Bound {
    pub server: Server,
    /// Empty where no test was run.
    pub test: String,
}

impl BindCredential {
    #[instrument(skip_all, fields(server = shown(&new.server_id), credential = shown(&new.credential_id)))]
    pub async fn run(&self, caller: &Caller, new: NewBinding) -> Result<Bound, Failure> {
        let server = find::server(&self.db, &self.guard, caller, ACTION, &new.server_id).await?;
        let credential =
            CredentialId::parse(&new.credential_id).map_err(|_| find::no_credential(&new.credential_id))?;
        let username = text::username("username", &new.username)?;
        let entry = Entry::new(ACTION)
            .tenant(Some(&server.tenant))
            .target(server.id.as_str())
            .detail("credential", credential.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.bind(&server.id, &credential, username.as_deref(), &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        let bound = result?;
        if new.skip_test {
            return Ok(Bound { server: bound, test: String::new() });
        }
        Ok(self.test(caller, bound).await)
    }

    async fn bind(
        &self,
        id: &ServerId,
        credential: &CredentialId,
        username: Option<&str>,
        intent: &Intent,
    ) -> Result<Server, Failure> {
        let bound: Result<Server, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                let server = find::server_in(&mut tx, id).await?;
                open::require(&mut tx, &server.tenant).await?;
                let new = find::credential_in(&mut tx, credential).await?;
                if new.tenant.as_ref() != Some(&server.tenant) {
                    return Err(find::no_credential(credential.as_str()).into());
                }
                if new.kind == Kind::Managed {
                    return Err(find::is_managed().into());
                }
                if server.lifecycle == Lifecycle::Inactive {
                    return Err(Failure::new(
                        Reason::ServerInactive,
                        "The server is deactivated and takes no new work.",
                    )
                    .into());
                }
                if username.is_none() && new.username.is_none() {
                    let named = "is required, since the credential names no user";
                    return Err(Failure::violation("username", named).into());
                }
                if let Some(before) = server.binding.filter(|before| before.credential != *credential) {
                    store::credential::usage_changed(&mut tx, &before.credential).await?;
                }
                store::server::bind(&mut tx, id, credential, username).await?;
                store::credential::usage_changed(&mut tx, credential).await?;
                let bound = find::server_in(&mut tx, id).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok(bound)
            })
            .await;
        Ok(bound?)
    }

    /// The binding holds whatever comes of its test: one that could not be run leaves it UNVERIFIED.
    async fn test(&self, caller: &Caller, bound: Server) -> Bound {
        let test = match self.probe.test(caller, &bound.id).await {
            Ok(test) => test,
            Err(failure) => {
                tracing::warn!(server = %bound.id, reason = failure.reason.as_str(), "the test of a new binding could not be run");
                String::new()
            }
        };
        match store::server::find(&self.db, &bound.id).await {
            Ok(Some(server)) => Bound { server, test },
            _ => Bound { server: bound, test },
        }
    }
}
