//! What is measured: exposed keys, rotations by their outcome, the time from a revocation to the proof that a host
//! refuses its keys. Where no OTLP endpoint is given, the measurements go nowhere.
//!
//! Every replica reports the same state of the same database: take the maximum over replicas, not the sum. Only
//! `keywright_revocation_seconds` is each replica's own.

use crate::model::ExposureKind;
use crate::store;
use keywright_domain::clock::Instant;
use keywright_runtime::failure::Failure;
use keywright_runtime::metrics::{Gauge, record_seconds};
use keywright_storage::Db;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(5);
/// Seconds: from a host that is there to one that comes back after days.
const BOUNDS: [f64; 12] =
    [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0];

/// A host was proven to refuse the revoked keys.
pub fn proven_refused(revoked_at: Instant, proven_at: Instant) {
    let micros = u64::try_from(proven_at.micros().saturating_sub(revoked_at.micros())).unwrap_or_default();
    let what = "From a revocation to the proof that a host refuses its keys";
    record_seconds("keywright_revocation_seconds", what, &BOUNDS, Duration::from_micros(micros));
}

/// What is so now, again and again until `stop`.
pub struct Sampler {
    pub db: Db,
    exposed: Gauge,
    longest: Gauge,
    rotations: Gauge,
}

impl Sampler {
    pub fn new(db: Db) -> Self {
        Self {
            db,
            exposed: Gauge::new(
                "keywright_exposed_keys",
                "Keys on hosts that must not work and are not proven refused (kind)",
            ),
            longest: Gauge::new(
                "keywright_exposure_seconds_max",
                "How long the longest exposed of them is exposed (kind)",
            ),
            rotations: Gauge::new("keywright_rotations", "Rotations so far by where they stand (outcome)"),
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
        let exposed = store::overview::exposed_by_kind(&mut reader, now).await?;
        let outcomes = store::overview::outcomes(&mut reader).await?;
        drop(reader);
        // A kind of which there is none any more is none, and not what it was last.
        for kind in ExposureKind::ALL {
            let found = exposed.iter().find(|(found, ..)| *found == kind);
            let (count, longest) =
                found.map_or((0, 0), |(_, count, since)| (*count, now.secs().saturating_sub(since.secs())));
            self.exposed.record_of("kind", kind.label().to_owned(), count);
            let longest = u64::try_from(longest).unwrap_or_default();
            self.longest.record_of("kind", kind.label().to_owned(), longest);
        }
        for (state, count) in outcomes {
            self.rotations.record_of("outcome", state.to_lowercase(), count);
        }
        Ok(())
    }
}
