//! What is measured: exposed keys, rotations by their outcome, the time from a revocation to the proof that a host
//! refuses its keys. Where no OTLP endpoint is given, the measurements go nowhere.
//!
//! Every replica reports the same state of the same database: take the maximum over replicas, not the sum. Only
//! `keywright_revocation_seconds` is each replica's own.

use crate::store;
use keywright_domain::clock::Instant;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use opentelemetry::metrics::Gauge;
use opentelemetry::{KeyValue, global};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(5);
/// Seconds: from a host that is there to one that comes back after days.
const BOUNDS: [f64; 12] =
    [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];

/// A host was proven to refuse the revoked keys.
pub fn proven_refused(revoked_at: Instant, proven_at: Instant) {
    let micros = u64::try_from(proven_at.micros().saturating_sub(revoked_at.micros())).unwrap_or_default();
    let histogram = global::meter("keywright")
        .f64_histogram("keywright_revocation_seconds")
        .with_description("From a revocation to the proof that a host refuses its keys")
        .with_unit("s")
        .with_boundaries(BOUNDS.to_vec())
        .build();
    histogram.record(Duration::from_micros(micros).as_secs_f64(), &[]);
}

/// What is so now, again and again until `stop`.
pub struct Sampler {
    pub db: Db,
    exposed: Gauge<u64>,
    longest: Gauge<u64>,
    rotations: Gauge<u64>,
}

impl Sampler {
    pub fn new(db: Db) -> Self {
        let meter = global::meter("keywright");
        let gauge =
            |name: &'static str, what: &'static str| meter.u64_gauge(name).with_description(what).build();
        Self {
            db,
            exposed: gauge(
                "keywright_exposed_keys",
                "Keys on hosts that must not work and are not proven refused",
            ),
            longest: gauge(
                "keywright_exposure_seconds_max",
                "How long the longest exposed of them is exposed",
            ),
            rotations: gauge("keywright_rotations", "Rotations so far by where they stand (outcome)"),
        }
    }

    pub async fn run(self, stop: CancellationToken) {
        loop {
            if let Err(failure) = self.sample().await {
                tracing::debug!(reason = failure.reason.as_str(), "nothing was measured");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn sample(&self) -> Result<(), Failure> {
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let (exposed, since) = store::overview::exposed_in_all(&mut reader, now).await?;
        let outcomes = store::overview::outcomes(&mut reader).await?;
        drop(reader);
        let longest = since.map_or(0, |since| now.secs().saturating_sub(since.secs()));
        self.exposed.record(exposed, &[]);
        self.longest.record(u64::try_from(longest).unwrap_or_default(), &[]);
        for (state, count) in outcomes {
            self.rotations.record(count, &[KeyValue::new("outcome", state.to_lowercase())]);
        }
        Ok(())
    }
}
