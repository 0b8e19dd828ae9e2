//! Registers a server, pinned where its host keys are given or may be taken on first use.

use super::jump_host::{self, require_way};
use crate::adapters::probe::Probe;
use crate::app::find;
use crate::app::replayed::first_answer;
use crate::app::tenants::open;
use crate::domain::server::{HostKey, Lifecycle, Server};
use crate::domain::text;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::host::{HostName, KnownHost, Port, host_keys};
use keywright_domain::ids::{ServerId, TenantId};
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::idempotency::{Answer, keep, replay};
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Intent, Outcome};
use std::collections::BTreeMap;
use tracing::instrument;

const ACTION: &str = "server.register";

/// More is not one server's.
const MOST_HOST_KEYS: usize = 16;

pub struct RegisterServer {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub probe: Probe,
}

/// As it came.
pub struct NewServer {
    pub tenant_id: String,
    pub name: String,
    pub host: String,
    /// 0: 22.
    pub port: i32,
    pub group: String,
    pub labels: BTreeMap<String, String>,
    pub host_keys: Vec<String>,
    pub known_hosts: String,
    pub accept_new: bool,
    /// Empty: it is reached directly.
    pub jump_host_id: String,
}

struct Parsed {
    id: ServerId,
    tenant: TenantId,
    name: String,
    host: HostName,
    port: Port,
    group: String,
    labels: BTreeMap<String, String>,
    known: KnownHost,
    accept_new: bool,
    jump_host: Option<ServerId>,
}

impl RegisterServer {
    /// `answer` encodes the server for the replay of the same request.
    #[instrument(skip_all)]
    pub async fn run<T, A>(
        &self,
        caller: &Caller,
        new: NewServer,
        scope: Option<Scope>,
        answer: A,
    ) -> Result<T, Failure>
    where
        T: Answer,
        A: Fn(&Server) -> T,
    {
        let tenant = find::tenant_for_new(caller, &new.tenant_id)?;
        self.guard.allow(caller, ACTION, Some(&tenant), tenant.as_str(), Reason::TenantNotFound).await?;
        let new = parse(new, tenant)?;
        let entry = Entry::new(ACTION)
            .tenant(Some(&new.tenant))
            .target(new.id.as_str())
            .detail("name", new.name.as_str())
            .detail("host", new.host.as_str())
            .detail("port", new.port.to_string());
        let entry = match &new.jump_host {
            None => entry,
            Some(jump_host) => entry.detail("jumpHost", jump_host.as_str()),
        };
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.register(caller, new, scope.as_ref(), &intent, answer).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn register<T, A>(
        &self,
        caller: &Caller,
        mut new: Parsed,
        scope: Option<&Scope>,
        intent: &Intent,
        answer: A,
    ) -> Result<T, Failure>
    where
        T: Answer,
        A: Fn(&Server) -> T,
    {
        if let Some(first) = first_answer(&self.db, intent, scope).await? {
            return Ok(first);
        }
        let mut outcome = Outcome::succeeded();
        if new.accept_new {
            let scan = self.probe.scan(caller, &new.host, new.port, new.jump_host.as_ref()).await?;
            new.known.keys = scan.keys;
            outcome = outcome.with("sshfp", scan.sshfp);
            if new.known.is_empty() {
                return Err(Failure::new(
                    Reason::HostUnreachable,
                    "The server showed no host key of a known kind.",
                ));
            }
        }
        let registered: Result<T, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                if let Some(first) = replay(&mut tx, scope).await? {
                    intent.done(&mut tx, Outcome::succeeded().with("replayed", "true")).await?;
                    tx.commit().await?;
                    return Ok(first);
                }
                open::require(&mut tx, &new.tenant).await?;
                let now = tx.now();
                if let Some(jump_host) = &new.jump_host {
                    require_way(&mut tx, None, &new.tenant, jump_host).await?;
                }
                let pin = |key: &PublicKey, authority: bool| HostKey {
                    key: key.clone(),
                    authority,
                    approved_at: now,
                    approved_by: caller.principal.id.clone(),
                };
                let keys = new.known.keys.iter().map(|key| pin(key, false));
                let authorities = new.known.authorities.iter().map(|key| pin(key, true));
                let server = Server {
                    id: new.id.clone(),
                    tenant: new.tenant.clone(),
                    name: new.name.clone(),
                    host: new.host.clone(),
                    port: new.port,
                    group: new.group.clone(),
                    labels: new.labels.clone(),
                    lifecycle: Lifecycle::Active,
                    host_keys: keys.chain(authorities).collect(),
                    mismatch: None,
                    jump_host: new.jump_host.clone(),
                    binding: None,
                    management: None,
                    capabilities: None,
                    created_at: now,
                    revision: 1,
                };
                store::server::insert(&mut tx, &server).await?;
                let answer = answer(&server);
                keep(&mut tx, scope, &answer).await?;
                let outcome = outcome.clone().with("hostKeys", server.host_keys.len().to_string());
                intent.done(&mut tx, outcome).await?;
                tx.commit().await?;
                Ok(answer)
            })
            .await;
        registered.map_err(|error| name_taken(error.into_failure()))
    }
}

pub(super) fn name_taken(failure: Failure) -> Failure {
    if failure.is(Reason::AlreadyExists) {
        return Failure::new(Reason::AlreadyExists, "The tenant has a server with this name already.");
    }
    failure
}

fn parse(new: NewServer, tenant: TenantId) -> Result<Parsed, Failure> {
    let host =
        HostName::parse(new.host.trim()).map_err(|error| Failure::violation("host", error.to_string()))?;
    let port = match new.port {
        0 => Port::SSH,
        number => Port::try_from(i64::from(number))
            .map_err(|error| Failure::violation("port", error.to_string()))?,
    };
    let mut given = Vec::new();
    for text in &new.host_keys {
        let key = PublicKey::parse_openssh(text)
            .map_err(|error| Failure::violation("hostKeys", error.to_string()))?;
        given.push(key);
    }
    let mut known = host_keys(&new.known_hosts, &host, port)
        .map_err(|error| Failure::violation("knownHosts", error.to_string()))?;
    given.append(&mut known.keys);
    for key in given {
        if !known.keys.contains(&key) {
            known.keys.push(key);
        }
    }
    if known.keys.iter().any(|key| known.authorities.contains(key)) {
        return Err(Failure::violation("knownHosts", "has an authority that is a key of the host too"));
    }
    if known.keys.len().max(known.authorities.len()) > MOST_HOST_KEYS {
        return Err(Failure::violation("hostKeys", "are more than one server shows"));
    }
    if new.accept_new && !known.is_empty() {
        return Err(Failure::violation("acceptNew", "cannot stand beside host keys that are given"));
    }
    Ok(Parsed {
        id: ServerId::random()?,
        tenant,
        name: text::name("name", &new.name)?,
        host,
        port,
        group: text::group(&new.group)?,
        labels: text::labels(new.labels)?,
        known,
        accept_new: new.accept_new,
        jump_host: jump_host::parse(&new.jump_host_id)?,
    })
}
