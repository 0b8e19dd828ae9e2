//! Medians, percentiles, spread; what the machine is.

use std::time::Duration;

/// Times of one operation, in milliseconds.
#[derive(Default)]
pub struct Series(Vec<f64>);

impl Series {
    pub fn add(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1e3);
    }

    /// Nearest rank.
    pub fn percentile(&self, at: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (at / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
    }
}

pub fn row(name: &str, series: &Series) {
    let [a, b, c, d] = [50.0, 90.0, 99.0, 100.0].map(|at| series.percentile(at));
    println!("{name:<42} {a:8.1} {b:8.1} {c:8.1} {d:8.1}");
}

/// `median (lowest to highest)` of one figure a round.
pub fn spread(values: impl Iterator<Item = f64>) -> String {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    format!("{median:8.3}  ({:.3} to {:.3})", sorted[0], sorted[sorted.len() - 1])
}

pub fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

/// Of the machine, over the last minute.
pub fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("unknown").to_owned()
}
