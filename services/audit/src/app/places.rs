//! How many streams of the log (watches, exports) are open at once in this process: each reads again and again, from the
//! connections that appends need.

use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When to try again: streams end when their clients do.
const SOON: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Places {
    /// Of one principal.
    each: usize,
    /// Of all of them.
    all: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// One of them, until it is dropped.
pub struct Place {
    of: Places,
    principal: String,
}

impl Places {
    pub fn new(each: usize, all: usize) -> Self {
        Self { each, all, taken: Arc::default() }
    }

    pub fn take(&self, principal: &str) -> Result<Place, Failure> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |what: String| Err(Failure::new(Reason::RateLimited, what).after(SOON));
        if taken.get(principal).is_some_and(|own| *own >= self.each) {
            return refused(format!("You have {} of these open: end one first.", self.each));
        }
        if taken.values().sum::<usize>() >= self.all {
            return refused(format!("{} of these are open, as many as there may be.", self.all));
        }
        let own = taken.entry(principal.to_owned()).or_default();
        *own = own.saturating_add(1);
        Ok(Place { of: self.clone(), principal: principal.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.principal) {
            Some(own) if *own > 1 => *own = own.saturating_sub(1),
            _ => drop(taken.remove(&self.principal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_principal_leaves_places_for_others_and_a_place_comes_back() {
        let places = Places::new(2, 3);
        let first = places.take("prn_a").unwrap();
        let _second = places.take("prn_a").unwrap();
        assert_eq!(places.take("prn_a").err().unwrap().reason, Reason::RateLimited);
        let _other = places.take("prn_b").unwrap();
        assert_eq!(places.take("prn_c").err().unwrap().reason, Reason::RateLimited, "all are taken");
        drop(first);
        let _again = places.take("prn_c").unwrap();
    }
}
