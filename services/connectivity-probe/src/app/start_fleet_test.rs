//! Starts a test of many servers: chooses them, mixes them up, records them. The driver of any replica does the rest.

use crate::adapters::directory::{Directory, Listed};
use crate::fleet::{FleetTest, Origin, Plan, Selector, State, Target};
use crate::store::{fleet_target, fleet_test};
use keywright_domain::caller::Caller;
use keywright_domain::clock::fill_random;
use keywright_domain::ids::{FleetTestId, ServerId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::repeat;
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Intent, Outcome};
use std::sync::Arc;
use tokio::sync::Notify;
use tracing::instrument;

const ACTION: &str = "fleet_test.create";
/// More are not tested at once: one narrows the choice.
const MOST_SERVERS: usize = 10_000;
const MOST_NAMED: usize = 1_000;
/// Of one tenant, or of those over all tenants.
const MOST_RUNNING: i64 = 5;
const MOST_LABELS: usize = 20;
const LONGEST_COMMENT: usize = 500;

pub struct StartFleetTest {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub directory: Directory,
    pub wake: Arc<Notify>,
}

/// As it was asked for; 0 and empty where nothing was said.
pub struct Wanted {
    pub tenant: String,
    pub selector: Selector,
    pub max_parallel: i32,
    pub max_per_host: i32,
    pub max_per_network: i32,
    pub comment: String,
    pub scope: Result<Option<Scope>, Failure>,
}

impl StartFleetTest {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, wanted: Wanted) -> Result<FleetTestId, Failure> {
        let tenant = tenant_of(caller, &wanted.tenant)?;
        let target = tenant.as_ref().map_or("", TenantId::as_str);
        self.guard.allow(caller, ACTION, tenant.as_ref(), target, Reason::TenantNotFound).await?;
        let plan = plan(&wanted)?;
        check(&wanted.selector)?;
        if wanted.comment.chars().count() > LONGEST_COMMENT {
            return Err(Failure::violation(
                "reason",
                format!("must have at most {LONGEST_COMMENT} characters"),
            ));
        }
        let scope = wanted.scope?;
        let servers = self.choose(tenant.as_ref(), &wanted.selector).await?;
        let test = FleetTest {
            id: FleetTestId::random()?,
            tenant,
            origin: Origin::Request,
            state: State::Running,
            selector: wanted.selector,
            plan,
            comment: wanted.comment,
            created_by: caller.principal.id.clone(),
            created_at: self.db.now().await?,
            finished_at: None,
            latencies: Vec::new(),
        };
        let targets = mixed(servers)?;
        let entry = Entry::new(ACTION)
            .tenant(test.tenant.as_ref())
            .target(test.id.as_str())
            .comment(&test.comment)
            .detail("targets", targets.len().to_string());
        let intent = self.audit.intend(caller, entry).await?;
        let kept = self.db.serialized(|| self.keep(&test, &targets, scope.as_ref(), &intent)).await;
        let kept = kept.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &kept).await;
        self.wake.notify_one();
        kept
    }

    async fn keep(
        &self,
        test: &FleetTest,
        targets: &[Target],
        scope: Option<&Scope>,
        intent: &Intent,
    ) -> Result<FleetTestId, Error> {
        let mut tx = self.db.begin(intent).await?;
        let before = repeat::first_answer(&mut tx, scope).await?;
        let id = match before.and_then(|id| FleetTestId::parse(&id).ok()) {
            Some(before) => before,
            None => {
                if fleet_test::running_of(tx.conn(), test.tenant.as_ref()).await? >= MOST_RUNNING {
                    let what = format!("{MOST_RUNNING} fleet tests run already: wait for one, or cancel it.");
                    return Err(Failure::new(Reason::RateLimited, what).into());
                }
                fleet_test::insert(&mut tx, test).await?;
                for target in targets {
                    fleet_target::insert(&mut tx, &test.id, target).await?;
                }
                repeat::remember(&mut tx, scope, test.id.as_str()).await?;
                test.id.clone()
            }
        };
        intent.done(&mut tx, Outcome::succeeded().with("fleetTestId", id.as_str())).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// The active ones that the selector means.
    async fn choose(&self, tenant: Option<&TenantId>, selector: &Selector) -> Result<Vec<Listed>, Failure> {
        let means = |listed: &Listed| {
            let named = selector.server_ids.is_empty()
                || selector.server_ids.iter().any(|id| id == listed.server.id.as_str());
            let labelled = selector.labels.iter().all(|(key, value)| listed.labels.get(key) == Some(value));
            listed.server.active && named && labelled
        };
        let mut chosen = Vec::new();
        let mut token = String::new();
        loop {
            let (page, next) = self.directory.servers(tenant, &selector.group, &token).await?;
            chosen.extend(page.into_iter().filter(means));
            if chosen.len() > MOST_SERVERS {
                let much =
                    format!("chooses more than {MOST_SERVERS} servers: narrow it by tenant, group or labels");
                return Err(Failure::violation("selector", much));
            }
            if next.is_empty() {
                break;
            }
            token = next;
        }
        if chosen.is_empty() {
            return Err(Failure::violation("selector", "chooses no active server"));
        }
        Ok(chosen)
    }
}

