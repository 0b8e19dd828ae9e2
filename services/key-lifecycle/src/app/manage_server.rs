//! Takes a server under management: logs in once with a bootstrap credential, installs Keywright's own key, proves it,
//! forgets the bootstrap.
//!
//! Invariant: a management key counts only after it was proven. One that was not is destroyed, so that a line which
//! could not be removed any more (the bootstrap is gone) opens nothing. What it replaces stays for a while, as after a
//! rotation.

use super::gates;
use crate::adapters::bootstrap::{Bootstrap, Bootstrapper, Entered};
use crate::adapters::credential_store::{Change, CredentialStore, Server};
use crate::adapters::probe::{KeyToProve, Probe};
use crate::management::PREDECESSOR_STAYS;
use crate::model::{Management, ManagementKind, ManagementState, Receipt, VersionState};
use crate::recovery;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{CredentialId, ManagementId, ServerId, VersionId};
use keywright_domain::key::{KeyAlgorithm, PublicKey};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::time::Duration;
use tracing::instrument;

/// Longer than any request: after it an installation that still runs was interrupted.
const INTERRUPTED_AFTER: Duration = Duration::from_secs(90);

#[derive(Clone)]
pub struct ManageServer {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub store: CredentialStore,
    pub probe: Probe,
    pub bootstrapper: Bootstrapper,
}

