//! Flags and alerts on both databases, with a clock that the test moves.

#[path = "alerts_handled.rs"]
mod handled;

use crate::adapters::zones::Zones;
use crate::alerting::alert::Alert;
use crate::alerting::built_in;
use crate::api;
use crate::app::alerts::evaluate::{Evaluate, Gauges};
use crate::app::alerts::tell::Tell;
use crate::app::append::Appender;
use crate::app::record_intent::{Intent, RecordIntent};
use crate::app::record_outcomes::{Outcome, RecordOutcomes};
use crate::store::alert::{self, Filter};
use crate::store::event::Open;
use keywright_domain::caller::{Caller, Principal, Role, ServiceName};
use keywright_domain::clock::Clock;
use keywright_domain::ids::{EventId, PrincipalId, TenantId};
use keywright_domain::reason::Reason;
use keywright_log::leaf::Clear;
use keywright_proto::audit as proto;
use keywright_proto::audit::audit_alert_service_server::AuditAlertService;
use keywright_proto::audit::audit_intake_service_server::AuditIntakeServiceServer;
use keywright_proto::lifecycle;
use keywright_proto::lifecycle::notification_intake_service_server::{
    NotificationIntakeService, NotificationIntakeServiceServer,
};
use keywright_runtime::Policy;
use keywright_runtime::audit::{Audit, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use keywright_runtime::keys;
use keywright_runtime::notices::Notices;
use keywright_runtime::peer::{Peer, Peers};
use keywright_runtime::token::Signer;
use keywright_storage::{Columns, Db, Source};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tower::ServiceExt;

/// Whom key-lifecycle was asked to tell.
#[derive(Clone, Default)]
struct Told {
    said: Arc<Mutex<Vec<lifecycle::NotifyRequest>>>,
    down: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl NotificationIntakeService for Told {
    async fn notify(
        &self,
        request: Request<lifecycle::NotifyRequest>,
    ) -> Result<Response<lifecycle::NotifyResponse>, Status> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Status::unavailable("down"));
        }
        self.said.lock().unwrap().push(request.into_inner());
        Ok(Response::new(lifecycle::NotifyResponse {}))
    }
}

struct World {
    db: Db,
    log: Appender,
    time: Arc<AtomicI64>,
    evaluate: Evaluate,
    tell: Tell,
    told: Told,
    alerts: api::alerts::Alerts,
    _dir: tempfile::TempDir,
}

fn peer(routes: Routes) -> Peer {
    let routes = routes.prepare();
    Peer::new(tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        let routes = routes.clone();
        async move { Ok(routes.oneshot(request).await.unwrap_or_else(|never| match never {})) }
    }))
}

/// On SQLite and on PostgreSQL; 2026-01-15T12:00:00Z.
async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for postgres in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let source = match postgres {
            false => Source::Directory(dir.path().to_owned()),
            true => Source::Postgres(keywright_kit::postgres_database().await.unwrap()),
        };
        worlds.push(World::open(dir, source).await);
    }
    worlds
}

impl World {
    async fn open(dir: tempfile::TempDir, source: Source) -> Self {
        let time = Arc::new(AtomicI64::new(at("2026-01-15T12:00:00Z")));
        let clock = Clock::Manual(time.clone());
        let db = Db::open(&source, "audit", &crate::MIGRATIONS, clock.clone()).await.unwrap();
        let log = Appender::new(db.clone());
        keys::create_all(dir.path()).unwrap();
        let (peers, told) = (Peers::new(), Told::default());
        let intake = api::intake::Intake {
            record_intent: RecordIntent { log: log.clone() },
            record_outcomes: RecordOutcomes { log: log.clone() },
        };
        peers.set(ServiceName::Audit, peer(Routes::new(AuditIntakeServiceServer::new(intake))));
        let intake = NotificationIntakeServiceServer::new(told.clone());
        peers.set(ServiceName::KeyLifecycle, peer(Routes::new(intake)));
        let signer = Signer::new(keys::signing_key(dir.path(), "audit").unwrap(), clock);
        let outbound = Outbound::new(ServiceName::Audit, peers, signer);
        let audit = Audit::new(outbound.clone());
        let guard = Guard::new(Policy::shipped().unwrap(), audit.clone());
        let evaluate = Evaluate {
            db: db.clone(),
            zones: Zones::new(outbound.clone()),
            holder: "one".to_owned(),
            gauges: Gauges::new(),
        };
        let tell = Tell { db: db.clone(), notices: Notices::new(outbound), holder: "one".to_owned() };
        let alerts = crate::alerts(&db, &audit, guard);
        Self { db, log, time, evaluate, tell, told, alerts, _dir: dir }
    }

