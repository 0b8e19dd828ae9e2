//! Whether the gateway can work: `/readyz`, `grpc.health.v1`, and what it can do: gRPC reflection. All without a token.
//!
//! Invariant: the services are asked at most once a second, however often anybody asks here.

mod grpc;
mod reflection;

use crate::{
    body::{self, Body},
    ports::Readiness,
};
pub use grpc::Builtin;
use http::{Response, StatusCode};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

const FRESH: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// One service and what it said.
type Report = Vec<(&'static str, Result<String, String>)>;

/// A report and when it was made.
type Dated = (Instant, Arc<Report>);

/// The last report, asked for anew when it is old.
#[derive(Clone)]
pub struct Ready {
    ask: Readiness,
    /// How long a report is as good as new.
    fresh: Duration,
    /// How long the services may take to answer.
    patience: Duration,
    last: Arc<Mutex<Option<Dated>>>,
}

impl Ready {
    pub fn new(ask: Readiness) -> Self {
        Self { ask, fresh: FRESH, patience: PATIENCE, last: Arc::default() }
    }

    pub async fn report(&self) -> Arc<Report> {
        // Held while asking: the others wait for the same answer.
        let mut last = self.last.lock().await;
        if let Some((at, report)) = last.as_ref()
            && at.elapsed() < self.fresh
        {
            return report.clone();
        }
        let report = match timeout(self.patience, (self.ask)()).await {
            Ok(report) => report,
            Err(_) => vec![("gateway", Err("the services did not answer in time".to_owned()))],
        };
        let report = Arc::new(report);
        *last = Some((Instant::now(), report.clone()));
        report
    }

    /// The answer of `/readyz`.
    pub async fn answer(&self) -> Response<Body> {
        let report = self.report().await;
        let services: Vec<_> = report
            .iter()
            .map(|(name, state)| match state {
                Ok(note) if note.is_empty() => serde_json::json!({ "name": name, "ready": true }),
                Ok(note) => serde_json::json!({ "name": name, "ready": true, "message": note }),
                Err(why) => serde_json::json!({ "name": name, "ready": false, "message": why }),
            })
            .collect();
        let ready = report.iter().all(|(_, state)| state.is_ok());
        let (status, word) =
            if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
        body::json(status, &serde_json::json!({ "status": word, "services": services }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_fresh_report_is_kept_and_nobody_is_waited_for_longer_than_said() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let mut ready = Ready::new(Arc::new(move || {
            let n = count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                if n == 1 {
                    std::future::pending::<()>().await;
                }
                vec![("audit", Ok(String::new()))]
            })
        }));
        ready.fresh = Duration::MAX;
        assert_eq!(ready.answer().await.status(), 200);
        assert_eq!(ready.answer().await.status(), 200);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        (ready.fresh, ready.patience) = (Duration::ZERO, Duration::from_millis(1));
        assert_eq!(ready.answer().await.status(), 503);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
}
