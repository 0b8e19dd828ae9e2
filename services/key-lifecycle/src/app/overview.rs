//! What an operator looks at first: tenants with the state of their keys, and keys that are exposed.

use super::view::{AccessView, Due, Status};
use super::{gates, view_access};
use crate::adapters::credential_store::CredentialStore;
use crate::adapters::directory::{Tenant, TenantState};
use crate::model::{DUE_SOON, Exposed, Facts};
use crate::store::{self, Connection};
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::page::{DEFAULT_SIZE, MOST, Page};
use keywright_storage::Db;
use std::collections::{HashMap, HashSet};
use tracing::instrument;

const ACTION: &str = "overview.read";
/// Accesses that are read at once.
const AT_ONCE: i64 = 500;
/// So often the directory is asked for one page: what a filter leaves out makes a page short, not an answer slow.
const MOST_LOOKS: usize = 20;

#[derive(Clone)]
pub struct Overview {
    pub db: Db,
    pub guard: Guard,
    pub store: CredentialStore,
}

/// Which tenants.
#[derive(Debug, Default)]
pub struct Wanted {
    pub search: String,
    pub status: Option<Status>,
    pub due: Option<Due>,
    pub size: i32,
    pub token: String,
}

/// A tenant with the state of its keys.
#[derive(Debug, Clone)]
pub struct TenantView {
    pub tenant: Tenant,
    pub accesses: u32,
    /// The worst; None without an access.
    pub status: Option<Status>,
    /// The most urgent; None without an access.
    pub due: Option<Due>,
    pub last_rotated_at: Option<Instant>,
    pub next_rotation_at: Option<Instant>,
    pub exposed: u32,
    pub frozen: bool,
}

#[derive(Debug)]
pub struct TenantDetail {
    pub view: TenantView,
    pub accesses: Vec<AccessView>,
    pub exposures: Vec<Exposed>,
    pub now: Instant,
}

impl Overview {
    /// One page, newest first, and where the next begins: exactly where the directory's page ended, so that nothing is
    /// lost or repeated by what a filter leaves out.
    #[instrument(skip_all)]
    pub async fn tenants(
        &self,
        caller: &Caller,
        wanted: Wanted,
    ) -> Result<(Vec<TenantView>, String), Failure> {
        self.guard.allow(caller, ACTION, None, "", Reason::PermissionDenied).await?;
        if !(0..=MOST).contains(&wanted.size) {
            return Err(Failure::violation("pageSize", format!("must be from 1 to {MOST}")));
        }
        let size = if wanted.size == 0 { DEFAULT_SIZE } else { wanted.size };
        let bound = format!("{:?}.{:?}", wanted.status, wanted.due);
        let mut token = unbind(&wanted.token, &bound)?;
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let everybody = Everybody::read(&mut reader, now).await?;
        drop(reader);
        let mut views = Vec::new();
        for _ in 0..MOST_LOOKS {
            let left = size.saturating_sub(i32::try_from(views.len()).unwrap_or(i32::MAX));
            if left <= 0 {
                break;
            }
            let page = self.store.tenants(&wanted.search, left, &token).await?;
            let mut reader = store::reader(&self.db).await?;
            for tenant in page.items {
                let view = tenant_view(&mut reader, tenant, &everybody).await?;
                let fits = wanted.status.is_none_or(|status| view.status == Some(status))
                    && wanted.due.is_none_or(|due| view.due == Some(due));
                views.extend(fits.then_some(view));
            }
            token = page.next;
            if token.is_empty() {
                break;
            }
        }
        let next = if token.is_empty() { String::new() } else { format!("{token}.{bound}") };
        Ok((views, next))
    }

    #[instrument(skip_all)]
    pub async fn tenant(&self, caller: &Caller, id: &str) -> Result<TenantDetail, Failure> {
        self.guard.allow(caller, ACTION, None, id, Reason::TenantNotFound).await?;
        let id = gates::tenant(id)?;
        let found = self.store.tenants_named(std::slice::from_ref(&id)).await?.into_iter().next();
        let found = found.filter(|tenant| tenant.state != TenantState::Deleted);
        let tenant = found.ok_or_else(|| Failure::not_found(Reason::TenantNotFound, id.as_str()))?;
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let everybody = Everybody::read(&mut reader, now).await?;
        let view = tenant_view(&mut reader, tenant, &everybody).await?;
        let page = Page::parse(MOST, "", "")?;
        let mut accesses = Vec::new();
        for access in
            page.cut(store::access::page(&mut reader, &id, &page).await?, |_| (now, String::new())).0
        {
            let mut access = view_access::load(&mut reader, caller, access, now).await?;
            // Whether a key was downloaded is its holder's business.
            access.shows_download = false;
            accesses.push(access);
        }
        let exposures = store::overview::exposures(&mut reader, id.as_str(), now, &page).await?;
        let (exposures, _) = page.cut(exposures, |it| (it.since, it.place()));
        Ok(TenantDetail { view, accesses, exposures, now })
    }

