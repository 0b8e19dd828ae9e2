//! Probes by real connections: connectivity tests in nine checks, host-key scans, receipts about keys.
//!
//! `report` is what a test finds, `login` and `one_time` with what it logs in, `tester` how a registered server is tested,
//! `fleet` the tests of many, `heartbeat` those again and again and what is remembered of each server, `history` how long,
//! `dialogue` the tests with a key that stays with the caller, `app` the use cases, `adapters` the SSH journeys and the peers,
//! `store` the results, `api` the gRPC services, `sshfp` what DNS says of host keys.
//! Invariant: no authentication is tried before the host key was found among the pinned ones, and no key leaves its
//! place: credential-store signs, the memory of this process for one operation, or the caller's own agent.

mod adapters;
mod api;
mod app;
mod dialogue;
mod fleet;
mod heartbeat;
mod history;
mod login;
mod one_time;
mod report;
mod sshfp;
mod store;
mod tester;

use crate::adapters::directory::Directory;
use crate::adapters::journey::Journey;
use crate::adapters::prober::Prober;
use crate::adapters::route::Routes;
use crate::api::fleet_test::{FleetTests, FleetWorks};
use crate::app::supply_signature::SupplySignature;
use crate::dialogue::Dialogues;
use crate::fleet::drive::Driver;
use crate::fleet::results::Results;
use crate::heartbeat::{Rounds, Teller};
use crate::history::History;
use crate::one_time::Intake;
use crate::tester::Tester;
use keywright_domain::clock::{Clock, NoRandomness};
use keywright_domain::ids::RequestId;
use keywright_proto::probe::connectivity_test_service_server::ConnectivityTestServiceServer;
use keywright_proto::probe::fleet_test_service_server::FleetTestServiceServer;
use keywright_proto::probe::fleet_work_service_server::FleetWorkServiceServer;
use keywright_proto::probe::heartbeat_service_server::HeartbeatServiceServer;
use keywright_proto::probe::host_key_scan_service_server::HostKeyScanServiceServer;
use keywright_proto::probe::proof_service_server::ProofServiceServer;
use keywright_runtime::audit::{Audit, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::idempotency::{self, Idempotency};
use keywright_runtime::notices::Notices;
use keywright_runtime::serve::{Assembled, Readiness, Task};

use keywright_storage::Db;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub use crate::adapters::sshfp::{BadTrustAnchors, Sshfp, SshfpResolver};
pub use keywright_ssh::TargetRules;

pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// How long a caller's agent is waited for: time to touch a security key, and less than the minute that the caller's exchanged
/// token and the patience of an SSH server (LoginGraceTime) last.
pub const SIGNATURE_WAIT: Duration = Duration::from_secs(45);

/// What the service needs.
pub struct Parts {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub outbound: Outbound,
    pub idempotency: Idempotency,
    pub clock: Clock,
    /// Which addresses may be dialled.
    pub rules: Arc<TargetRules>,
    /// Asks DNS about host keys.
    pub sshfp: Sshfp,
    /// How long results are kept.
    pub history: Duration,
    /// How long a caller's agent is waited for.
    pub signature_wait: Duration,
    pub stop: CancellationToken,
}

/// Routes, and the background work: fleet tests, heartbeats, and the delivery of what is owed to the audit log.
pub fn build(parts: Parts) -> Result<Assembled, NoRandomness> {
    let Parts { db, audit, guard, outbound, idempotency, clock, rules, sshfp, history, signature_wait, stop } =
        parts;
    let directory = Directory::new(outbound.clone());
    let journey = Journey::new(rules.clone(), clock.clone(), sshfp.clone());
    let prober = Prober::new(rules, clock);
    let routes = Routes { directory: directory.clone(), outbound: outbound.clone() };
    let intake = Intake::default();
    let tester = Tester {
        db: db.clone(),
        directory: directory.clone(),
        outbound: outbound.clone(),
        intake: intake.clone(),
        journey: journey.clone(),
        routes: routes.clone(),
    };
    let holder = format!("fleet-{}", RequestId::random()?);
    let driver = Driver {
        db: db.clone(),
        audit: audit.clone(),
        tester: tester.clone(),
        rounds: Rounds { db: db.clone() },
        results: Results::new(db.clone(), tester.clone(), holder.clone()),
        holder,
        wake: Arc::default(),
    };
    let fleet = FleetTests {
        start: app::start_fleet_test::StartFleetTest {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            directory: directory.clone(),
            wake: driver.wake.clone(),
        },
        read: app::read_fleet_tests::ReadFleetTests { db: db.clone(), guard: guard.clone() },
        cancel: app::cancel_fleet_test::CancelFleetTest {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
        },
        idempotency,
    };
    let heartbeats = api::heartbeat::Heartbeats {
        set: app::set_heartbeat::SetHeartbeat {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            directory: directory.clone(),
            wake: driver.wake.clone(),
        },
        delete: app::delete_heartbeat::DeleteHeartbeat {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            directory: directory.clone(),
        },
        read: app::read_heartbeats::ReadHeartbeats {
            db: db.clone(),
            guard: guard.clone(),
            directory: directory.clone(),
        },
    };
    let teller = Teller {
        db: db.clone(),
        audit: audit.clone(),
        notices: Notices::new(outbound.clone()),
        holder: driver.holder.clone(),
    };
    let works = FleetWorks { check: app::check_fleet_work::CheckFleetWork { db: db.clone() } };
    let dialogues = Dialogues::new(db.clone(), signature_wait, stop.clone());
    let tests = api::connectivity_test::ConnectivityTests {
        create: app::test_server::TestServer {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            tester,
        },
        list: app::list_tests::ListTests {
            db: db.clone(),
            guard: guard.clone(),
            directory: directory.clone(),
        },
        draft: app::test_draft::TestDraft {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            intake,
            journey,
            routes: routes.clone(),
        },
        dialogues: dialogues.clone(),
        supply: SupplySignature { db: db.clone(), audit: audit.clone(), guard: guard.clone() },
    };
    let scans = api::host_key::HostKeyScans {
        assess: app::assess_server::AssessServer {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            directory: directory.clone(),
            routes: routes.clone(),
            prober: prober.clone(),
        },
        scan: app::scan_server::ScanServer {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            directory: directory.clone(),
            routes: routes.clone(),
            prober: prober.clone(),
            sshfp: sshfp.clone(),
        },
    };
    let proofs = api::proof::Proofs {
        login: app::prove_login::ProveLogin {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            directory: directory.clone(),
            outbound,
            routes: routes.clone(),
            prober: prober.clone(),
        },
        offer: app::prove_offer::ProveOffer {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            directory,
            routes: routes.clone(),
            prober: prober.clone(),
        },
        scan: app::scan_target::ScanTarget { guard, routes, prober, sshfp },
    };
    let readiness = {
        let db = db.clone();
        Readiness::new(move || {
            let db = db.clone();
            async move { db.ready().await.map_err(|_| "the probe's database does not answer") }
        })
    };
    let routes = tonic::service::Routes::new(readiness)
        .add_service(ConnectivityTestServiceServer::new(tests))
        .add_service(FleetTestServiceServer::new(fleet))
        .add_service(FleetWorkServiceServer::new(works))
        .add_service(HeartbeatServiceServer::new(heartbeats))
        .add_service(HostKeyScanServiceServer::new(scans))
        .add_service(ProofServiceServer::new(proofs));
    let tasks: Vec<Task> = vec![
        Box::pin(driver.run(stop.clone())),
        Box::pin(teller.run(stop.clone())),
        Box::pin(dialogues.drained()),
        Box::pin(History { db: db.clone(), kept: history }.run(stop.clone())),
        Box::pin(idempotency::sweep(db.clone(), stop.clone())),
        Box::pin(audit.drain(db, stop)),
    ];
    Ok(Assembled { routes, tasks })
}
