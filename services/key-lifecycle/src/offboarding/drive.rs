//! Drives an offboarding: each pass begins at the top, and every part of it may be repeated.

use super::Offboarder;
use crate::adapters::credential_store::Server;
use crate::adapters::directory::{Servers, TenantState};
use crate::app::revoke_access::Revoke;
use crate::management::pause;
use crate::model::{Access, OffboardingState};
use crate::release::Line;
use crate::store;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::ids::{AccessId, RevocationId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use std::time::Duration;
use tracing::instrument;

const PAGE: i32 = 500;
/// How long a pass that waits for something rests, at most.
const LONGEST: Duration = Duration::from_secs(60);

/// What a pass could not end.
#[derive(Debug, Default)]
struct Waits {
    hosts: usize,
    words: Vec<String>,
}

impl Waits {
    fn for_host(&mut self, what: String) {
        self.hosts = self.hosts.saturating_add(1);
        self.words.push(what);
    }
}

impl Offboarder {
    #[instrument(skip_all, fields(tenant = %tenant))]
    pub async fn run(&self, tenant: &TenantId) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let found = store::offboarding::find(&mut reader, tenant).await?;
        drop(reader);
        let Some(begun) = found.filter(|found| found.state == OffboardingState::Running) else {
            return Ok(());
        };
        let mut waits = Waits::default();
        match self.pass(tenant, begun.exported_at.is_some(), &mut waits).await {
            Ok(true) => self.finish(tenant).await,
            Ok(false) => self.wait(tenant, &waits, begun.attempts).await,
            Err(failure) => {
                waits.words.push(format!("{} ({})", failure.message, failure.reason.as_str()));
                self.wait(tenant, &waits, begun.attempts).await
            }
        }
    }

    /// True when the tenant is deleted.
    async fn pass(&self, tenant: &TenantId, exported: bool, waits: &mut Waits) -> Result<bool, Failure> {
        let work = tenant.as_str();
        if self.store.close_tenant(work, tenant, false).await? == TenantState::Deleted {
            return Ok(true);
        }
        self.accesses(tenant, waits).await?;
        if !waits.words.is_empty() {
            return Ok(false);
        }
        self.servers(tenant, waits).await?;
        if !waits.words.is_empty() {
            return Ok(false);
        }
        if !exported {
            self.export(tenant).await?;
        }
        Ok(self.store.close_tenant(work, tenant, true).await? == TenantState::Deleted)
    }

    async fn accesses(&self, tenant: &TenantId, waits: &mut Waits) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let open = store::offboarding::accesses(&mut reader, tenant, true).await?;
        drop(reader);
        for id in &open {
            self.access(tenant, id, waits).await?;
        }
        Ok(())
    }

    /// Revoked on every host, and then closed.
    async fn access(&self, tenant: &TenantId, id: &AccessId, waits: &mut Waits) -> Result<(), Failure> {
        let revocation = self.revoked(tenant, id).await?;
        let mut reader = store::reader(&self.db).await?;
        let hosts = store::revocation::hosts(&mut reader, &revocation).await?;
        let found = store::revocation::find(&mut reader, &revocation).await?;
        let access = store::access::find(&mut reader, id).await?;
        drop(reader);
        for host in hosts.iter().filter(|host| host.proven_at.is_none()) {
            let why = if host.reason.is_empty() { "not tried yet" } else { &host.reason };
            waits.for_host(format!(
                "{} ({}) has not refused the keys of {id} yet: {why}",
                host.server, host.server_name
            ));
        }
        let ended = found.is_some_and(|revocation| revocation.finished_at.is_some());
        match access {
            Some(access) if ended => self.close(&access).await,
            Some(_) if hosts.iter().all(|host| host.proven_at.is_some()) => {
                waits.words.push(format!("{id} is being revoked"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// One that stands is not asked for again: a dead host would fill the log with it, pass after pass.
    async fn revoked(&self, tenant: &TenantId, id: &AccessId) -> Result<RevocationId, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let access = store::access::find(&mut reader, id).await?;
        drop(reader);
        if let Some(access) = access
            && let Some(standing) = self.revoke.standing(&access).await?
        {
            return Ok(standing);
        }
        let caller = Caller::background(ServiceName::KeyLifecycle, tenant.as_str());
        let asked = Revoke {
            tenant: tenant.to_string(),
            access: id.to_string(),
            confirmation: Some(id.to_string()),
            compromised: false,
            end_all_sessions: true,
            keep_sessions: false,
            comment: "The tenant is offboarded.".to_owned(),
        };
        self.revoke.begin(&caller, asked).await
    }

    /// Its private halves are destroyed before anything lets go of it.
    async fn close(&self, access: &Access) -> Result<(), Failure> {
        let work = access.tenant.as_str();
        self.releaser.custody.push(access, None).await?;
        let mut reader = store::reader(&self.db).await?;
        let hosts = store::access::hosts(&mut reader, &access.id).await?;
        drop(reader);
        for host in &hosts {
            self.store.let_go_of_server(work, &host.server, access.id.as_str()).await?;
        }
        self.store.let_go_of_credential(work, &access.credential, access.id.as_str()).await?;
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("an offboarded access is closed").await?;
            // Whoever passed the tenant's door before it was closed may have begun a new key since.
            let versions = store::version::of(tx.conn(), &access.id).await?;
            let alive = versions.iter().any(|version| version.state.is_live());
            if alive || store::rotation::running(tx.conn(), &access.id).await?.is_some() {
                let again = "A rotation began meanwhile: the access is revoked once more.";
                return Err(Failure::new(Reason::RotationInProgress, again).into());
            }
            store::access::close(&mut tx, &access.id).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// Keywright's own key leaves every server of the tenant.
    async fn servers(&self, tenant: &TenantId, waits: &mut Waits) -> Result<(), Failure> {
        let among = Servers { tenant: Some(tenant.clone()), managed_only: true, ..Servers::default() };
        let mut token = String::new();
        loop {
            let page = self.store.servers(&among, PAGE, &token).await?;
            for server in &page.items {
                self.server(server, waits).await;
            }
            if page.next.is_empty() {
                return Ok(());
            }
            token = page.next;
        }
    }

    async fn server(&self, server: &Server, waits: &mut Waits) {
        let caller = Caller::background(ServiceName::KeyLifecycle, server.tenant.as_str());
        let comment = "The tenant is offboarded.";
        if let Err(failure) = self.releaser.run(&caller, server, Line::GoesIfItCan, comment).await {
            let what = format!("the management key is still on {} ({})", server.id, server.name);
            let remedy = match failure.reason {
                Reason::HostUnreachable | Reason::HostKeyMismatch | Reason::HostKeyUnpinned => {
                    "; release the server with --leave-management-key to go on without it"
                }
                _ => "",
            };
            waits.words.push(format!("{what}: {}{remedy}", failure.reason.as_str()));
        }
    }

    async fn wait(&self, tenant: &TenantId, waits: &Waits, attempts: u32) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("what an offboarding waits for").await?;
            let until = tx.now().plus(pause(attempts).min(LONGEST));
            store::offboarding::wait(&mut tx, tenant, waits.hosts, &waits.words, until).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn finish(&self, tenant: &TenantId) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a tenant has left").await?;
            store::offboarding::finish(&mut tx, tenant).await?;
            store::notification_target::delete_of(&mut tx, tenant).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}
