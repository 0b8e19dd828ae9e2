//! How long each stage took, over all servers that passed it.

use crate::report::{Check, CheckName, CheckStatus};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The stages that take a server's time.
const STAGES: [CheckName; 6] = [
    CheckName::Dns,
    CheckName::Tcp,
    CheckName::Handshake,
    CheckName::Authentication,
    CheckName::Session,
    CheckName::Runtime,
];

/// In milliseconds, by the nearest rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    pub check: CheckName,
    pub p50: i32,
    pub p90: i32,
    pub p99: i32,
    pub max: i32,
}

/// What the reports show, one after the other.
#[derive(Debug, Default)]
pub struct Latencies {
    taken: BTreeMap<usize, Vec<i32>>,
}

impl Latencies {
    pub fn add(&mut self, checks: &[Check]) {
        for (number, stage) in STAGES.iter().enumerate() {
            let passed = checks.iter().find(|it| it.name == *stage && it.status == CheckStatus::Passed);
            self.taken.entry(number).or_default().extend(passed.map(|check| check.duration_ms));
        }
    }

    pub fn finish(self) -> Vec<Latency> {
        let stages = self.taken.into_iter().filter(|(_, taken)| !taken.is_empty());
        stages.filter_map(|(number, taken)| Some(percentiles(*STAGES.get(number)?, taken))).collect()
    }
}

fn percentiles(check: CheckName, mut taken: Vec<i32>) -> Latency {
    taken.sort_unstable();
    let rank = |percent: usize| {
        let rank = taken.len().saturating_mul(percent).div_ceil(100);
        taken.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    };
    Latency { check, p50: rank(50), p90: rank(90), p99: rank(99), max: rank(100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let latency = percentiles(CheckName::Tcp, (1..=200).rev().collect());
        assert_eq!((latency.p50, latency.p90, latency.p99, latency.max), (100, 180, 198, 200));
        let one = percentiles(CheckName::Tcp, vec![7]);
        assert_eq!((one.p50, one.p99, one.max), (7, 7, 7));
    }

    #[test]
    fn only_what_was_passed_counts() {
        let check = |name, status, duration_ms| Check {
            name,
            status,
            code: String::new(),
            message: String::new(),
            remedy: String::new(),
            duration_ms,
            metadata: BTreeMap::new(),
        };
        let mut latencies = Latencies::default();
        latencies.add(&[
            check(CheckName::Dns, CheckStatus::Passed, 3),
            check(CheckName::Tcp, CheckStatus::Failed, 9),
        ]);
        latencies.add(&[
            check(CheckName::Dns, CheckStatus::Passed, 5),
            check(CheckName::Key, CheckStatus::Passed, 9),
        ]);
        let told: Vec<_> = latencies.finish().into_iter().map(|it| (it.check, it.p50, it.max)).collect();
        assert_eq!(told, [(CheckName::Dns, 3, 5)]);
    }
}
