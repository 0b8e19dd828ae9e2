//! The service as it is built, which writes its own entries through itself; and logs that are large.

use super::Log;
use crate::{Parts, build};
use keywright_domain::caller::{Caller, Principal, Role, ServiceName};
use keywright_domain::clock::Clock;
use keywright_domain::ids::{PrincipalId, TenantId};
use keywright_proto::audit as proto;
use keywright_proto::audit::audit_service_client::AuditServiceClient;
use keywright_runtime::Policy;
use keywright_runtime::audit::{Audit, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use keywright_runtime::keys;
use keywright_runtime::peer::{Peer, Peers};
use keywright_runtime::token::Signer;
use keywright_storage::Db;
use std::ops::Deref;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tower::ServiceExt;

pub struct Service {
    log: Log,
    pub audit: Audit,
    pub guard: Guard,
    routes: Routes,
    _stop: DropGuard,
}

impl Deref for Service {
    type Target = Log;
    fn deref(&self) -> &Log {
        &self.log
    }
}

/// On each database one.
pub async fn services() -> Vec<Service> {
    super::logs().await.into_iter().map(service).collect()
}

fn service(log: Log) -> Service {
    keys::create_all(log._dir.path()).unwrap();
    let own = ServiceName::Audit;
    let key = keys::signing_key(log._dir.path(), own.as_str()).unwrap();
    let peers = Peers::new();
    let outbound = Outbound::new(own, peers.clone(), Signer::new(key, Clock::System));
    let audit = Audit::new(outbound.clone());
    let guard = Guard::new(Policy::shipped().unwrap(), audit.clone());
    let stop = CancellationToken::new();
    let built = build(Parts {
        db: log.db.clone(),
        audit: audit.clone(),
        guard: guard.clone(),
        outbound,
        signing: super::tree::signer_of(&log.db, log._dir.path()).signing,
        retention: crate::Retention(None),
        forwarding: crate::Forwarding { feeds: Vec::new() },
        stop: stop.clone(),
    })
    .unwrap();
    peers.set(own, peer(built.routes.clone(), None));
    built.tasks.into_iter().for_each(|task| drop(tokio::spawn(task)));
    Service { log, audit, guard, routes: built.routes, _stop: stop.drop_guard() }
}

/// The routes without the stack: what the door would have verified is put on the request.
fn peer(routes: Routes, caller: Option<Caller>) -> Peer {
    let routes = routes.prepare();
    Peer::new(tower::service_fn(move |mut request: http::Request<tonic::body::Body>| {
        let routes = routes.clone();
        if let Some(caller) = &caller {
            request.extensions_mut().insert(caller.clone());
        }
        async move { Ok(routes.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    }))
}

pub fn person(role: Role, tenant: Option<&TenantId>) -> Caller {
    Caller {
        principal: Principal::person(&PrincipalId::random().unwrap(), role, tenant.cloned()),
        ..Caller::background(ServiceName::Gateway, "request")
    }
}

pub fn operator() -> Caller {
    person(Role::Operator, None)
}

impl Service {
    pub fn client(&self, caller: &Caller) -> AuditServiceClient<Peer> {
        AuditServiceClient::new(peer(self.routes.clone(), Some(caller.clone())))
    }

    pub async fn all(&self) -> Vec<proto::AuditEvent> {
        let request = proto::ListAuditEventsRequest { page_size: 500, ..Default::default() };
        self.client(&operator()).list_audit_events(request).await.unwrap().into_inner().items
    }

    /// What it erases for an operator.
    pub async fn erase(&self, caller: &Caller, subject: &str, typed: &str) -> Result<i64, Failure> {
        let request = proto::EraseAuditSubjectRequest {
            subject: subject.to_owned(),
            confirmation: Some(proto::ErasureConfirmation { subject: typed.to_owned() }),
            reason: String::new(),
        };
        let answer = self.client(caller).erase_audit_subject(request).await;
        answer.map(|answer| answer.into_inner().entries).map_err(|status| Failure::from_status(&status))
    }
}

/// Waits until what the service owes its own log is in it.
pub async fn until(holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}

/// When the first of many events is recorded; they are a second apart.
pub const BEGAN: i64 = 1_700_000_000_000_000;

/// Puts so many events, each ended at once, into an empty log: rare and frequent of every kind.
pub async fn fill(db: &Db, events: i64) {
    let mut tx = db.begin_internal("a test's events").await.unwrap();
    for text in [
        "WITH RECURSIVE n(i) AS (SELECT 0 * $1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1)
         INSERT INTO event (seq, outcome_seq, recorded_at, finished_at, actor_kind, tenant_id, action, outcome, reason,
                            comment_text, request_id, trace_id)
         SELECT 2 * i, 2 * i + 1, 1700000000000000 + 1000000 * i, 1700000000000000 + 1000000 * i, 'user',
                CASE WHEN i % 1000 = 7 THEN 'ten_rare' WHEN i % 2 = 0 THEN 'ten_big' ELSE 'ten_' || CAST(i % 97 AS TEXT) END,
                CASE WHEN i % 1000 = 9 THEN 'tenant.delete' ELSE 'action.' || CAST(i % 7 AS TEXT) END,
                CASE WHEN i % 1000 = 5 THEN 'denied' ELSE 'succeeded' END,
                '', '', 'req', '' FROM n",
        "INSERT INTO leaf (seq, intent_seq, event_id, kind, bytes, hash, recorded_at)
         SELECT seq, seq, 'evt_' || CAST(seq / 2 AS TEXT), 'intent', CAST('x' AS BLOB), 'hash', recorded_at FROM event",
        "INSERT INTO leaf (seq, intent_seq, event_id, kind, bytes, hash, recorded_at)
         SELECT outcome_seq, seq, 'evt_' || CAST(seq / 2 AS TEXT), 'outcome', CAST('x' AS BLOB), 'hash', recorded_at FROM event",
        "INSERT INTO clear_value (seq, actor, source_ip, user_agent, target, details, salts)
         SELECT seq,
                CASE WHEN seq % 2000 = 6 THEN 'prn_rare' ELSE 'prn_' || CAST(seq % 101 AS TEXT) END, '', '',
                CASE WHEN seq % 2000 = 8 THEN 'srv_rare' ELSE 'srv_' || CAST(seq % 103 AS TEXT) END, '{}', '{}' FROM event",
        "INSERT INTO clear_value (seq, actor, source_ip, user_agent, target, details, salts)
         SELECT outcome_seq, '', '', '', '', '{}', '{}' FROM event",
        "INSERT INTO mention (subject, seq, kind)
         SELECT c.actor, e.seq, 'actor' FROM clear_value c JOIN event e ON e.seq = c.seq",
        "INSERT INTO mention (subject, seq, kind)
         SELECT c.target, e.seq, 'target' FROM clear_value c JOIN event e ON e.seq = c.seq",
        "UPDATE head SET size = 2 * (SELECT COUNT(*) FROM event)",
    ] {
        let query = sqlx::query(text);
        let query = if text.contains("$1") { query.bind(events) } else { query };
        query.execute(tx.conn()).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut conn = db.read().acquire().await.unwrap();
    if db.dialect() == keywright_storage::Dialect::Postgres {
        // What the server itself does after so many new rows.
        for text in [
            "VACUUM ANALYZE event",
            "VACUUM ANALYZE leaf",
            "VACUUM ANALYZE clear_value",
            "VACUUM ANALYZE mention",
        ] {
            sqlx::raw_sql(text).execute(&mut *conn).await.unwrap();
        }
    }
}
