//! What a seed draws; it is printed, and `KEYWRIGHT_FAULTS_SEED` draws the same again.

const SEED: &str = "KEYWRIGHT_FAULTS_SEED";

#[derive(Debug)]
pub struct Drawn(u64);

impl Drawn {
    #[expect(clippy::new_without_default, reason = "it prints")]
    pub fn new() -> Self {
        let named = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        let seed = named.unwrap_or_else(|| u64::from(std::process::id()));
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
}
