//! The audit log: two leaves an operation, intent before the effect and outcome after it; append-only and in order.
//!
//! `leaf` is the committed form, `store` the tables, `app` the use cases (`append` the one way in), `api` the gRPC services,
//! `journal` what the server's own commands write.
//! Invariant: a leaf, once written, is never changed; clear values of persons stand beside the log, not in it.

mod api;
mod app;
mod journal;
mod store;
#[cfg(test)]
mod tests;

use keywright_proto::audit::audit_intake_service_server::AuditIntakeServiceServer;
use keywright_proto::audit::audit_service_server::AuditServiceServer;
use keywright_runtime::audit::{Audit, Guard};
use keywright_runtime::serve::{Assembled, Readiness};
use keywright_storage::Db;
use tokio_util::sync::CancellationToken;

pub use journal::{Head, Journal};

pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// What the service needs.
pub struct Parts {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub stop: CancellationToken,
}

pub fn build(parts: Parts) -> Assembled {
    let Parts { db, audit, guard, stop } = parts;
    let log = app::append::Appender::new(db.clone());
    let intake = api::intake::Intake {
        record_intent: app::record_intent::RecordIntent { log: log.clone() },
        record_outcomes: app::record_outcomes::RecordOutcomes { log: log.clone() },
    };
    let events = api::events::Events {
        list: app::list_events::ListEvents { db: db.clone(), guard: guard.clone() },
        get: app::get_event::GetEvent { db: db.clone(), guard: guard.clone() },
        watch: app::watch_events::WatchEvents { db: db.clone(), guard: guard.clone() },
        erase: app::erase_subject::EraseSubject { db: db.clone(), audit: audit.clone(), guard },
    };
    let readiness = {
        let db = db.clone();
        Readiness::new(move || {
            let db = db.clone();
            async move { db.ready().await.map_err(|_| "the audit database does not answer") }
        })
    };
    let routes = tonic::service::Routes::new(readiness)
        .add_service(AuditIntakeServiceServer::new(intake))
        .add_service(AuditServiceServer::new(events));
    let close = app::close_interrupted::CloseInterrupted { db: db.clone(), log };
    let drain = audit.drain(db, stop.clone());
    Assembled { routes, tasks: vec![Box::pin(close.run(stop)), Box::pin(drain)] }
}
