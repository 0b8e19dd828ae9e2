//! How often somebody may do something: a bucket a key, in memory. A brake, not a record: it starts full.
//!
//! Invariant: the memory is bounded. When it is full, keys that are not in it share one bucket, so that a crowd of new
//! keys pushes nobody out.

use crate::failure::Failure;
use keywright_domain::clock::{Clock, Instant};
use keywright_domain::reason::Reason;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Keys remembered.
const KEYS: usize = 20_000;

/// So many at once, and as many again in every `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub burst: u32,
    pub per: Duration,
}

impl Quota {
    pub const fn per_minute(burst: u32) -> Self {
        Self { burst, per: Duration::from_secs(60) }
    }

    /// The time that one costs.
    fn cost(self) -> Duration {
        self.per / self.burst.max(1)
    }
}

/// The buckets of one limit. A key's instant says when its bucket is full again.
#[derive(Debug)]
pub struct Rate {
    quota: Quota,
    clock: Clock,
    full_at: Mutex<HashMap<String, Instant>>,
}

impl Rate {
    pub fn new(quota: Quota, clock: Clock) -> Self {
        Self { quota, clock, full_at: Mutex::new(HashMap::new()) }
    }

    /// Takes one out of the bucket of `key`, or refuses with RATE_LIMITED and the time until there is one again.
    /// `what` names the limit, for example "Too many wrong codes from your address."
    pub fn take(&self, key: &str, what: &str) -> Result<(), Failure> {
        let now = self.clock.now();
        let mut buckets = self.buckets();
        let next = self.next(&buckets, key, now, what)?;
        let key = Self::slot(&mut buckets, key, now);
        buckets.insert(key, next);
        Ok(())
    }

    /// Whether one could be taken: for a limit on failures alone, which [`take`](Self::take) counts.
    pub fn look(&self, key: &str, what: &str) -> Result<(), Failure> {
        self.next(&self.buckets(), key, self.clock.now(), what).map(drop)
    }

    fn next(
        &self,
        buckets: &HashMap<String, Instant>,
        key: &str,
        now: Instant,
        what: &str,
    ) -> Result<Instant, Failure> {
        let known = buckets.get(key).or_else(|| if buckets.len() < KEYS { None } else { buckets.get("") });
        let latest = now.plus(self.quota.per);
        // No bucket takes longer to fill: that one was counted before the clock went back.
        let known = known.copied().filter(|full_at| *full_at <= latest);
        let next = known.unwrap_or(now).max(now).plus(self.quota.cost());
        if next <= latest {
            return Ok(next);
        }
        let wait = u64::try_from(next.micros().saturating_sub(latest.micros())).unwrap_or_default();
        Err(Failure::new(Reason::RateLimited, what).after(Duration::from_micros(wait)))
    }

    /// The key to count under; full buckets are forgotten where room is short.
    fn slot(buckets: &mut HashMap<String, Instant>, key: &str, now: Instant) -> String {
        if buckets.len() >= KEYS && !buckets.contains_key(key) {
            buckets.retain(|_, full_at| *full_at > now);
            if buckets.len() >= KEYS {
                return String::new();
            }
        }
        key.to_owned()
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    fn rate(burst: u32) -> (Rate, Arc<AtomicI64>) {
        let time = Arc::new(AtomicI64::new(1_000_000_000));
        (Rate::new(Quota::per_minute(burst), Clock::Manual(time.clone())), time)
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out() {
        let (rate, time) = rate(6);
        rate.take("a", "Too many.").unwrap();
        time.fetch_sub(900_000_000, Ordering::Relaxed);
        for _ in 0..6 {
            rate.take("a", "Too many.").unwrap();
        }
        assert!(rate.take("a", "Too many.").is_err());
    }

    #[test]
    fn a_burst_is_given_and_then_one_at_a_time() {
        let (rate, time) = rate(6);
        for _ in 0..6 {
            rate.take("a", "Too many.").unwrap();
        }
        let refused = rate.take("a", "Too many.").unwrap_err();
        assert_eq!(refused.reason, Reason::RateLimited);
        assert_eq!(refused.retry_after, Some(Duration::from_secs(10)));
        rate.take("b", "Too many.").unwrap();
        time.fetch_add(10_000_000, Ordering::Relaxed);
        rate.look("a", "Too many.").unwrap();
        rate.take("a", "Too many.").unwrap();
        assert!(rate.look("a", "Too many.").is_err());
    }

    #[test]
    fn looking_costs_nothing() {
        let (rate, _) = rate(1);
        for _ in 0..3 {
            rate.look("a", "Too many.").unwrap();
        }
        rate.take("a", "Too many.").unwrap();
        assert!(rate.take("a", "Too many.").is_err());
    }

    #[test]
    fn a_crowd_of_keys_pushes_nobody_out() {
        let (rate, time) = rate(2);
        rate.take("victim", "Too many.").unwrap();
        rate.take("victim", "Too many.").unwrap();
        let refused = (0..KEYS + 10).filter(|n| rate.take(&n.to_string(), "Too many.").is_err()).count();
        assert!(refused > 0, "they share one bucket at last");
        assert!(rate.buckets().len() <= KEYS + 1);
        assert!(rate.take("victim", "Too many.").is_err());
        time.fetch_add(60_000_000, Ordering::Relaxed);
        rate.take("victim", "Too many.").unwrap();
        rate.take("somebody new", "Too many.").unwrap();
        assert!(rate.buckets().len() <= 2, "full buckets are forgotten");
    }
}
