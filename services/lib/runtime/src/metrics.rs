//! Measurements, to wherever telemetry goes; without an OTLP endpoint they go nowhere.

use opentelemetry::{KeyValue, global, metrics};
use std::time::Duration;

const METER: &str = "keywright";

/// What is so now, as a number.
#[derive(Clone)]
pub struct Gauge(metrics::Gauge<u64>);

impl Gauge {
    pub fn new(name: &'static str, description: &'static str) -> Self {
        Self(global::meter(METER).u64_gauge(name).with_description(description).build())
    }

    pub fn record(&self, value: u64) {
        self.0.record(value, &[]);
    }

    /// One of several numbers, told apart by a label.
    pub fn record_of(&self, label: &'static str, of: String, value: u64) {
        self.0.record(value, &[KeyValue::new(label, of)]);
    }
}

/// Adds one duration to a histogram of seconds with these bounds.
pub fn record_seconds(name: &'static str, description: &'static str, bounds: &[f64], took: Duration) {
    let histogram = global::meter(METER)
        .f64_histogram(name)
        .with_description(description)
        .with_unit("s")
        .with_boundaries(bounds.to_vec())
        .build();
    histogram.record(took.as_secs_f64(), &[]);
}
