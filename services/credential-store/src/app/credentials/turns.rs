//! Whose turn it is where places are few: the tenants' one after the other, whatever one of them asks for.
//!
//! Invariants: never more than `AT_ONCE` places are taken in all, and one by one tenant; a tenant that waits and holds
//! none is served before any other is served twice; who gives up leaves no gap.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Key derivations cost up to seconds and hundreds of megabytes each. One tenant never holds both places.
const AT_ONCE: usize = 2;

/// More of one tenant are turned away at once.
const WAITING_OF_ONE: usize = 8;

#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    at_work: HashSet<String>,
    /// In the order of their turns; no queue is empty.
    waiting: VecDeque<(String, Queue)>,
}

type Queue = VecDeque<oneshot::Sender<Place>>;

/// Free again when dropped.
pub struct Place {
    turns: Turns,
    tenant: String,
}

/// Too many of this tenant wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Turns {
    /// Waits for a place; a caller that stops waiting loses its turn and nothing else.
    pub async fn place(&self, tenant: &str) -> Result<Place, Full> {
        let turn = self.line_up(tenant)?;
        self.serve();
        turn.await.map_err(|_| Full)
    }

    fn line_up(&self, tenant: &str) -> Result<oneshot::Receiver<Place>, Full> {
        let (sender, turn) = oneshot::channel();
        let mut state = self.state();
        match state.waiting.iter_mut().find(|(waiting, _)| waiting == tenant) {
            Some((_, queue)) => {
                queue.retain(|waiter| !waiter.is_closed());
                if queue.len() >= WAITING_OF_ONE {
                    return Err(Full);
                }
                queue.push_back(sender);
            }
            None => state.waiting.push_back((tenant.to_owned(), Queue::from([sender]))),
        }
        Ok(turn)
    }

    fn serve(&self) {
        while let Some((tenant, waiter)) = self.next() {
            // Who has gone meanwhile drops the place, and with that it is free again.
            drop(waiter.send(Place { turns: self.clone(), tenant }));
        }
    }

    /// The next to be served, its place taken already.
    fn next(&self) -> Option<(String, oneshot::Sender<Place>)> {
        let mut state = self.state();
        if state.at_work.len() >= AT_ONCE {
            return None;
        }
        for (_, queue) in &mut state.waiting {
            queue.retain(|waiter| !waiter.is_closed());
        }
        state.waiting.retain(|(_, queue)| !queue.is_empty());
        let first = state.waiting.iter().position(|(tenant, _)| !state.at_work.contains(tenant))?;
        let (tenant, mut queue) = state.waiting.remove(first)?;
        let waiter = queue.pop_front()?;
        if !queue.is_empty() {
            state.waiting.push_back((tenant.clone(), queue));
        }
        state.at_work.insert(tenant.clone());
        Some((tenant, waiter))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.turns.state().at_work.remove(&self.tenant);
        self.turns.serve();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::pin::Pin;

    struct Waiter {
        turn: Pin<Box<dyn Future<Output = Result<Place, Full>>>>,
        place: Option<Place>,
    }

    impl Waiter {
        /// True once it has its place.
        fn look(&mut self) -> bool {
            if self.place.is_none() {
                self.place = self.turn.as_mut().now_or_never().map(Result::unwrap);
            }
            self.place.is_some()
        }
    }

    /// In line, or served already.
    fn wait(turns: &Turns, tenant: &'static str) -> Waiter {
        let turns = turns.clone();
        let turn = Box::pin(async move { turns.place(tenant).await });
        let mut waiter = Waiter { turn, place: None };
        waiter.look();
        waiter
    }

    #[test]
    fn one_tenant_holds_one_place_and_another_gets_the_other_at_once() {
        let turns = Turns::default();
        let mut held = wait(&turns, "a");
        assert!(held.look());
        let mut more: Vec<Waiter> = (0..WAITING_OF_ONE).map(|_| wait(&turns, "a")).collect();
        assert_eq!(turns.place("a").now_or_never().unwrap().err(), Some(Full));
        let mut other = wait(&turns, "b");
        assert!(other.look());
        assert!(!wait(&turns, "c").look(), "two in all");
        drop(other);
        assert!(!more.iter_mut().any(Waiter::look), "the other's place is not for the first");
        drop(held);
        assert_eq!(more.iter_mut().filter_map(|waiter| waiter.look().then_some(())).count(), 1);
    }

    #[test]
    fn turns_go_round() {
        let turns = Turns::default();
        // The second place stays taken, so that the first shows the order.
        let [first, _second] = [wait(&turns, "x"), wait(&turns, "y")];
        let tenants = ["a", "a", "a", "b", "b", "c"];
        let mut line: Vec<(&str, Waiter)> = tenants.map(|tenant| (tenant, wait(&turns, tenant))).into();
        drop(first);
        let mut order = String::new();
        while let Some(at) = line.iter_mut().position(|(_, waiter)| waiter.look()) {
            order.push_str(line.remove(at).0);
        }
        assert_eq!(order, "abcaba");
    }

    #[test]
    fn who_gives_up_leaves_no_gap() {
        let turns = Turns::default();
        let (held, other) = (wait(&turns, "a"), wait(&turns, "b"));
        drop((0..WAITING_OF_ONE).map(|_| wait(&turns, "a")).collect::<Vec<_>>());
        let mut patient = wait(&turns, "a");
        drop(held);
        assert!(patient.look());
        // Served, and gone before it looked.
        let late = wait(&turns, "c");
        drop(other);
        drop(late);
        assert!(wait(&turns, "d").look());
        drop(patient);
        assert!(turns.state().at_work.is_empty() && turns.state().waiting.is_empty());
    }
}