    /// As another process, or the same one after a kill.
    fn another(&self, holder: &str) -> Evaluate {
        Evaluate { holder: holder.to_owned(), ..self.evaluate.clone() }
    }

    fn go(&self, text: &str) {
        self.time.store(at(text), Ordering::SeqCst);
    }

    fn pass(&self, micros: i64) {
        self.time.fetch_add(micros, Ordering::SeqCst);
    }

    /// Logs one that ended; an empty outcome: it goes on.
    async fn log(&self, it: &Happened<'_>) -> EventId {
        let event = EventId::random().unwrap();
        let times = BTreeMap::from([("repeated".to_owned(), it.times.to_string())]);
        let intent = Intent {
            event: event.clone(),
            open: Open {
                actor_kind: it.kind.to_owned(),
                tenant: it.tenant.to_owned(),
                action: it.action.to_owned(),
                ..Open::default()
            },
            clear: Clear {
                actor: it.actor.to_owned(),
                target: it.target.to_owned(),
                source_ip: it.source.to_owned(),
                details: if it.times > 1 { times } else { BTreeMap::new() },
                ..Clear::default()
            },
            spooled_at: None,
        };
        RecordIntent { log: self.log.clone() }.run(intent).await.unwrap();
        if let Some(outcome) = it.outcome {
            self.end(&event, outcome, it.reason).await;
        }
        event
    }

    async fn end(&self, event: &EventId, outcome: &'static str, reason: &str) {
        let outcome = Outcome {
            event: event.to_string(),
            outcome,
            reason: reason.to_owned(),
            details: BTreeMap::new(),
        };
        RecordOutcomes { log: self.log.clone() }.run(vec![outcome]).await.unwrap();
    }

    /// Looks at what is there and answers all alerts, oldest first.
    async fn look(&self) -> Vec<Alert> {
        self.evaluate.round().await.unwrap();
        let mut alerts = alert::list(&self.db, &Filter::default(), i64::MAX, 10_000).await.unwrap();
        alerts.reverse();
        alerts
    }

    async fn set(&self, id: &str, rule: proto::AuditAlertRule) -> Result<proto::AuditAlertRule, Reason> {
        let asked = proto::SetAuditAlertRuleRequest { rule_id: id.to_owned(), rule: Some(rule) };
        let set = self.alerts.set_audit_alert_rule(by(&operator(), asked)).await;
        set.map(|set| set.into_inner().rule.unwrap()).map_err(|status| Failure::from_status(&status).reason)
    }

    async fn acknowledge(&self, by_whom: &Caller, id: &str) -> Result<proto::AuditAlert, Reason> {
        let asked =
            proto::AcknowledgeAuditAlertRequest { alert_id: id.to_owned(), comment: "seen".to_owned() };
        let done = self.alerts.acknowledge_audit_alert(by(by_whom, asked)).await;
        done.map(|it| it.into_inner().alert.unwrap()).map_err(|status| Failure::from_status(&status).reason)
    }

    async fn list(&self, by_whom: &Caller, asked: proto::ListAuditAlertsRequest) -> Result<Page, Reason> {
        let listed = self.alerts.list_audit_alerts(by(by_whom, asked)).await;
        let listed = listed.map_err(|status| Failure::from_status(&status).reason)?.into_inner();
        Ok((listed.items, listed.next_page_token))
    }
}

