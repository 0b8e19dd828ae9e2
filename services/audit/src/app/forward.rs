//! Forwards events to one destination: a record when the intent was recorded, another when the outcome was.

use super::hand_on::Unsent;
use crate::adapters::destination::Destination;
use crate::store::{cursor, record};
use keywright_domain::clock::Instant;
use keywright_storage::Db;
use std::sync::atomic::{AtomicI64, Ordering};

/// Records of one portion, and about how many bytes they are together.
const MOST: i64 = 200;
const LARGEST: usize = 1 << 20;

pub struct Forward {
    /// Of its cursor and its lease: the destination without what may be a secret.
    pub name: String,
    pub destination: Destination,
    portion: AtomicI64,
}

impl Forward {
    pub fn new(name: String, destination: Destination) -> Self {
        Self { name, destination, portion: AtomicI64::new(MOST) }
    }

    /// A destination that is new begins at the log's end.
    pub async fn start(&self, db: &Db) -> Result<(), Unsent> {
        if cursor::find(db, &self.name).await?.is_none() {
            cursor::start_at_end(db, &self.name).await?;
        }
        Ok(())
    }

    pub async fn lag(&self, db: &Db) -> Result<u64, Unsent> {
        let (next, size) = cursor::find(db, &self.name).await?.unwrap_or_default();
        Ok(u64::try_from(size.saturating_sub(next)).unwrap_or_default())
    }

    /// What was not taken is half as large the next time, down to one record: a receiver that takes no large portion takes
    /// a small one. What was taken is followed by twice as much.
    pub async fn step(&self, db: &Db, now: Instant) -> Result<Vec<(String, i64)>, Unsent> {
        let (next, _) = cursor::find(db, &self.name).await?.unwrap_or_default();
        let portion = self.portion.load(Ordering::Relaxed);
        let mut records = record::from(db, next, portion).await?;
        let mut bytes: usize = 0;
        let fits = records.iter().take_while(|record| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(record.size());
            is_first || bytes <= LARGEST
        });
        let count = fits.count();
        records.truncate(count);
        let Some(last) = records.last() else { return Ok(Vec::new()) };
        // Before the answer: one that does not come at all is none either.
        self.portion.store((portion / 2).max(1), Ordering::Relaxed);
        self.destination.send(&records, now).await.map_err(Unsent::Refused)?;
        self.portion.store(portion.saturating_mul(2).min(MOST), Ordering::Relaxed);
        Ok(vec![(self.name.clone(), last.position.saturating_add(1))])
    }
}
