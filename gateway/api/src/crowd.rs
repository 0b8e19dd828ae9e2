//! How many connections one source holds: beyond its share, a new one is closed before anything is read from it.

use keywright_runtime::quota::source_of;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone)]
pub struct Crowd {
    most: usize,
    seats: Arc<Mutex<HashMap<String, usize>>>,
}

/// One connection's place, for as long as it is held.
pub struct Seat {
    crowd: Crowd,
    source: String,
}

impl Crowd {
    pub fn new(most: usize) -> Self {
        Self { most, seats: Arc::default() }
    }

    /// A place for one more connection from `address`; none where the source holds its share.
    pub fn seat(&self, address: IpAddr) -> Option<Seat> {
        let source = source_of(address);
        let mut seats = self.seats();
        let held = seats.entry(source.clone()).or_default();
        if *held >= self.most {
            return None;
        }
        *held = held.saturating_add(1);
        Some(Seat { crowd: self.clone(), source })
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.crowd.seats();
        if let Some(held) = seats.get_mut(&self.source) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                seats.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_gets_its_share_and_gives_it_back() {
        let crowd = Crowd::new(2);
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = crowd.seat(one);
        let second = crowd.seat(one);
        assert!(first.is_some() && second.is_some() && crowd.seat(one).is_none());
        assert!(crowd.seat(other).is_some());
        drop(first);
        assert!(crowd.seat(one).is_some());
        drop(second);
        assert!(crowd.seats().is_empty(), "nobody is remembered who holds nothing");
    }
}
