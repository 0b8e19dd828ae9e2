//! Drives a recorded release: every step can be repeated.

use super::begin::{not_managed, refuse_while_busy};
use super::{Asked, Releaser, path};
use crate::adapters::credential_store::Server;
use crate::held;
use crate::management::pause;
use crate::model::{Management, Receipt, Release, ReleaseState};
use crate::store;
use keywright_domain::account::AccountName;
use keywright_domain::caller::{Caller, PrincipalKind, ServiceName};
use keywright_domain::ids::{AccessId, ManagementId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Entry;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Intent, Outcome};
use tracing::instrument;

/// Keys that the log names one by one; the receipt names all.
const STATED: usize = 50;

/// Whether the line of the management key may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    MustGo,
    /// It stays without another look.
    IsLeft,
    /// It goes where another way in is proven, else it stays.
    GoesIfItCan,
}

impl Releaser {
    /// A release that was begun before is gone on with and answered.
    pub async fn run(
        &self,
        caller: &Caller,
        server: &Server,
        line: Line,
        comment: &str,
    ) -> Result<Release, Failure> {
        if let Some(begun) = self.begun(server).await? {
            if line == Line::IsLeft {
                self.leave_line(&begun.id).await?;
            }
            return self.go_on(caller, &begun.id).await;
        }
        if server.management.is_none() {
            return Err(not_managed(&server.id));
        }
        let mut reader = store::reader(&self.db).await?;
        refuse_while_busy(&mut reader, &server.id).await?;
        drop(reader);
        let entry = Entry::new("server.release").tenant(Some(&server.tenant)).target(server.id.as_str());
        let entry = entry.comment(comment).detail("leaveManagementKey", (line == Line::IsLeft).to_string());
        let intent = self.audit.intend(caller, entry).await?;
        let released = self.begin(caller, server, line, comment, &intent).await;
        self.audit.conclude(&self.db, &intent, &released).await;
        released
    }

