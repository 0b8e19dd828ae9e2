//! Forwards events to one destination: a record when the intent was recorded, another when the outcome was.

use super::hand_on::Unsent;
use crate::adapters::destination::Destination;
use crate::store::{cursor, record};
use keywright_domain::clock::Instant;
use keywright_storage::Db;

/// Records of one portion, and about how many bytes they are together.
const MOST: i64 = 200;
const LARGEST: usize = 1 << 20;

pub struct Forward {
    /// Of its cursor and its lease: the destination without what may be a secret.
    pub name: String,
    pub destination: Destination,
}

impl Forward {
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

    /// After so many failures in a row a portion is half as large for each: a receiver that takes no large one takes a
    /// small one, and in the end it is told which record it refuses.
    pub async fn step(&self, db: &Db, now: Instant, failures: usize) -> Result<Vec<(String, i64)>, Unsent> {
        let (next, _) = cursor::find(db, &self.name).await?.unwrap_or_default();
        let most = MOST.checked_shr(u32::try_from(failures).unwrap_or(u32::MAX)).unwrap_or(0).max(1);
        let mut records = record::from(db, next, most).await?;
        let mut bytes: usize = 0;
        let fits = records.iter().take_while(|record| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(record.size());
            is_first || bytes <= LARGEST
        });
        let count = fits.count();
        records.truncate(count);
        let Some(last) = records.last() else { return Ok(Vec::new()) };
        if let Err(why) = self.destination.send(&records, now).await {
            if let [record] = records.as_slice() {
                tracing::warn!(
                    place = self.name,
                    sequence = record.sequence,
                    "this record by itself was not taken"
                );
            }
            return Err(Unsent::Refused(why));
        }
        Ok(vec![(self.name.clone(), last.position.saturating_add(1))])
    }
}
