//! `Watch…`: snapshots of what stands in the database, whichever process changes it.

use crate::failure::Failure;
use futures_util::{Stream, stream};
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
