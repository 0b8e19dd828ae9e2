//! Follows the log: events in the order of their last entries, as they are now.
//!
//! An event whose intent is new is told, and told again when its outcome is; one that has ended by the time that it is
//! looked at is told once, where its outcome stands. So whoever goes on after the larger of the two positions of the last
//! event that he saw misses nothing.
//! Invariant: positions have no gap and are there in the order of commits, so nothing enters behind the place that was
//! looked at last.

use super::list_events::authorize;
use super::places::{Place, Places};
use crate::store::event::{Event, Filter};
use crate::store::log;
use crate::store::search::{self, Range};
use keywright_domain::caller::Caller;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use std::time::Duration;
use tokio::time::Instant;

/// How many positions are looked at together.
const STEP: i64 = 1_000;

/// How often it is asked whether the caller may go on.
const ASKED_EVERY: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct WatchEvents {
    pub db: Db,
    pub guard: Guard,
    pub places: Places,
}

/// A watch that runs.
pub struct Watch {
    of: WatchEvents,
    caller: Caller,
    filter: Filter,
    /// The next position.
    next: i64,
    asked: Instant,
    _place: Place,
}

impl WatchEvents {
    /// From the position `since` on, or from now on. The times of the filter are not asked.
    pub async fn run(
        &self,
        caller: &Caller,
        mut filter: Filter,
        since: Option<i64>,
    ) -> Result<Watch, Failure> {
        authorize(&self.guard, caller, &mut filter).await?;
        let place = self.places.take(&caller.principal)?;
        let next = match since {
            Some(since) if since < 0 => return Err(Failure::violation("since", "must not be negative")),
            Some(since) => since,
            None => log::head(&self.db).await?.0,
        };
        let (of, caller, asked) = (self.clone(), caller.clone(), Instant::now());
        Ok(Watch { of, caller, filter, next, asked, _place: place })
    }
}

impl Watch {
    /// What entered since the last look and passes the filter; nothing where that is all for now.
    pub async fn look(&mut self) -> Result<Vec<Event>, Failure> {
        loop {
            if self.asked.elapsed() >= ASKED_EVERY {
                authorize(&self.of.guard, &self.caller, &mut self.filter).await?;
                self.asked = Instant::now();
            }
            let (size, _) = log::head(&self.of.db).await?;
            if self.next >= size {
                return Ok(Vec::new());
            }
            let range = Range { from: self.next, before: size.min(self.next.saturating_add(STEP)) };
            let events = self.entered(range).await?;
            self.next = range.before;
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    async fn entered(&self, range: Range) -> Result<Vec<Event>, Failure> {
        let positions = search::entered(&self.of.db, range).await?;
        let mut events = search::at(&self.of.db, &self.filter, &positions, i64::MAX).await?;
        let last = |event: &Event| event.outcome_seq.unwrap_or(event.seq);
        // One that has ended meanwhile is told where its outcome stands.
        events.retain(|event| (range.from..range.before).contains(&last(event)));
        events.retain(|event| self.filter.text.is_empty() || event.holds(&self.filter.text));
        events.sort_by_key(last);
        Ok(events)
    }
}
