//! What a seed draws; it is printed, and `KEYWRIGHT_FAULTS_SEED` draws the same again. `tests/run` always draws the same, so
//! that a change is judged by what it changes; `tests/run --full` draws anew.

use std::hash::{DefaultHasher, Hash, Hasher};

const SEED: &str = "KEYWRIGHT_FAULTS_SEED";
const OF_CI: u64 = 867_813_085;
/// One for all tests of a run, as nextest says it.
const RUN: &str = "NEXTEST_RUN_ID";

#[derive(Debug)]
pub struct Drawn(u64);

impl Drawn {
    #[expect(clippy::new_without_default, reason = "it prints")]
    pub fn new() -> Self {
        let named = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a number as the seed"));
        let full = std::env::var_os("KEYWRIGHT_TEST_FULL").is_some();
        let drawn = || if full { of_run() } else { OF_CI };
        let seed = named.unwrap_or_else(drawn);
        println!("{SEED}={seed}");
        Self(seed)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// So many of these, in their own order, each once.
    pub fn of<T: Clone>(&mut self, all: &[T], most: usize) -> Vec<T> {
        let mut left = all.to_vec();
        while left.len() > most {
            let at = self.below(u64::try_from(left.len()).unwrap());
            left.remove(usize::try_from(at).unwrap());
        }
        left
    }

    /// Dealt out: each to one hand, in their own order, all hands alike but for one.
    pub fn dealt<T>(&mut self, all: Vec<T>, hands: usize) -> Vec<Vec<T>> {
        let mut dealt: Vec<Vec<T>> = (0..hands).map(|_| Vec::new()).collect();
        let mut order: Vec<usize> = Vec::new();
        for one in all {
            if order.is_empty() {
                order = (0..hands).collect();
            }
            let at = self.below(u64::try_from(order.len()).unwrap());
            dealt[order.remove(usize::try_from(at).unwrap())].push(one);
        }
        dealt
    }
}

fn of_run() -> u64 {
    let Ok(run) = std::env::var(RUN) else { return u64::from(std::process::id()) };
    let mut hasher = DefaultHasher::new();
    run.hash(&mut hasher);
    hasher.finish() >> 33
}