    /// The one that the server's present key leaves by; of a server that has none, the last.
    async fn begun(&self, server: &Server) -> Result<Option<Release>, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let Some(last) = store::release::last(&mut reader, &server.id).await? else { return Ok(None) };
        let known = store::management::of(&mut reader, &server.id).await?;
        let own = known.iter().find(|key| key.id == last.id).map(|key| &key.credential);
        let again = server.management.as_ref().is_some_and(|(credential, _)| Some(credential) != own);
        Ok((!again).then_some(last))
    }

    async fn begin(
        &self,
        caller: &Caller,
        server: &Server,
        line: Line,
        comment: &str,
        intent: &Intent,
    ) -> Result<Release, Failure> {
        let other = match line {
            Line::IsLeft => None,
            // Proven when it is used: only then may a work in the background have the login signed.
            Line::GoesIfItCan => server.binding.as_ref().map(|(credential, _)| credential.clone()),
            Line::MustGo => {
                let (credential, entered) = self.enter(caller, server).await?;
                entered.leave().await;
                Some(credential)
            }
        };
        let asked = Asked { server, other: other.as_ref(), may_stay: line == Line::GoesIfItCan, comment };
        let id = self.db.serialized(|| self.record(asked, intent)).await?;
        let released = self.go_on(caller, &id).await?;
        let mut outcome =
            Outcome::succeeded().with("managementKeyRemoved", released.refused.is_some().to_string());
        for (at, key) in released.staying.iter().take(STATED).enumerate() {
            outcome = outcome.with(&format!("stays{at}"), format!("{} {}", key.account, key.fingerprint));
        }
        let outcome = outcome.with("stays", released.staying.len().to_string());
        self.audit.settle(&self.db, intent, outcome).await?;
        Ok(released)
    }

    /// What nobody asked for in person goes under the release's own name.
    async fn go_on(&self, caller: &Caller, id: &ManagementId) -> Result<Release, Failure> {
        let own = Caller::background(ServiceName::KeyLifecycle, id.as_str());
        let caller = if caller.principal.kind == PrincipalKind::System { &own } else { caller };
        let done =
            held::held(&self.db, id.as_str(), &self.owner, held::SHORT, self.drive(caller, id)).await?;
        done.ok_or_else(|| Failure::new(Reason::RequestInProgress, "The server is being released."))
    }

    /// In the background.
    #[instrument(skip_all, fields(release = %id))]
    pub async fn resume(&self, id: &ManagementId) -> Result<(), Failure> {
        let caller = Caller::background(ServiceName::KeyLifecycle, id.as_str());
        self.drive(&caller, id).await.map(drop)
    }

    pub async fn pause(&self, id: &ManagementId) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a release is put off").await?;
            let attempts = store::release::find(tx.conn(), id).await?.map_or(0, |found| found.attempts);
            let until = tx.now().plus(pause(attempts));
            store::release::put_off(&mut tx, id, until).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn drive(&self, caller: &Caller, id: &ManagementId) -> Result<Release, Failure> {
        let release = self.find(id).await?;
        if release.state == ReleaseState::Succeeded {
            return Ok(release);
        }
        let mut reader = store::reader(&self.db).await?;
        let mut keys = store::management::of(&mut reader, &release.server).await?;
        drop(reader);
        // What came after it is none of its business.
        keys.retain(|key| key.created_at <= release.requested_at);
        match self.store.server(&release.server).await {
            Ok(server) => {
                if release.other.is_some() && release.refused.is_none() {
                    match self.take_off(caller, &server, &release, &keys).await {
                        Err(failure) if release.may_stay && path::is_missing(&failure) => {
                            self.leave_line(id).await?;
                        }
                        result => result?,
                    }
                }
                for key in keys.iter().filter(|key| key.public_key.is_some()) {
                    self.store.forget_management_key(id.as_str(), &server.id, &key.credential).await?;
                }
            }
            // Deleted from under it: nothing is left to be done there.
            Err(failure) if failure.is(Reason::ServerNotFound) => {}
            Err(failure) => return Err(failure),
        }
        self.let_go(&release).await?;
        self.finish(&release, &keys).await?;
        self.find(id).await
    }

    async fn leave_line(&self, id: &ManagementId) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a management line is left").await?;
            store::release::leave_line(&mut tx, id).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn find(&self, id: &ManagementId) -> Result<Release, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let found = store::release::find(&mut reader, id).await?;
        found.ok_or_else(|| Failure::new(Reason::Internal, "The release is missing."))
    }

    /// In one pass: the other way in, the removals through it, the proof of each refusal.
    async fn take_off(
        &self,
        caller: &Caller,
        server: &Server,
        release: &Release,
        keys: &[Management],
    ) -> Result<(), Failure> {
        let (_, entered) = self.enter(caller, server).await?;
        let other_path = entered.receipt(self.db.now().await?);
        let mut refused = None;
        for key in keys.iter().filter(|key| key.public_key.is_some() && key.removed_at.is_none()) {
            let intent = self.intend(release, "remove").await?;
            let revision = self.next_edit(key).await?;
            let removed = entered.remove(key, revision).await;
            self.audit.conclude(&self.db, &intent, &removed).await;
            removed?;
            self.audit.settle(&self.db, &intent, Outcome::succeeded()).await?;
            let receipt = self.refused(release, key).await?;
            self.removed(key, &receipt).await?;
            if key.id == release.id {
                refused = Some(receipt);
            }
        }
        entered.leave().await;
        // An earlier pass removed it and did not live to say so.
        let receipt = match (refused, keys.iter().find(|key| key.id == release.id)) {
            (Some(receipt), _) => receipt,
            (None, Some(key)) => self.refused(release, key).await?,
            (None, None) => return Err(Failure::new(Reason::Internal, "The management key is missing.")),
        };
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a released server has no management line").await?;
            store::release::removed(&mut tx, &release.id, &other_path, &receipt).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn intend(&self, release: &Release, step: &str) -> Result<Intent, Failure> {
        let caller = Caller::background(ServiceName::KeyLifecycle, release.id.as_str());
        let entry = Entry::new("host.edit").tenant(Some(&release.tenant)).target(release.server.as_str());
        self.audit.intend(&caller, entry.detail("step", step)).await
    }

    async fn next_edit(&self, key: &Management) -> Result<u64, Failure> {
        let revision = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("the next revision of a management line").await?;
            let revision = store::management::next_edit(&mut tx, &key.id).await?;
            tx.commit().await?;
            Ok::<u64, Error>(revision)
        });
        Ok(revision.await?)
    }

    async fn refused(&self, release: &Release, key: &Management) -> Result<Receipt, Failure> {
        let public_key = key.public_key.as_ref();
        let public_key =
            public_key.ok_or_else(|| Failure::new(Reason::Internal, "The management key is missing."))?;
        let account = AccountName::parse(&key.username)
            .map_err(|_| Failure::new(Reason::Internal, "The management account is no account's name."))?;
        let receipt =
            self.refusals.offer_in_turn(release.id.as_str(), &release.server, &account, public_key).await?;
        if !receipt.accepted {
            return Ok(receipt);
        }
        Err(Failure::new(Reason::HostEditFailed, "The server still accepts the management key."))
    }

    async fn removed(&self, key: &Management, receipt: &Receipt) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a management line is gone").await?;
            store::management::removed(&mut tx, &key.id, Some(receipt)).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// Of every access that had the server, and of the credentials of those that were closed with it.
    async fn let_go(&self, release: &Release) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let left = store::release::left(&mut reader, &release.server).await?;
        drop(reader);
        for id in &left {
            self.let_go_of(release, id).await?;
        }
        Ok(())
    }

    async fn let_go_of(&self, release: &Release, id: &AccessId) -> Result<(), Failure> {
        let work = release.id.as_str();
        let mut reader = store::reader(&self.db).await?;
        let access = store::access::find(&mut reader, id).await?;
        drop(reader);
        self.store.let_go_of_server(work, &release.server, id.as_str()).await?;
        let Some(access) = access.filter(|access| access.closed_at.is_some()) else { return Ok(()) };
        self.custody.push(&access, Some(work)).await?;
        self.store.let_go_of_credential(work, &access.credential, id.as_str()).await
    }

    async fn finish(&self, release: &Release, keys: &[Management]) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a server has left").await?;
            for key in keys {
                store::management::look_again(&mut tx, &key.id, None).await?;
            }
            store::release::finish(&mut tx, &release.id).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}