/// The caller's own tenant, where he has one and names none.
pub fn tenant_of(caller: &Caller, asked: &str) -> Result<Option<TenantId>, Failure> {
    match asked {
        "" => Ok(caller.principal.tenant.clone()),
        id => TenantId::parse(id).map(Some).map_err(|_| Failure::not_found(Reason::TenantNotFound, id)),
    }
}

fn plan(wanted: &Wanted) -> Result<Plan, Failure> {
    let usual = Plan::USUAL;
    Ok(Plan {
        max_parallel: within("plan.maxParallel", wanted.max_parallel, 200, usual.max_parallel)?,
        max_per_host: within("plan.maxPerHost", wanted.max_per_host, 100, usual.max_per_host)?,
        max_per_network: within("plan.maxPerNetwork", wanted.max_per_network, 200, usual.max_per_network)?,
    })
}

fn within(field: &str, asked: i32, most: i32, default: u32) -> Result<u32, Failure> {
    match u32::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(number) if asked <= most => Ok(number),
        _ => Err(Failure::violation(field, format!("must be from 1 to {most}"))),
    }
}

fn check(selector: &Selector) -> Result<(), Failure> {
    if selector.server_ids.len() > MOST_NAMED {
        return Err(Failure::violation("selector.serverIds", format!("must be at most {MOST_NAMED}")));
    }
    if selector.labels.len() > MOST_LABELS {
        return Err(Failure::violation("selector.labels", format!("must be at most {MOST_LABELS}")));
    }
    match selector.server_ids.iter().find(|id| ServerId::parse(id).is_err()) {
        Some(_) => Err(Failure::violation("selector.serverIds", "must be servers' ids")),
        None => Ok(()),
    }
}

/// In an order that nobody can foresee: neighbours are not visited one after the other.
fn mixed(servers: Vec<Listed>) -> Result<Vec<Target>, Failure> {
    let mut drawn = Vec::with_capacity(servers.len());
    for listed in servers {
        let mut lot = [0u8; 16];
        fill_random(&mut lot)?;
        drawn.push((lot, listed));
    }
    drawn.sort_by_key(|(lot, _)| *lot);
    Ok((1i64..).zip(drawn).map(|(position, (_, listed))| target(position, listed)).collect())
}

fn target(position: i64, Listed { server, .. }: Listed) -> Target {
    let port = server.port.get();
    Target::waits(position, (server.id, server.tenant), server.name, server.host.to_string(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_within_its_limits_or_the_default() {
        assert_eq!(within("x", 0, 9, 4).unwrap(), 4);
        assert_eq!(within("x", 9, 9, 4).unwrap(), 9);
        for asked in [-1, 10] {
            assert_eq!(within("x", asked, 9, 4).unwrap_err().violations[0].field, "x");
        }
    }

    #[test]
    fn only_ids_are_named() {
        let named = |ids: &[&str]| Selector {
            server_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..Selector::default()
        };
        assert!(check(&named(&[ServerId::random().unwrap().as_str()])).is_ok());
        assert!(check(&named(&["web-1"])).is_err());
        assert!(check(&named(&["x"; MOST_NAMED + 1])).is_err());
    }
}