type Page = (Vec<proto::AuditAlert>, String);

/// What is to be logged.
#[derive(Clone, Copy)]
struct Happened<'a> {
    action: &'a str,
    actor: &'a str,
    kind: &'a str,
    target: &'a str,
    source: &'a str,
    tenant: &'a str,
    outcome: Option<&'static str>,
    reason: &'a str,
    times: i64,
}

const NOTHING: Happened<'static> = Happened {
    action: "server.rename",
    actor: "prn_a",
    kind: "user",
    target: "srv_a",
    source: "192.0.2.1",
    tenant: "",
    outcome: Some("succeeded"),
    reason: "",
    times: 1,
};
const STRANGER: Happened<'static> = Happened {
    action: "session.login",
    actor: "gateway",
    kind: "system",
    target: "",
    outcome: Some("denied"),
    reason: "UNAUTHENTICATED",
    ..NOTHING
};
const RESOLVED: Happened<'static> =
    Happened { action: "credential.resolve", kind: "service", target: "sshcred_a", ..NOTHING };
const SECOND: i64 = 1_000_000;

fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

fn person(role: Role, tenant: Option<&TenantId>) -> Caller {
    let principal = Principal::person(&PrincipalId::random().unwrap(), role, tenant.cloned());
    Caller { principal, ..Caller::background(ServiceName::Gateway, "") }
}

fn operator() -> Caller {
    person(Role::Operator, None)
}

fn by<T>(caller: &Caller, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(caller.clone());
    request
}

fn short(alerts: &[Alert]) -> Vec<(&str, &str, i64)> {
    alerts.iter().map(|it| (it.rule.as_str(), it.subject.as_str(), it.times)).collect()
}

#[tokio::test]
async fn five_refused_logins_of_one_address_within_five_minutes_are_one_alert() {
    for world in worlds().await {
        for _ in 0..4 {
            world.log(&STRANGER).await;
            world.log(&Happened { source: "192.0.2.2", ..STRANGER }).await;
            world.pass(SECOND);
        }
        world.log(&Happened { outcome: Some("succeeded"), reason: "", ..STRANGER }).await;
        assert_eq!(short(&world.look().await), []);
        let fifth = world.log(&Happened { action: "session.open", ..STRANGER }).await;
        let alerts = world.look().await;
        assert_eq!(short(&alerts), [("failed-logins", "192.0.2.1", 5)]);
        assert_eq!(
            (alerts[0].event.as_str(), alerts[0].raised_at),
            (fifth.as_str(), world.db.now().await.unwrap())
        );
        world.pass(SECOND);
        world
            .log(&Happened { action: "invitation.redeem", reason: "INVITATION_NOT_FOUND", ..STRANGER })
            .await;
        let alerts = world.look().await;
        assert_eq!(short(&alerts), [("failed-logins", "192.0.2.1", 6)]);
        assert_eq!((alerts[0].last_at, alerts[0].tenant.as_str()), (world.db.now().await.unwrap(), ""));
    }
}

#[tokio::test]
async fn refusals_that_are_logged_as_one_count_for_as_many() {
    for world in worlds().await {
        world.log(&STRANGER).await;
        world.log(&Happened { times: 3, ..STRANGER }).await;
        assert_eq!(short(&world.look().await), []);
        world.log(&Happened { times: 9, ..STRANGER }).await;
        assert_eq!(short(&world.look().await), [("failed-logins", "192.0.2.1", 13)]);
    }
}

#[tokio::test]
async fn what_is_as_old_as_the_window_counts_no_more() {
    for world in worlds().await {
        for _ in 0..4 {
            world.log(&STRANGER).await;
        }
        world.pass(300 * SECOND);
        world.log(&STRANGER).await;
        assert_eq!(short(&world.look().await), [], "300 seconds after the first four it stands alone");
        for _ in 0..3 {
            world.log(&STRANGER).await;
        }
        world.pass(300 * SECOND - 1);
        assert_eq!(short(&world.look().await), []);
        world.log(&STRANGER).await;
        assert_eq!(short(&world.look().await), [("failed-logins", "192.0.2.1", 5)], "a microsecond before");
    }
}

