//! Which accesses a campaign rotates, and which it skips and why. Nothing is changed here.

use crate::adapters::credential_store::{CredentialStore, Server};
use crate::adapters::directory::{Servers, Tenant, TenantState};
use crate::app::gates;
use crate::model::{DUE_SOON, Facts, Selector, Which};
use crate::store;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, ServerId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Rows that are read at once.
const AT_ONCE: i64 = 500;
/// So few servers are asked for one by one.
const FEW: usize = 50;
/// A campaign has at most this many targets, those that it skips included.
const MOST: usize = 20_000;

#[derive(Clone)]
pub struct Selection {
    pub db: Db,
    pub store: CredentialStore,
}

#[derive(Debug, Clone)]
pub struct Candidate {
    pub facts: Facts,
    pub due_at: Option<Instant>,
    pub servers: Vec<(ServerId, String)>,
}

/// What a campaign would do.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// The most overdue first.
    pub targets: Vec<Candidate>,
    pub skipped: Vec<(Candidate, Failure)>,
}

impl Selection {
    pub async fn run(&self, selector: &Selector) -> Result<Chosen, Failure> {
        let now = self.db.now().await?;
        let candidates = self.candidates(selector, now).await?;
        let tenants = self.tenants(selector, &candidates).await?;
        let carries = |candidate: &Candidate| {
            let labels = tenants.get(&candidate.facts.tenant).map(|tenant| &tenant.labels);
            selector.labels.iter().all(|(key, value)| labels.and_then(|all| all.get(key)) == Some(value))
        };
        let candidates: Vec<Candidate> = candidates.into_iter().filter(carries).collect();
        let servers = self.servers(selector, &candidates).await?;
        let mut reader = store::reader(&self.db).await?;
        let (_, frozen) = store::campaign::frozen(&mut reader).await?;
        drop(reader);
        let mut chosen = Chosen::default();
        for candidate in candidates {
            let tenant = tenants.get(&candidate.facts.tenant);
            match obstacle(&candidate, tenant, &frozen, &servers, now) {
                None => chosen.targets.push(candidate),
                Some(failure) => chosen.skipped.push((candidate, failure)),
            }
        }
        chosen.targets.sort_by(|a, b| (a.due_at, &a.facts.access).cmp(&(b.due_at, &b.facts.access)));
        Ok(chosen)
    }

    async fn candidates(&self, selector: &Selector, now: Instant) -> Result<Vec<Candidate>, Failure> {
        let tenant = selector.tenant.as_deref().map(gates::tenant).transpose()?;
        let mut named: Option<BTreeSet<&str>> = match &selector.which {
            Which::Named(ids) => Some(ids.iter().map(String::as_str).collect()),
            _ => None,
        };
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let mut reader = store::reader(&self.db).await?;
            let page = match &tenant {
                Some(tenant) => {
                    store::overview::facts_of_tenant(&mut reader, tenant, &after, AT_ONCE).await?
                }
                None => store::overview::facts(&mut reader, &after, AT_ONCE).await?,
            };
            let (Some(first), Some(last)) = (page.first(), page.last()) else { break };
            let hosts = store::overview::hosts(&mut reader, &first.access, &last.access).await?;
            after = last.access.to_string();
            for facts in page {
                if let Some(named) = &mut named
                    && !named.remove(facts.access.as_str())
                {
                    continue;
                }
                let due_at = facts.due_at();
                if is_wanted(&selector.which, &facts, due_at, now) {
                    found.push(Candidate { servers: of(&hosts, &facts.access), facts, due_at });
                }
            }
            if found.len() > MOST {
                return Err(Failure::violation("selector", format!("matches more than {MOST} accesses")));
            }
        }
        match named.and_then(|left| left.into_iter().next().map(str::to_owned)) {
            Some(missing) => Err(Failure::not_found(Reason::AccessNotFound, &missing)),
            None => Ok(found),
        }
    }

    async fn tenants(
        &self,
        selector: &Selector,
        candidates: &[Candidate],
    ) -> Result<HashMap<TenantId, Tenant>, Failure> {
        let mut ids: BTreeSet<TenantId> = candidates.iter().map(|it| it.facts.tenant.clone()).collect();
        let asked = match &selector.tenant {
            Some(id) => Some(gates::tenant(id)?),
            None => None,
        };
        ids.extend(asked.clone());
        let ids: Vec<TenantId> = ids.into_iter().collect();
        let mut found = HashMap::new();
        for some in ids.chunks(usize::try_from(AT_ONCE).unwrap_or(1)) {
            let tenants = self.store.tenants_named(some).await?;
            found.extend(tenants.into_iter().map(|tenant| (tenant.id.clone(), tenant)));
        }
        match asked {
            Some(id) if found.get(&id).is_none_or(|tenant| tenant.state == TenantState::Deleted) => {
                Err(Failure::not_found(Reason::TenantNotFound, id.as_str()))
            }
            _ => Ok(found),
        }
    }

    async fn servers(
        &self,
        selector: &Selector,
        candidates: &[Candidate],
    ) -> Result<HashMap<ServerId, Server>, Failure> {
        let wanted: HashSet<&ServerId> =
            candidates.iter().flat_map(|it| it.servers.iter().map(|(id, _)| id)).collect();
        let mut found = HashMap::new();
        if wanted.len() <= FEW {
            for id in wanted {
                match self.store.server(id).await {
                    Ok(server) => drop(found.insert(id.clone(), server)),
                    Err(failure) if failure.is(Reason::ServerNotFound) => {}
                    Err(failure) => return Err(failure),
                }
            }
            return Ok(found);
        }
        let tenant = selector.tenant.as_deref().and_then(|id| TenantId::parse(id).ok());
        let among = Servers { tenant, ..Servers::default() };
        let (mut token, size) = (String::new(), i32::try_from(AT_ONCE).unwrap_or(1));
        loop {
            let page = self.store.servers(&among, size, &token).await?;
            let of_interest = page.items.into_iter().filter(|server| wanted.contains(&server.id));
            found.extend(of_interest.map(|server| (server.id.clone(), server)));
            token = page.next;
            if token.is_empty() {
                return Ok(found);
            }
        }
    }
}