impl ManageServer {
    #[instrument(skip_all, fields(server))]
    pub async fn run(
        &self,
        caller: &Caller,
        server: &str,
        bootstrap: Bootstrap,
    ) -> Result<ServerId, Failure> {
        let missing = || Failure::not_found(Reason::ServerNotFound, server);
        let id = ServerId::parse(server).map_err(|_| missing())?;
        let server = self.store.server(&id).await?;
        let tenant = Some(&server.tenant);
        self.guard.allow(caller, "server.manage", tenant, id.as_str(), Reason::ServerNotFound).await?;
        recovery::refuse_while_active(&self.db).await?;
        self.store.require_open_tenant(&server.tenant).await?;
        let entrance = self.bootstrapper.parse(caller, &server, bootstrap).await?;
        let entry = Entry::new("server.manage").tenant(tenant).target(id.as_str());
        let intent = self.audit.intend(caller, entry.detail("username", entrance.username())).await?;
        let result = match self.begin(&server, entrance.username(), &intent).await {
            Ok(management) => match self.bootstrapper.enter(&server, &entrance).await {
                Ok(entered) => self.install(&server, &management, entered, &intent).await,
                Err(failure) => self.fail(&management, failure).await,
            },
            Err(failure) => Err(failure),
        };
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    /// Ids are durable before anything exists under them.
    async fn begin(&self, server: &Server, username: &str, intent: &Intent) -> Result<Management, Failure> {
        if !server.active {
            return Err(Failure::new(Reason::ServerInactive, "The server is deactivated."));
        }
        gates::recognized(server)?;
        let (id, credential, version) =
            (ManagementId::random()?, CredentialId::random()?, VersionId::random()?);
        let begun = self.db.serialized(|| async {
            let mut tx = self.db.begin(intent).await?;
            let known = store::management::of(tx.conn(), &server.id).await?;
            if let Some(running) = known.iter().find(|key| key.state == ManagementState::Running) {
                let failure =
                    Failure::new(Reason::RequestInProgress, "A management key is being installed there.");
                return Err(Error::from(failure.with("managementId", running.id.as_str())));
            }
            gates::stays_managed(tx.conn(), &server.id).await?;
            if store::access::of_account(tx.conn(), &server.id, username).await?.is_some() {
                return Err(
                    Failure::new(Reason::AccountNotAllowed, "A tenant's access uses this account.").into()
                );
            }
            let keys = (credential.clone(), version.clone());
            let (kind, username) = (ManagementKind::Bootstrap, username.to_owned());
            let begun = Management::new(id.clone(), server.id.clone(), keys, username, kind, tx.now());
            let management = Management { tenant: Some(server.tenant.clone()), ..begun };
            let look_again = tx.now().plus(INTERRUPTED_AFTER);
            store::management::insert(&mut tx, &management, look_again).await?;
            tx.commit().await?;
            Ok(management)
        });
        Ok(begun.await?)
    }

    async fn install(
        &self,
        server: &Server,
        management: &Management,
        entered: Entered,
        intent: &Intent,
    ) -> Result<ServerId, Failure> {
        let result = match self.generate(server, management).await {
            Ok(key) => {
                let generated = Management { public_key: Some(key.clone()), ..management.clone() };
                match self.add_and_prove(server, &generated, &key, &entered).await {
                    Ok(receipt) => self.adopt(server, &generated, &key, receipt, intent).await,
                    Err(failure) => {
                        self.take_back(&generated, &entered).await;
                        self.fail(management, failure).await
                    }
                }
            }
            Err(failure) => self.fail(management, failure).await,
        };
        entered.leave().await;
        result
    }

    async fn generate(&self, server: &Server, management: &Management) -> Result<PublicKey, Failure> {
        let work = management.id.as_str();
        let name = format!("management key of {}", server.id);
        self.store.create_credential(work, &management.credential, None, &name, server.id.as_str()).await?;
        let (credential, version) = (&management.credential, &management.version);
        let key = self.store.generate(work, credential, version, KeyAlgorithm::Ed25519).await?;
        let recorded = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a management key was generated").await?;
            store::management::generated(&mut tx, &management.id, &key).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        recorded.await?;
        Ok(key)
    }

    async fn add_and_prove(
        &self,
        server: &Server,
        management: &Management,
        key: &PublicKey,
        entered: &Entered,
    ) -> Result<Receipt, Failure> {
        entered.add(management, key).await?;
        let proof =
            KeyToProve { credential: &management.credential, version: &management.version, public_key: key };
        let receipt =
            self.probe.login(management.id.as_str(), &server.id, &management.username, proof).await?;
        if !receipt.accepted {
            return Err(Failure::new(
                Reason::HostEditFailed,
                "The server does not accept the management key.",
            ));
        }
        Ok(receipt)
    }

    async fn take_back(&self, management: &Management, entered: &Entered) {
        match entered.remove(management, 2).await {
            Ok(()) => self.removed(management).await,
            Err(left) => {
                tracing::info!(
                    reason = left.reason.as_str(),
                    "the line of a destroyed key stays on the server"
                );
            }
        }
    }

    /// From the first call on the answer may be lost though the key counts: what fails here is settled by `recover`.
    async fn adopt(
        &self,
        server: &Server,
        management: &Management,
        key: &PublicKey,
        receipt: Receipt,
        intent: &Intent,
    ) -> Result<ServerId, Failure> {
        let work = management.id.as_str();
        self.set_state(management, VersionState::Active).await?;
        self.store.set_management_key(work, &server.id, &management.credential, &management.username).await?;
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin(intent).await?;
            store::management::proven(&mut tx, &management.id, &receipt).await?;
            self.counts(&mut tx, management).await?;
            let outcome = Outcome::succeeded().with("managementKeyId", management.credential.as_str());
            intent.done(&mut tx, outcome.with("fingerprint", key.fingerprint().to_string())).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        done.await?;
        Ok(server.id.clone())
    }

    async fn counts(&self, tx: &mut Tx, management: &Management) -> Result<(), Error> {
        let until = tx.now().plus(PREDECESSOR_STAYS);
        Ok(store::management::counts(tx, &management.id, &management.server, until).await?)
    }

    async fn fail<T>(&self, management: &Management, failure: Failure) -> Result<T, Failure> {
        let settled = match self.discard(management).await {
            Ok(()) => self.finish(management, ManagementState::Failed, failure.reason.as_str()).await,
            Err(unheard) => Err(unheard),
        };
        if settled.is_err() {
            tracing::info!(management = %management.id, "a failed installation is settled later");
        }
        Err(failure)
    }

    /// A key that was never in use fails, one that was retires; either way it is destroyed.
    pub async fn discard(&self, management: &Management) -> Result<(), Failure> {
        match self.set_state(management, VersionState::Failed).await {
            Err(failure) if failure.is(Reason::RevisionMismatch) => {
                self.set_state(management, VersionState::Retired).await
            }
            result => result,
        }
    }

    /// What no longer counts is destroyed with it; what was never generated needs nothing.
    pub async fn set_state(&self, management: &Management, state: VersionState) -> Result<(), Failure> {
        let destroy = state != VersionState::Active;
        let change = Change { version: &management.version, state, destroy, compromised: false };
        let work = Some(management.id.as_str());
        match self.store.set_state(work, &management.credential, &change).await {
            Err(failure)
                if destroy
                    && matches!(failure.reason, Reason::VersionNotFound | Reason::CredentialNotFound) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    async fn finish(
        &self,
        management: &Management,
        state: ManagementState,
        reason: &str,
    ) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("an installation ends").await?;
            store::management::finish(&mut tx, &management.id, state, reason).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn removed(&self, management: &Management) {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a management line is gone").await?;
            store::management::removed(&mut tx, &management.id, None).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        if done.await.is_err() {
            tracing::info!(management = %management.id, "a removed management line is looked for again with the next");
        }
    }

    /// Settles an installation whose request did not live to do it: it counts if the server has it for its management
    /// key, else its key is destroyed.
    #[instrument(skip_all, fields(management = %id))]
    pub async fn recover(&self, id: &ManagementId) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let found = store::management::find(&mut reader, id).await?;
        drop(reader);
        let Some(management) = found.filter(|found| found.state == ManagementState::Running) else {
            return Ok(());
        };
        let counts = match self.store.server(&management.server).await {
            Ok(server) => {
                server.management.is_some_and(|(credential, _)| credential == management.credential)
            }
            Err(failure) if failure.is(Reason::ServerNotFound) => false,
            Err(failure) => return Err(failure),
        };
        if counts {
            self.set_state(&management, VersionState::Active).await?;
            let done = self.db.serialized(|| async {
                let mut tx = self.db.begin_internal("an interrupted installation counts").await?;
                self.counts(&mut tx, &management).await?;
                tx.commit().await?;
                Ok::<(), Error>(())
            });
            return Ok(done.await?);
        }
        self.discard(&management).await?;
        self.finish(&management, ManagementState::Failed, Reason::DeadlineExceeded.as_str()).await
    }
}