#[tokio::test]
async fn the_clock_of_the_log_counts_and_not_that_of_the_reader() {
    for world in worlds().await {
        for _ in 0..5 {
            world.log(&STRANGER).await;
            world.pass(61 * SECOND);
        }
        world.pass(3 * 86_400 * SECOND);
        assert_eq!(short(&world.look().await), [("failed-logins", "192.0.2.1", 5)], "over 244 seconds");
        for _ in 0..5 {
            world.log(&Happened { source: "192.0.2.9", ..STRANGER }).await;
            world.pass(75 * SECOND);
        }
        assert_eq!(world.look().await.len(), 1, "over 300 seconds");
    }
}

#[tokio::test]
async fn a_second_download_is_an_alert_and_a_first_is_none() {
    let ten = TenantId::random().unwrap();
    for world in worlds().await {
        let download =
            Happened { action: "access.download", target: "acc_a", tenant: ten.as_str(), ..NOTHING };
        world.log(&download).await;
        world.log(&Happened { outcome: Some("failed"), reason: "ACCESS_REVOKED", ..download }).await;
        let going = world.log(&Happened { outcome: None, ..download }).await;
        assert_eq!(short(&world.look().await), []);
        // The outcome comes later, and from elsewhere.
        world.pass(120 * SECOND);
        world.end(&going, "failed", "KEY_ALREADY_DOWNLOADED").await;
        let alerts = world.look().await;
        assert_eq!(short(&alerts), [("second-download", "acc_a", 1)]);
        assert_eq!((alerts[0].tenant.as_str(), alerts[0].event.as_str()), (ten.as_str(), going.as_str()));
        assert_eq!(alerts[0].raised_at, world.db.now().await.unwrap(), "when its outcome was recorded");
    }
}

#[tokio::test]
async fn a_hundred_uses_of_secrets_a_minute_are_none_and_one_more_is() {
    for world in worlds().await {
        for number in 0..100 {
            let action =
                ["credential.resolve", "credential.sign_login", "credential.sign", "custody.release"];
            world.log(&Happened { action: action[number % 4], ..RESOLVED }).await;
            world.log(&Happened { actor: "key-lifecycle", kind: "system", ..RESOLVED }).await;
            world.log(&Happened { actor: "key-lifecycle", kind: "system", ..RESOLVED }).await;
        }
        world.log(&Happened { actor: "prn_b", ..RESOLVED }).await;
        world.log(&Happened { outcome: Some("denied"), reason: "RESOLVE_NOT_ALLOWED", ..RESOLVED }).await;
        world.pass(60 * SECOND - 1);
        assert_eq!(short(&world.look().await), []);
        world.log(&RESOLVED).await;
        assert_eq!(short(&world.look().await), [("secret-uses", "prn_a", 101)]);
    }
}