fn of(hosts: &[(AccessId, ServerId, String)], access: &AccessId) -> Vec<(ServerId, String)> {
    let first = hosts.partition_point(|(id, ..)| id < access);
    let own = hosts.get(first..).unwrap_or_default().iter().take_while(|(id, ..)| id == access);
    own.map(|(_, server, name)| (server.clone(), name.clone())).collect()
}

fn is_wanted(which: &Which, facts: &Facts, due_at: Option<Instant>, now: Instant) -> bool {
    match which {
        Which::Named(_) => true,
        Which::All => !facts.revoked,
        Which::Overdue => due_at.is_some_and(|due| due <= now),
        Which::DueSoon => due_at.is_some_and(|due| due <= now.plus(DUE_SOON)),
    }
}

/// Why the access would not be rotated now.
fn obstacle(
    candidate: &Candidate,
    tenant: Option<&Tenant>,
    frozen: &HashSet<TenantId>,
    servers: &HashMap<ServerId, Server>,
    now: Instant,
) -> Option<Failure> {
    let facts = &candidate.facts;
    let (reason, message) = match tenant.map(|tenant| tenant.state) {
        _ if facts.revoked => (Reason::AccessRevoked, "The access is revoked."),
        None | Some(TenantState::Deleted) => (Reason::TenantNotFound, "The tenant is deleted."),
        Some(TenantState::Suspended) => (Reason::TenantSuspended, "The tenant is suspended."),
        _ if frozen.contains(&facts.tenant) => {
            (Reason::Frozen, "The automatic work of the tenant is stopped.")
        }
        _ if facts.rotating => (Reason::RotationInProgress, "A rotation of the access is running."),
        _ if facts.grace_ends_at.is_some_and(|end| end > now) => {
            (Reason::GraceInProgress, "The previous key is still in its grace period.")
        }
        _ if facts.client_made => {
            (Reason::PolicyForbids, "Its user makes the key, and Keywright never replaces it by itself.")
        }
        _ if facts.active_since.is_none() => (Reason::VersionNotFound, "The access has no key in use."),
        _ => {
            return candidate.servers.iter().find_map(|(id, _)| match servers.get(id) {
                Some(server) => gates::usable(server).err(),
                None => Some(Failure::not_found(Reason::ServerNotFound, id.as_str())),
            });
        }
    };
    Some(Failure::new(reason, message))
}
