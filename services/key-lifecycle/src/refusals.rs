//! Offers of keys, with time between them: sshd (PerSourcePenalties) counts each that ends without a login, whether the key
//! would have been accepted or not, and programs like fail2ban count the refused ones, by the address they come from; they
//! would soon let nobody of us in any more.
//!
//! Invariant: turns stand in the database, so that any number of works and replicas keep to them together. Whoever comes
//! too early is told his turn, which is his from then on.

use crate::adapters::probe::Probe;
use crate::model::Receipt;
use crate::rotation::plan;
use crate::store;
use keywright_domain::account::AccountName;
#[cfg(test)]
use keywright_domain::clock::Clock;
use keywright_domain::clock::Instant;
use keywright_domain::ids::ServerId;
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;
use std::time::Duration;

/// Of two offers to one host, beyond the first two. sshd adds five seconds for an attempt, lets them pass
/// by, and shuts an address out from fifteen on: two at once and one of these apart never get there.
pub const SPACING: Duration = Duration::from_secs(6);
/// Nobody is given a turn that is further away.
const FURTHEST: Duration = Duration::from_secs(240);
const TURN: &str = "turnAtMicros";

#[derive(Clone)]
pub struct Refusals {
    pub db: Db,
    pub probe: Probe,
    pub spacing: Duration,
    #[cfg(test)]
    pub clock: Clock,
}

/// Who asks, and whether the turn that he was given before has come with this.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub work: &'a str,
    pub has_turn: bool,
}

impl Refusals {
    /// RATE_LIMITED with its turn (`turn_of`), where it is too early; nothing was asked then.
    pub async fn offer(
        &self,
        asking: Asking<'_>,
        server: &ServerId,
        account: &AccountName,
        key: &PublicKey,
    ) -> Result<Receipt, Failure> {
        self.wait(asking, server).await?;
        self.probe.offer(asking.work, server, account, key).await
    }

    /// The same for a work that records no turn: it is waited for here, under the lease of whoever is at it.
    /// REQUEST_IN_PROGRESS where it would be too far away.
    pub async fn offer_in_turn(
        &self,
        work: &str,
        server: &ServerId,
        account: &AccountName,
        key: &PublicKey,
    ) -> Result<Receipt, Failure> {
        if let Err(early) = self.wait(Asking { work, has_turn: false }, server).await {
            let Some(turn) = turn_of(&early) else { return Err(early) };
            self.rest(turn).await?;
        }
        self.probe.offer(work, server, account, key).await
    }

    /// The same turn, for whoever has something to do between it and the offer.
    pub async fn wait(&self, asking: Asking<'_>, server: &ServerId) -> Result<(), Failure> {
        if !asking.has_turn && !self.spacing.is_zero() {
            self.db.serialized(|| self.take_turn(server)).await?;
        }
        Ok(())
    }

    async fn rest(&self, until: Instant) -> Result<(), Failure> {
        // A clock that a test moves goes on by this.
        #[cfg(test)]
        if let Clock::Manual(micros) = &self.clock {
            micros.fetch_max(until.micros(), std::sync::atomic::Ordering::SeqCst);
            return Ok(());
        }
        let left = until.micros().saturating_sub(self.db.now().await?.micros());
        tokio::time::sleep(Duration::from_micros(u64::try_from(left).unwrap_or(0))).await;
        Ok(())
    }

    async fn take_turn(&self, server: &ServerId) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("a turn to offer a key").await?;
        let next = store::offer_turn::find(tx.conn(), server).await?;
        let now = tx.now();
        let Some((turn, next)) = turn(next, now, self.spacing) else {
            let what = "Many keys wait for their turn to be offered to the server.";
            return Err(Failure::new(Reason::RequestInProgress, what).into());
        };
        store::offer_turn::set(&mut tx, server, next).await?;
        tx.commit().await?;
        if turn > now {
            let what = "The key waits for its turn to be offered to the server.";
            let failure = Failure::new(Reason::RateLimited, what).with(TURN, turn.micros().to_string());
            return Err(failure.into());
        }
        Ok(())
    }
}

/// The turn that was given with this failure.
pub fn turn_of(failure: &Failure) -> Option<Instant> {
    failure.metadata.get(TURN)?.parse().ok().map(Instant::from_micros)
}

/// Whether what is recorded as the reason says that a turn was given.
pub fn has_turn(reason: &str) -> bool {
    reason == Reason::RateLimited.as_str()
}

/// Pure: the next free turn, and what is free after it. None where it would be too far away.
fn turn(next: Option<Instant>, now: Instant, spacing: Duration) -> Option<(Instant, Instant)> {
    // What is further away than any turn was given before the clock went back.
    let given = next.filter(|next| *next <= now.plus(plan::LONGEST_PAUSE));
    let free = given.map_or(now, |next| next.max(now));
    let turn = free.minus(spacing).max(now);
    (turn <= now.plus(FURTHEST)).then(|| (turn, free.plus(spacing)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Instant {
        Instant::from_secs(1_000_000 + secs)
    }

    #[test]
    fn two_go_at_once_and_the_others_one_after_the_other() {
        let (mut next, mut turns) = (None, Vec::new());
        for _ in 0..4 {
            let (turn, free) = turn(next, at(0), SPACING).unwrap();
            next = Some(free);
            turns.push(turn);
        }
        assert_eq!(turns, [at(0), at(0), at(6), at(12)]);
        assert_eq!(turn(next, at(60), SPACING).unwrap().0, at(60), "what was given long ago counts no more");
    }

    #[test]
    fn the_penalties_of_sshd_never_add_up_to_what_shuts_us_out() {
        let (mut next, mut penalty, mut last) = (None, 0i64, at(0));
        for _ in 0..30 {
            let Some((turn, free)) = turn(next, at(0), SPACING) else { break };
            next = Some(free);
            penalty = (penalty - (turn.secs() - last.secs())).max(0) + 5;
            last = turn;
            assert!(penalty < 15, "{penalty} at {turn:?}");
        }
    }

    #[test]
    fn none_is_given_for_a_time_that_counts_as_past() {
        let mut next = None;
        let given: Vec<Instant> = std::iter::from_fn(|| {
            let (turn, free) = turn(next, at(0), SPACING)?;
            next = Some(free);
            Some(turn)
        })
        .take(1_000)
        .collect();
        assert!(given.len() < 1_000 && given.iter().all(|turn| *turn <= at(0).plus(plan::LONGEST_PAUSE)));
        assert_eq!(turn(Some(at(9_999)), at(0), SPACING).unwrap().0, at(0), "the clock went back");
    }
}