#[tokio::test]
async fn revoked_keys_and_false_identities_are_flagged_at_once() {
    let ten = TenantId::random().unwrap();
    let tenant = ten.as_str();
    let failed = Happened { outcome: Some("failed"), tenant, ..NOTHING };
    let cases = [
        (
            Happened { action: "credential.create", reason: "KEY_COMPROMISED", ..failed },
            "revoked-key",
            "prn_a",
        ),
        (
            Happened { action: "server.revoked_key_found", kind: "system", tenant, ..NOTHING },
            "revoked-key-found",
            "srv_a",
        ),
        (
            Happened { action: "token.revoked_use", target: "tok_a", outcome: Some("denied"), ..failed },
            "revoked-token",
            "tok_a",
        ),
        (Happened { action: "server.host_key_mismatch", tenant, ..NOTHING }, "identity-mismatch", "srv_a"),
        (
            Happened {
                action: "token.certificate_mismatch",
                target: "tok_a",
                outcome: Some("denied"),
                ..failed
            },
            "identity-mismatch",
            "tok_a",
        ),
        (
            Happened {
                action: "credential.sign_login",
                outcome: Some("denied"),
                reason: "HOST_KEY_MISMATCH",
                ..failed
            },
            "session-mismatch",
            "prn_a",
        ),
    ];
    for world in worlds().await {
        world.log(&Happened { action: "credential.create", reason: "KEY_TOO_WEAK", ..failed }).await;
        let denied = Happened { outcome: Some("denied"), ..failed };
        world.log(&Happened { action: "credential.sign_login", reason: "PERMISSION_DENIED", ..denied }).await;
        let mut count = 0;
        assert_eq!(world.look().await.len(), count);
        for (case, rule, subject) in &cases {
            world.log(case).await;
            let alerts = world.look().await;
            count += 1;
            assert_eq!(alerts.len(), count, "{rule}");
            let last = alerts.last().unwrap();
            assert_eq!((last.rule.as_str(), last.subject.as_str(), last.times), (*rule, *subject, 1));
            assert_eq!(last.tenant, tenant);
        }
    }
}

#[tokio::test]
async fn a_night_is_the_tenants_own() {
    let (berlin, new_york, unknown) =
        (TenantId::random().unwrap(), TenantId::random().unwrap(), TenantId::random().unwrap());
    for world in worlds().await {
        world.evaluate.zones.learn(&berlin, "Europe/Berlin");
        world.evaluate.zones.learn(&new_york, "America/New_York");
        let login = Happened { action: "session.login", ..NOTHING };
        let mut alerts = 0;
        for (time, tenant, inside) in [
            ("2026-01-15T00:59:59.999999Z", &berlin, false),
            ("2026-01-15T01:00:00Z", &berlin, true),
            ("2026-01-15T05:00:00Z", &berlin, false),
            ("2026-01-15T06:59:59Z", &new_york, false),
            ("2026-01-15T07:00:00Z", &new_york, true),
            // In summer an hour earlier by UTC.
            ("2026-07-15T00:00:00Z", &berlin, true),
            ("2026-07-15T04:00:00Z", &berlin, false),
            ("2026-07-15T06:00:00Z", &new_york, true),
            ("2026-07-15T10:00:00Z", &new_york, false),
            ("2026-07-16T02:00:00Z", &unknown, true),
            ("2026-07-16T06:00:00Z", &unknown, false),
        ] {
            world.go(time);
            let actor = format!("prn_{tenant}");
            world.log(&Happened { tenant: tenant.as_str(), actor: &actor, ..login }).await;
            let all = world.look().await;
            alerts += usize::from(inside);
            assert_eq!(all.len(), alerts, "{time}");
        }
        world.go("2026-07-17T03:00:00Z");
        world.log(&Happened { kind: "service", actor: "prn_program", ..login }).await;
        world.log(&Happened { outcome: Some("denied"), actor: "prn_refused", ..login }).await;
        let all = world.look().await;
        assert_eq!(all.len(), alerts, "neither a program nor somebody who was not let in");
        let says = |tenant: &TenantId| {
            let one = all.iter().find(|alert| alert.tenant == tenant.as_str()).unwrap();
            one.description.clone()
        };
        assert!(says(&berlin).ends_with("(Europe/Berlin)"), "{}", says(&berlin));
        assert!(says(&new_york).ends_with("(America/New_York)"));
        assert!(says(&unknown).contains("UTC"), "{}", says(&unknown));
        world.log(&Happened { actor: "prn_operator", ..login }).await;
        assert!(world.look().await.last().unwrap().description.ends_with("(UTC)"), "the platform's day");
    }
}

