//! Drives one management key: what was begun last is done (again), its outcome begins the next.
//!
//! Invariant: before its promotion a failure leads back (the key is destroyed, its line taken off the host), after it
//! only forward. Whoever drives holds the key's lease.

use super::editor::{Editor, account};
use super::plan::{self, Next};
use crate::adapters::credential_store::{CredentialStore, Server};
use crate::adapters::probe::{KeyToProve, Probe};
use crate::app::manage_server::ManageServer;
use crate::model::{Management, ManagementState, ManagementStep, Notice, Receipt, VersionState};
use crate::recovery;
use crate::refusals::Refusals;
use crate::store;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::ids::ManagementId;
use keywright_domain::key::{KeyAlgorithm, PublicKey};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

#[derive(Clone)]
pub struct Keys {
    pub db: Db,
    pub audit: Audit,
    pub store: CredentialStore,
    pub probe: Probe,
    pub refusals: Refusals,
    pub editor: Editor,
    pub bootstrap: ManageServer,
}

impl Keys {
    /// As far as it goes now.
    #[instrument(skip_all, fields(management = %id))]
    pub async fn run(&self, id: &ManagementId) -> Result<(), Failure> {
        while self.once(id).await? {}
        Ok(())
    }

    /// The next thing alone; false when nothing is due.
    pub async fn once(&self, id: &ManagementId) -> Result<bool, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let found = store::management::find(&mut reader, id).await?;
        let backup = store::backup::last(&mut reader).await?;
        drop(reader);
        let Some(it) = found else { return Ok(false) };
        match plan::next(&it, backup, self.db.now().await?) {
            Next::Settle => self.bootstrap.recover(id).await?,
            Next::Step => self.step(&it).await?,
            Next::CleanUp => self.clean_up(&it).await?,
            Next::End => self.end(&it).await?,
            Next::Wait(until) => {
                self.look_again(&it, Some(until)).await?;
                return Ok(false);
            }
            Next::Nothing => {
                if it.next_at.is_some() {
                    self.look_again(&it, None).await?;
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// After a failure.
    pub async fn pause(&self, id: &ManagementId) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a management key is put off").await?;
            let attempts = store::management::find(tx.conn(), id).await?.map_or(0, |found| found.attempts);
            let until = tx.now().plus(plan::pause(attempts));
            store::management::put_off(&mut tx, id, until).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn look_again(
        &self,
        it: &Management,
        at: Option<keywright_domain::clock::Instant>,
    ) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("when a management key is due").await?;
            store::management::look_again(&mut tx, &it.id, at).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn step(&self, it: &Management) -> Result<(), Failure> {
        recovery::refuse_while_active(&self.db).await?;
        let result = match it.step {
            ManagementStep::Generate => self.generate(it).await,
            ManagementStep::Install => self.install(it).await,
            ManagementStep::Prove => self.prove(it).await,
            ManagementStep::Promote => return self.promote(it).await,
        };
        let Err(failure) = result else { return Ok(()) };
        tracing::info!(
            step = it.step.as_str(),
            reason = failure.reason.as_str(),
            "a management key turns back"
        );
        self.turn_back(it, &failure).await
    }

    /// Its ids are durable already: the same again gives the same key.
    async fn generate(&self, it: &Management) -> Result<(), Failure> {
        let work = it.id.as_str();
        let name = format!("management key of {}", it.server);
        self.store.create_credential(work, &it.credential, None, &name, it.server.as_str()).await?;
        let key = self.store.generate(work, &it.credential, &it.version, KeyAlgorithm::Ed25519).await?;
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a management key was generated").await?;
            store::management::generated(&mut tx, &it.id, &key).await?;
            store::management::begin_step(&mut tx, &it.id, it.step, ManagementStep::Install).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn install(&self, it: &Management) -> Result<(), Failure> {
        let server = self.store.server(&it.server).await?;
        let intent = self.intend(it, &server, "host.edit", "install").await?;
        let installed = self.editor.set(&server, it, true).await;
        self.concluded(&intent, installed).await?;
        self.begin_step(it, ManagementStep::Prove).await
    }

    async fn prove(&self, it: &Management) -> Result<(), Failure> {
        let receipt = self.login(it, it).await?;
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a management key was proven").await?;
            store::management::proven(&mut tx, &it.id, &receipt).await?;
            store::management::begin_step(&mut tx, &it.id, it.step, ManagementStep::Promote).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// From the first call on the key may count: only forward.
    pub(super) async fn promote(&self, it: &Management) -> Result<(), Failure> {
        self.bootstrap.set_state(it, VersionState::Active).await?;
        let work = it.id.as_str();
        self.store.set_management_key(work, &it.server, &it.credential, &it.username).await?;
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a management key counts").await?;
            let until = tx.now().plus(plan::PREDECESSOR_STAYS);
            store::management::counts(&mut tx, &it.id, &it.server, until).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn turn_back(&self, it: &Management, failure: &Failure) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a management key will not count").await?;
            let (reason, message) = (failure.reason.as_str(), failure.message.as_str());
            if store::management::turned_back(&mut tx, &it.id, reason, message).await? {
                let notice = Notice::new("rotation.failed", None, it.server.as_str());
                let notice = notice.occasion(it.id.as_str());
                let notice = notice.detail("key", "management").detail("reason", reason);
                store::notice::write(&mut tx, &notice).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn begin_step(&self, it: &Management, step: ManagementStep) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a management key's next step").await?;
            store::management::begin_step(&mut tx, &it.id, it.step, step).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// A fresh login with `key`, in the name of `it`; a refusal is a failure.
    pub(super) async fn login(&self, it: &Management, key: &Management) -> Result<Receipt, Failure> {
        let public_key = public_key(key)?;
        let proof = KeyToProve { credential: &key.credential, version: &key.version, public_key };
        let receipt = self.probe.login(it.id.as_str(), &key.server, &key.username, proof).await?;
        if receipt.accepted {
            return Ok(receipt);
        }
        Err(Failure::new(Reason::HostEditFailed, "The server does not accept the management key."))
    }

    /// The server's own refusal of the key.
    pub(super) async fn refused(&self, it: &Management) -> Result<Receipt, Failure> {
        let receipt =
            self.refusals.offer_in_turn(it.id.as_str(), &it.server, &account(it)?, public_key(it)?).await?;
        if !receipt.accepted {
            return Ok(receipt);
        }
        Err(Failure::new(Reason::HostEditFailed, "The server still accepts the former management key."))
    }

    pub(super) async fn intend(
        &self,
        it: &Management,
        server: &Server,
        action: &str,
        step: &str,
    ) -> Result<Intent, Failure> {
        let caller = Caller::background(ServiceName::KeyLifecycle, it.id.as_str());
        let entry = Entry::new(action).tenant(Some(&server.tenant)).target(it.server.as_str());
        let entry = entry.detail("step", step).detail("managementId", it.id.as_str());
        self.audit.intend(&caller, entry).await
    }

    pub(super) async fn concluded<T>(
        &self,
        intent: &Intent,
        result: Result<T, Failure>,
    ) -> Result<T, Failure> {
        match &result {
            Ok(_) => self.audit.settle(&self.db, intent, Outcome::succeeded()).await?,
            Err(_) => self.audit.conclude(&self.db, intent, &result).await,
        }
        result
    }
}

fn public_key(it: &Management) -> Result<&PublicKey, Failure> {
    let key = it.public_key.as_ref();
    key.ok_or_else(|| Failure::new(Reason::Internal, "The management key was never generated."))
}

/// The key that the server has in use, among those that are known of it.
pub(super) fn in_use<'a>(server: &Server, known: &'a [Management]) -> Option<&'a Management> {
    let (credential, _) = server.management.as_ref()?;
    known.iter().find(|key| key.credential == *credential && key.state != ManagementState::Failed)
}
