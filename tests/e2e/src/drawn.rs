//! A few of many cases, by a seed that is printed: `KEYWRIGHT_FAULTS_SEED` draws them again.

const SEED: &str = "KEYWRIGHT_FAULTS_SEED";

/// So many, in their own order, none twice.
pub fn drawn<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    let named = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let mut seed = named.unwrap_or_else(|| u64::from(std::process::id()));
    println!("{SEED}={seed}");
    let mut left: Vec<usize> = (0..all.len()).collect();
    while left.len() > most {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(seed >> 33).unwrap() % left.len();
        left.remove(at);
    }
    left.into_iter().map(|at| all[at]).collect()
}
