//! Revokes every key of an access at once. Always accepted: state commits here, hosts converge as soon as they can.

use super::gates;
use crate::custody::Custody;
use crate::model::{Access, Notice, Revocation, RevocationHost, RevocationState, SessionsToEnd};
use crate::store::{self, Connection};
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_domain::ids::shown;
use keywright_domain::ids::{AccessId, RevocationId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::sync::Arc;
use tokio::sync::Notify;
use tracing::instrument;

#[derive(Clone)]
pub struct RevokeAccess {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub custody: Custody,
    pub wake: Arc<Notify>,
}

/// As it was asked for.
#[derive(Debug)]
pub struct Revoke {
    pub tenant: String,
    pub access: String,
    pub confirmation: Option<String>,
    pub compromised: bool,
    pub end_all_sessions: bool,
    pub keep_sessions: bool,
    pub comment: String,
}

pub(super) struct Wanted {
    pub(super) tenant: TenantId,
    pub(super) access: AccessId,
    pub(super) compromised: bool,
    pub(super) sessions: SessionsToEnd,
    pub(super) comment: String,
}

impl RevokeAccess {
    /// For a person, who is not answered before credential-store has heard it.
    pub async fn run(&self, caller: &Caller, asked: Revoke) -> Result<RevocationId, Failure> {
        let id = self.begin(caller, asked).await?;
        self.custody.tell_of_the_end(&id).await;
        Ok(id)
    }

    #[instrument(skip_all, fields(access = shown(&asked.access)))]
    pub async fn begin(&self, caller: &Caller, asked: Revoke) -> Result<RevocationId, Failure> {
        let (tenant, access) = gates::tenant_and_access(&asked.tenant, &asked.access)?;
        let missing = Reason::AccessNotFound;
        self.guard.allow(caller, "access.revoke", Some(&tenant), access.as_str(), missing).await?;
        let wanted = self.parse(tenant, access, asked).await?;
        let entry = Entry::new("access.revoke").tenant(Some(&wanted.tenant)).target(wanted.access.as_str());
        let entry = entry.comment(&wanted.comment).detail("compromised", wanted.compromised.to_string());
        let intent = self.audit.intend_or_spool(caller, entry, self.db.now().await?).await?;
        let result = self.db.serialized(|| self.record(&wanted, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        self.wake.notify_one();
        result
    }

    /// The revocation after which nothing has come to life again and that ends all sessions, if there is one.
    pub async fn standing(&self, access: &Access) -> Result<Option<RevocationId>, Failure> {
        let wanted = Wanted {
            tenant: access.tenant.clone(),
            access: access.id.clone(),
            compromised: false,
            sessions: SessionsToEnd::All,
            comment: String::new(),
        };
        let mut reader = store::reader(&self.db).await?;
        Ok(before(&mut reader, access, &wanted).await?)
    }

    async fn parse(&self, tenant: TenantId, access: AccessId, asked: Revoke) -> Result<Wanted, Failure> {
        gates::comment(&asked.comment)?;
        if asked.keep_sessions && asked.end_all_sessions {
            return Err(Failure::violation("keepSessions", "contradicts endAllSessions"));
        }
        let mut reader = store::reader(&self.db).await?;
        gates::find(&mut reader, &tenant, &access).await?;
        gates::confirmed(asked.confirmation.as_deref(), &access)?;
        let sessions = match (asked.keep_sessions, asked.end_all_sessions || asked.compromised) {
            (true, _) => SessionsToEnd::None,
            (false, true) => SessionsToEnd::All,
            (false, false) => SessionsToEnd::RevokedKeys,
        };
        Ok(Wanted { tenant, access, compromised: asked.compromised, sessions, comment: asked.comment })
    }

    async fn record(&self, wanted: &Wanted, intent: &Intent) -> Result<RevocationId, Error> {
        let mut tx = self.db.begin(intent).await?;
        let access = gates::find(tx.conn(), &wanted.tenant, &wanted.access).await?;
        let id = match before(tx.conn(), &access, wanted).await? {
            Some(id) if goes_on(tx.conn(), &access, &id).await? => id,
            _ => begin(&mut tx, &access, wanted).await?,
        };
        intent.done(&mut tx, Outcome::succeeded().with("revocationId", id.as_str())).await?;
        tx.commit().await?;
        Ok(id)
    }
}

/// The last revocation, if nothing has come to life since and it does all that is asked for now.
pub(super) async fn before(
    conn: &mut Connection,
    access: &Access,
    wanted: &Wanted,
) -> Result<Option<RevocationId>, Error> {
    let Some(last) = store::revocation::last(conn, &access.id).await? else { return Ok(None) };
    let versions = store::version::of(conn, &access.id).await?;
    let alive = versions.iter().any(|version| version.state.is_live());
    let open = store::rotation::running(conn, &access.id).await?.is_some();
    let weaker = (wanted.compromised && !last.compromised)
        || (wanted.sessions == SessionsToEnd::All && last.sessions != SessionsToEnd::All);
    Ok((!alive && !open && !weaker).then_some(last.id))
}

/// What a revocation that has ended proved says nothing of now: somebody may have put a key back since. Of an access
/// that was given up for good nothing is left to look at.
async fn goes_on(conn: &mut Connection, access: &Access, id: &RevocationId) -> Result<bool, Error> {
    let found = store::revocation::find(conn, id).await?;
    let running = found.is_some_and(|found| found.state == RevocationState::Running);
    Ok(running || access.deprovisioned_at.is_some())
}

/// Everything that stops at once stops in this transaction.
pub(super) async fn begin(tx: &mut Tx, access: &Access, wanted: &Wanted) -> Result<RevocationId, Error> {
    let now = tx.now();
    store::rotation::supersede(tx, &access.id).await?;
    store::version::revoke_all(tx, &access.id, wanted.compromised).await?;
    store::line::remove_revoked(tx, &access.id).await?;
    store::access::set_revoked(tx, &access.id, Some(access.revoked_at.unwrap_or(now))).await?;
    let revocation = Revocation {
        id: RevocationId::random()?,
        tenant: access.tenant.clone(),
        access: access.id.clone(),
        state: RevocationState::Running,
        compromised: wanted.compromised,
        sessions: wanted.sessions,
        comment: wanted.comment.clone(),
        requested_at: now,
        finished_at: None,
    };
    let hosts = hosts(tx, access, now).await?;
    store::revocation::insert(tx, &revocation, &hosts).await?;
    let notice = Notice::new("access.revoked", Some(&access.tenant), revocation.id.as_str())
        .detail("accessId", access.id.as_str())
        .detail("account", access.account.as_str())
        .detail("hosts", hosts.len().to_string())
        .detail("compromised", wanted.compromised.to_string());
    store::notice::write(tx, &notice).await?;
    Ok(revocation.id)
}

/// The hosts that ever had a line.
async fn hosts(tx: &mut Tx, access: &Access, now: Instant) -> Result<Vec<RevocationHost>, Error> {
    let lines = store::line::of(tx.conn(), &access.id).await?;
    let hosts = store::access::hosts(tx.conn(), &access.id).await?;
    let touched = hosts.into_iter().filter(|host| lines.iter().any(|line| line.server == host.server));
    let fresh = touched.map(|host| RevocationHost {
        server: host.server,
        server_name: host.name,
        proven_at: None,
        sessions_ended: String::new(),
        processes: Vec::new(),
        crontabs: Vec::new(),
        residual: Vec::new(),
        reason: String::new(),
        attempts: 0,
        not_before: now,
    });
    Ok(fresh.collect())
}
