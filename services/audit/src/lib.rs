//! The audit log: two leaves an operation, intent before the effect and outcome after it; append-only and in order.
//!
//! The form of a leaf and of the tree is `keywright_log`'s. `store` are the tables, `app` the use cases (`append` the one way
//! in, `sign_checkpoints` what makes it a tree), `api` the gRPC services, `adapters` other services and where the log is handed
//! on to, `journal` what the server's own commands write.
//! Invariant: a leaf, once written, is never changed; clear values of persons stand beside the log, not in it.

mod adapters;
mod alerting;
#[cfg(test)]
#[path = "tests/alerts.rs"]
mod alerts_tests;
mod api;
mod app;
mod forwarding;
#[cfg(test)]
#[path = "tests/forwarding.rs"]
mod forwarding_tests;
mod journal;
mod store;
#[cfg(test)]
mod tests;

use app::places::{Most, Places};
use app::sign_checkpoints::SignCheckpoints;
use keywright_domain::clock::NoRandomness;
use keywright_domain::ids::RequestId;
use keywright_proto::audit::audit_alert_service_server::AuditAlertServiceServer;
use keywright_proto::audit::audit_intake_service_server::AuditIntakeServiceServer;
use keywright_proto::audit::audit_log_service_server::AuditLogServiceServer;
use keywright_proto::audit::audit_service_server::AuditServiceServer;
use keywright_runtime::audit::{Audit, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::notices::Notices;
use keywright_runtime::serve::{Assembled, Readiness, Task};
use keywright_storage::Db;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub use app::segments::Retention;
pub use app::sign_checkpoints::Signing;
pub use forwarding::{Forwarding, ForwardingError, ForwardingSettings};
pub use journal::{Head, Journal};

pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// What the service needs.
pub struct Parts {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub outbound: Outbound,
    pub signing: Signing,
    pub retention: Retention,
    pub forwarding: Forwarding,
    pub stop: CancellationToken,
}

pub fn build(parts: Parts) -> Result<Assembled, NoRandomness> {
    let Parts { db, audit, guard, outbound, signing, retention, forwarding, stop } = parts;
    let log = app::append::Appender::new(db.clone());
    let intake = api::intake::Intake {
        record_intent: app::record_intent::RecordIntent { log: log.clone() },
        record_outcomes: app::record_outcomes::RecordOutcomes { log: log.clone() },
    };
    let sign = SignCheckpoints { db: db.clone(), journal: Arc::new(Journal::new(db.clone())), signing };
    let events = api::events::Events {
        list: app::list_events::ListEvents { db: db.clone(), guard: guard.clone() },
        get: app::get_event::GetEvent { db: db.clone(), guard: guard.clone() },
        export: app::export_log::ExportLog {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            sign: sign.clone(),
            places: Places::new(Most { of_a_principal: 4, of_a_tenant: 8, of_all: 24 }),
        },
        watch: app::watch_events::WatchEvents {
            db: db.clone(),
            guard: guard.clone(),
            places: Places::new(Most { of_a_principal: 16, of_a_tenant: 48, of_all: 144 }),
        },
        erase: app::erase_subject::EraseSubject {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
        },
    };
    let tree = api::log::Log {
        read: app::read_tree::ReadTree { db: db.clone(), guard: guard.clone() },
        prove: app::prove::Prove { db: db.clone(), guard: guard.clone() },
        segments: app::segments::Segments {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            retention,
        },
    };
    let alerts = alerts(&db, &audit, guard);
    let holder = format!("audit-{}", RequestId::random()?);
    let evaluate = app::alerts::evaluate::Evaluate {
        db: db.clone(),
        zones: adapters::zones::Zones::new(outbound.clone()),
        holder: holder.clone(),
        gauges: app::alerts::evaluate::Gauges::new(),
    };
    let tell = app::alerts::tell::Tell { db: db.clone(), notices: Notices::new(outbound), holder };
    let readiness = {
        let db = db.clone();
        Readiness::new(move || {
            let db = db.clone();
            async move { db.ready().await.map_err(|_| "the audit database does not answer") }
        })
    };
    let routes = tonic::service::Routes::new(readiness)
        .add_service(AuditIntakeServiceServer::new(intake))
        .add_service(AuditServiceServer::new(events))
        .add_service(AuditLogServiceServer::new(tree))
        .add_service(AuditAlertServiceServer::new(alerts));
    let close = app::close_interrupted::CloseInterrupted { db: db.clone(), log };
    let mut tasks = forwarding.tasks(&db, &stop);
    let own: [Task; 5] = [
        Box::pin(close.run(stop.clone())),
        Box::pin(sign.run(stop.clone())),
        Box::pin(evaluate.run(stop.clone())),
        Box::pin(tell.run(stop.clone())),
        Box::pin(audit.drain(db, stop)),
    ];
    tasks.extend(own);
    Ok(Assembled { routes, tasks })
}

fn alerts(db: &Db, audit: &Audit, guard: Guard) -> api::alerts::Alerts {
    use app::alerts::{acknowledge, list, rules, set_rule};
    api::alerts::Alerts {
        list: list::ListAlerts { db: db.clone(), guard: guard.clone() },
        acknowledge: acknowledge::AcknowledgeAlert {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
        },
        rules: rules::ListRules { db: db.clone(), guard: guard.clone() },
        set: set_rule::SetRule { db: db.clone(), audit: audit.clone(), guard: guard.clone() },
        delete: rules::DeleteRule { db: db.clone(), audit: audit.clone(), guard },
    }
}