    /// The longest first; with the instant at which they were read.
    #[instrument(skip_all)]
    pub async fn exposures(
        &self,
        caller: &Caller,
        tenant: &str,
        size: i32,
        token: &str,
    ) -> Result<(Vec<Exposed>, String, Instant), Failure> {
        self.guard.allow(caller, ACTION, None, tenant, Reason::PermissionDenied).await?;
        if !tenant.is_empty() {
            TenantId::parse(tenant).map_err(|_| Failure::violation("tenantId", "must be a tenant's id"))?;
        }
        let page = Page::parse(size, token, tenant)?;
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let rows = store::overview::exposures(&mut reader, tenant, now, &page).await?;
        let (rows, next) = page.cut(rows, |it| (it.since, it.place()));
        Ok((rows, next, now))
    }
}

/// The directory's own token; one that was made for another filter is refused.
fn unbind(token: &str, bound: &str) -> Result<String, Failure> {
    if token.is_empty() {
        return Ok(String::new());
    }
    let own = token.strip_suffix(bound).and_then(|token| token.strip_suffix('.'));
    own.map(str::to_owned).ok_or_else(|| Failure::violation("pageToken", "is not a token of this list"))
}

/// What is read once, however many tenants are shown.
struct Everybody {
    now: Instant,
    all_frozen: bool,
    frozen: HashSet<TenantId>,
    exposed: HashMap<TenantId, u32>,
}

impl Everybody {
    async fn read(conn: &mut Connection, now: Instant) -> Result<Self, Error> {
        let (all_frozen, frozen) = store::campaign::frozen(conn).await?;
        let exposed = store::overview::exposed_by_tenant(conn, now).await?;
        Ok(Self { now, all_frozen, frozen, exposed })
    }
}

async fn tenant_view(
    conn: &mut Connection,
    tenant: Tenant,
    everybody: &Everybody,
) -> Result<TenantView, Error> {
    let mut view = TenantView {
        frozen: everybody.all_frozen || everybody.frozen.contains(&tenant.id),
        exposed: everybody.exposed.get(&tenant.id).copied().unwrap_or_default(),
        accesses: 0,
        status: None,
        due: None,
        last_rotated_at: None,
        next_rotation_at: None,
        tenant,
    };
    let mut after = String::new();
    loop {
        let page = store::overview::facts_of_tenant(conn, &view.tenant.id, &after, AT_ONCE).await?;
        for facts in &page {
            count(&mut view, facts, everybody.now);
        }
        match page.last() {
            Some(last) if i64::try_from(page.len()) == Ok(AT_ONCE) => after = last.access.to_string(),
            _ => return Ok(view),
        }
    }
}

/// One more access.
fn count(view: &mut TenantView, facts: &Facts, now: Instant) {
    let due_at = facts.due_at();
    let (status, due) = match due_at {
        _ if facts.revoked => (Status::Revoked, Due::No),
        Some(due) if due <= now => (Status::Expired, Due::Overdue),
        Some(due) if due <= now.plus(DUE_SOON) => (Status::Active, Due::Soon),
        _ => (Status::Active, Due::No),
    };
    view.accesses = view.accesses.saturating_add(1);
    view.status = view.status.max(Some(status));
    view.due = view.due.max(Some(due));
    view.last_rotated_at = view.last_rotated_at.max(facts.last_rotated_at);
    view.next_rotation_at = [view.next_rotation_at, due_at].into_iter().flatten().min();
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_domain::ids::AccessId;
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[test]
    fn a_tenant_shows_its_worst_status_and_its_most_urgent_due() {
        let tenant = Tenant {
            id: TenantId::random().unwrap(),
            external_id: String::new(),
            name: String::new(),
            state: TenantState::Active,
            time_zone: String::new(),
            labels: BTreeMap::new(),
            contacts: Vec::new(),
        };
        let now = Instant::from_secs(1_000_000_000);
        let facts = |revoked, age: u64| Facts {
            access: AccessId::random().unwrap(),
            tenant: tenant.id.clone(),
            account: String::new(),
            revoked,
            active_since: Some(now.minus(Duration::from_secs(age * 24 * 3600))),
            last_rotated_at: Some(now.minus(Duration::from_secs(age * 24 * 3600))),
            maximum_age: Duration::from_secs(90 * 24 * 3600),
            client_made: false,
            rotating: false,
            grace_ends_at: None,
        };
        let mut view = TenantView {
            tenant: tenant.clone(),
            accesses: 0,
            status: None,
            due: None,
            last_rotated_at: None,
            next_rotation_at: None,
            exposed: 0,
            frozen: false,
        };
        let mut add = |facts: Facts| {
            count(&mut view, &facts, now);
            (view.status, view.due)
        };
        assert_eq!(add(facts(false, 1)), (Some(Status::Active), Some(Due::No)));
        assert_eq!(add(facts(false, 85)), (Some(Status::Active), Some(Due::Soon)));
        assert_eq!(add(facts(false, 91)), (Some(Status::Expired), Some(Due::Overdue)));
        assert_eq!(add(facts(true, 200)), (Some(Status::Revoked), Some(Due::Overdue)));
        assert_eq!(view.last_rotated_at, Some(now.minus(Duration::from_secs(24 * 3600))));
        assert_eq!(view.next_rotation_at, Some(now.minus(Duration::from_secs(24 * 3600))));
    }

    #[test]
    fn a_token_holds_for_its_own_filter() {
        assert_eq!(unbind("abc.None.None", "None.None").unwrap(), "abc");
        assert_eq!(unbind("", "None.None").unwrap(), "");
        assert!(unbind("abc.None.None", "None.Some(Soon)").is_err());
    }
}