#[tokio::test]
async fn what_was_counted_in_one_night_stands_through_the_day() {
    for world in worlds().await {
        let rule = proto::AuditAlertRule {
            hours: "22:00-06:00".to_owned(),
            window_seconds: 604_800,
            ..own("server.rename", 3)
        };
        world.set("nights", rule).await.unwrap();
        for time in
            ["2026-02-01T23:00:00Z", "2026-02-02T05:59:59Z", "2026-02-02T12:00:00Z", "2026-02-02T21:59:59Z"]
        {
            world.go(time);
            world.log(&NOTHING).await;
            assert_eq!(short(&world.look().await), [], "{time}");
        }
        world.go("2026-02-02T22:00:00Z");
        world.log(&NOTHING).await;
        assert_eq!(short(&world.look().await), [("nights", "prn_a", 3)]);
    }
}

fn own(action: &str, threshold: i32) -> proto::AuditAlertRule {
    proto::AuditAlertRule {
        actions: vec![action.to_owned()],
        threshold,
        window_seconds: 60,
        ..Default::default()
    }
}

#[tokio::test]
async fn an_operators_own_threshold_counts_each_subject_apart() {
    let (one, two) = (TenantId::random().unwrap(), TenantId::random().unwrap());
    for world in worlds().await {
        let subject = proto::AuditAlertSubject::Tenant.into();
        let rule = proto::AuditAlertRule { subject, ..own("server.*", 3) };
        let set = world.set("many-changes", rule).await.unwrap();
        assert_eq!(
            (set.threshold, set.description.as_str(), set.built_in),
            (3, "The rule many-changes", false)
        );
        world
            .set(
                "failures",
                proto::AuditAlertRule {
                    outcome: proto::AuditOutcome::Failed.into(),
                    reason: "HOST_UNREACHABLE".to_owned(),
                    subject: proto::AuditAlertSubject::Target.into(),
                    ..own("*", 2)
                },
            )
            .await
            .unwrap();
        for tenant in [&one, &two] {
            world.log(&Happened { tenant: tenant.as_str(), ..NOTHING }).await;
            world.log(&Happened { tenant: tenant.as_str(), action: "server.register", ..NOTHING }).await;
        }
        let failed =
            Happened { action: "host.edit", outcome: Some("failed"), reason: "HOST_UNREACHABLE", ..NOTHING };
        world.log(&failed).await;
        world.log(&Happened { target: "srv_b", ..failed }).await;
        world.log(&Happened { reason: "HOST_EDIT_FAILED", ..failed }).await;
        assert_eq!(short(&world.look().await), []);
        // It is about the beginning: it does not wait for an outcome.
        world.log(&Happened { tenant: two.as_str(), outcome: None, ..NOTHING }).await;
        world.log(&failed).await;
        let alerts = world.look().await;
        assert_eq!(short(&alerts), [("many-changes", two.as_str(), 3), ("failures", "srv_a", 2)]);
        assert_eq!(alerts[0].tenant, two.as_str());
    }
}

#[tokio::test]
async fn what_a_platform_person_does_in_several_tenants_is_the_platforms_alert() {
    let (one, two) = (TenantId::random().unwrap(), TenantId::random().unwrap());
    for world in worlds().await {
        world.set("two", own("server.rename", 2)).await.unwrap();
        world.log(&Happened { tenant: one.as_str(), ..NOTHING }).await;
        world.log(&Happened { tenant: two.as_str(), ..NOTHING }).await;
        world.log(&Happened { tenant: one.as_str(), actor: "prn_b", ..NOTHING }).await;
        world.log(&Happened { tenant: one.as_str(), actor: "prn_b", ..NOTHING }).await;
        // Of an alert that is one tenant's, another's events are no part.
        world.log(&Happened { tenant: two.as_str(), actor: "prn_b", ..NOTHING }).await;
        world.log(&Happened { tenant: one.as_str(), ..NOTHING }).await;
        let alerts = world.look().await;
        assert_eq!(short(&alerts), [("two", "prn_a", 3), ("two", "prn_b", 2)]);
        assert_eq!((alerts[0].tenant.as_str(), alerts[1].tenant.as_str()), ("", one.as_str()));
    }
}
