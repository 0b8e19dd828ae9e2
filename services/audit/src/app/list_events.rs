//! Lists events, newest first: all for operators and auditors of the platform, a tenant's own for its owners and
//! admins.
//!
//! A page is driven by the index that leads to the fewest events nearby; the rest of the filter is asked of those.
//! Invariant: a page looks at a limited number of events, whatever it finds; the next one goes on where it stopped.

use crate::store::event::{Event, Filter};
use crate::store::mention::LONGEST;
use crate::store::search::{self, Range, Way};
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::Page;
use keywright_storage::{Db, Error};
use std::time::Duration;
use tokio::time::Instant as Started;

/// How many events one page looks at.
const MOST: usize = 100_000;
/// The same where a text is looked for, for which each has to be read whole.
const MOST_READ: usize = 20_000;
/// After so long a page ends where it is, so that a slow disk makes shorter pages and no longer waits.
const PATIENCE: Duration = Duration::from_millis(700);
/// How many are asked about at once.
const STEP: usize = 1_000;

pub struct ListEvents {
    pub db: Db,
    pub guard: Guard,
}

impl ListEvents {
    pub async fn run(
        &self,
        caller: &Caller,
        mut filter: Filter,
        size: i32,
        token: &str,
    ) -> Result<(Vec<Event>, String), Failure> {
        authorize(&self.guard, caller, &mut filter).await?;
        let page = Page::parse(size, token, &format!("{filter:?}"))?;
        let (before, _) = page.key();
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        let (events, next) = newest(&self.db, &filter, before, size).await?;
        let next = next.map(|before| page.token(Instant::from_micros(before), ""));
        Ok((events, next.unwrap_or_default()))
    }
}

/// Whose events the caller may read with this filter: a tenant's people see their tenant's alone.
pub async fn authorize(guard: &Guard, caller: &Caller, filter: &mut Filter) -> Result<(), Failure> {
    super::scope(guard, caller, "audit.read", &mut filter.tenant).await?;
    let fields = [
        ("actor", &filter.actor),
        ("action", &filter.action),
        ("target", &filter.target),
        ("text", &filter.text),
    ];
    for (name, value) in fields {
        if value.len() > LONGEST || value.chars().any(char::is_control) {
            return Err(Failure::violation(name, "must have at most 200 bytes and no control characters"));
        }
    }
    Ok(())
}

/// At most `size` events before a position, newest first, and the position before which the next ones are; none at the
/// end.
pub async fn newest(
    db: &Db,
    filter: &Filter,
    before: i64,
    size: usize,
) -> Result<(Vec<Event>, Option<i64>), Error> {
    let mut range = search::range(db, filter.from, filter.until, before).await?;
    let ways = ways(filter);
    let is_read = !filter.text.is_empty();
    let most = if is_read { MOST_READ } else { MOST };
    let (mut events, mut looked_at, started) = (Vec::new(), 0usize, Started::now());
    while looked_at == 0 || (looked_at < most && started.elapsed() < PATIENCE) {
        let wanted = size.saturating_add(1);
        // Mostly the page is full with the first look.
        let step = if looked_at == 0 { wanted } else { STEP };
        let positions = rarest(db, &ways, range, step).await?;
        let limit = if is_read { positions.len() } else { wanted.saturating_sub(events.len()) };
        let found = search::at(db, filter, &positions, count(limit)).await?;
        events.extend(found.into_iter().filter(|event| !is_read || event.holds(&filter.text)));
        if events.len() > size {
            events.truncate(size);
            let next = events.last().map(|event| event.seq);
            return Ok((events, next));
        }
        match positions.last() {
            Some(last) if positions.len() >= step => range.before = *last,
            _ => return Ok((events, None)),
        }
        looked_at = looked_at.saturating_add(positions.len());
    }
    Ok((events, Some(range.before)))
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The indexes that lead to whatever the filter lets through.
fn ways(filter: &Filter) -> Vec<Way<'_>> {
    let ways = [
        (Way::Actor(&filter.actor), &filter.actor),
        (Way::Target(&filter.target), &filter.target),
        (Way::Tenant(&filter.tenant), &filter.tenant),
        (Way::Action(&filter.action), &filter.action),
        (Way::Outcome(&filter.outcome), &filter.outcome),
    ];
    let mut ways: Vec<Way<'_>> =
        ways.into_iter().filter(|(_, value)| !value.is_empty()).map(|(way, _)| way).collect();
    if ways.is_empty() {
        ways.push(Way::Position);
    }
    ways
}

/// The next `step` positions by the way whose events are rarest here: it ends first, or reaches furthest back.
async fn rarest(db: &Db, ways: &[Way<'_>], range: Range, step: usize) -> Result<Vec<i64>, Error> {
    let mut rarest: Option<Vec<i64>> = None;
    for way in ways {
        let positions = search::positions(db, *way, range, count(step)).await?;
        if positions.len() < step {
            return Ok(positions);
        }
        if rarest.as_ref().is_none_or(|best| positions.last() < best.last()) {
            rarest = Some(positions);
        }
    }
    Ok(rarest.unwrap_or_default())
}
