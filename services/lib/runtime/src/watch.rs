//! `Watch…`: snapshots of what stands in the database, whichever process changes it.

use crate::failure::Failure;
use futures_util::{Stream, stream};
use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::Status;

/// How often a watched row is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long one watch lasts at most.
const LONGEST_WATCH: Duration = Duration::from_secs(600);

pub type Snapshots<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What comes over a channel, until it is closed or a failure is its last word.
pub fn heard<V, M>(
    words: mpsc::Receiver<Result<V, Failure>>,
    encode: impl Fn(V) -> M + Send + 'static,
) -> Snapshots<M>
where
    V: Send + 'static,
    M: Send + 'static,
{
    Box::pin(stream::unfold(Some((words, encode)), |state| async move {
        let (mut words, encode) = state?;
        match words.recv().await? {
            Ok(word) => Some((Ok(encode(word)), Some((words, encode)))),
            Err(failure) => Some((Err(failure.to_status()), None)),
        }
    }))
}

/// A snapshot at once and after every change, until it has ended or ten minutes are over: whoever wants to see more asks
/// again, with a token that still holds. The rows are the truth: whichever process drives the
/// work, this one sees it.
pub fn watch<V, M, F>(
    look: impl Fn() -> F + Send + Sync + 'static,
    ended: impl Fn(&V) -> bool + Send + Sync + 'static,
    encode: impl Fn(&V) -> M + Send + Sync + 'static,
) -> Snapshots<M>
where
    V: Send + Sync + 'static,
    M: PartialEq + Clone + Send + Sync + 'static,
    F: Future<Output = Result<V, Failure>> + Send,
{
    let until = tokio::time::Instant::now() + LONGEST_WATCH;
    let state = (look, ended, encode, None::<M>, false);
    Box::pin(stream::unfold(state, move |(look, ended, encode, mut last, over)| async move {
        if over {
            return None;
        }
        loop {
            if tokio::time::Instant::now() >= until {
                return None;
            }
            match look().await {
                Ok(view) => {
                    let (snapshot, over) = (encode(&view), ended(&view));
                    if last.as_ref() != Some(&snapshot) || over {
                        last = Some(snapshot.clone());
                        return Some((Ok(snapshot), (look, ended, encode, last, over)));
                    }
                }
                Err(failure) => return Some((Err(failure.to_status()), (look, ended, encode, last, true))),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }))
}

/// What is added to something that only grows, in its order, until ten minutes are over: whoever wants more asks again,
/// from where he was. `look` answers what is new since its last look, a bounded part of it; nothing where that is all
/// for now. It is asked again when all that it gave has been taken: a slow client is not read ahead for, and one that has
/// gone away ends it.
pub fn follow<S, V, M, F>(
    state: S,
    look: impl Fn(S) -> F + Send + 'static,
    encode: impl Fn(V) -> M + Send + 'static,
) -> Snapshots<M>
where
    S: Send + 'static,
    V: Send + 'static,
    M: Send + 'static,
    F: Future<Output = (S, Result<Vec<V>, Failure>)> + Send + 'static,
{
    let until = tokio::time::Instant::now() + LONGEST_WATCH;
    let begun = Some((state, VecDeque::new(), look, encode));
    Box::pin(stream::unfold(begun, move |following| async move {
        let (mut state, mut seen, look, encode) = following?;
        loop {
            if let Some(next) = seen.pop_front() {
                return Some((Ok(encode(next)), Some((state, seen, look, encode))));
            }
            let looked = look(state);
            let Ok((same, found)) = tokio::time::timeout_at(until, looked).await else { return None };
            state = same;
            match found {
                Ok(found) if found.is_empty() => tokio::time::sleep(LOOK_EVERY).await,
                Ok(found) => seen = found.into(),
                Err(failure) => return Some((Err(failure.to_status()), None)),
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use keywright_domain::reason::Reason;

    #[tokio::test]
    async fn what_is_followed_is_read_as_it_is_taken_and_ends_with_a_failure() {
        let (asked, mut looks) = mpsc::unbounded_channel();
        let look = move |number: usize| {
            let _heard = asked.send(number);
            let found = match number {
                0 => Ok(vec!["a", "b"]),
                1 => Ok(Vec::new()),
                2 => Ok(vec!["c"]),
                _ => Err(Failure::new(Reason::PermissionDenied, "no more")),
            };
            async move { (number.saturating_add(1), found) }
        };
        let mut seen = follow(0, look, str::to_owned);
        assert_eq!(seen.next().await.unwrap().unwrap(), "a");
        assert_eq!(seen.next().await.unwrap().unwrap(), "b");
        assert_eq!((looks.try_recv(), looks.try_recv().is_err()), (Ok(0), true));
        assert_eq!(seen.next().await.unwrap().unwrap(), "c");
        assert_eq!(seen.next().await.unwrap().unwrap_err().code(), tonic::Code::PermissionDenied);
        assert!(seen.next().await.is_none());
    }
}
