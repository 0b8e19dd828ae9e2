//! One durable write for what many callers ask for at once: what arrives while a transaction commits waits, and is the
//! next one. A caller alone pays one commit, and no delay unless the batch is one that gathers for a while.
//!
//! Invariant: a caller is answered after the commit that holds what he asked for, in the order of asking; a caller who
//! goes away takes nothing of the others with him.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

type Written<R, E> = Pin<Box<dyn Future<Output = Result<Vec<R>, E>> + Send>>;
type Answer<R, E> = oneshot::Sender<Result<R, E>>;
type Write<T, R, E> = Box<dyn Fn(Arc<[T]>) -> Written<R, E> + Send + Sync>;

/// Writes some items in one transaction. Cloned, it is the same queue.
pub struct Batch<T, R, E> {
    inner: Arc<Inner<T, R, E>>,
}

impl<T, R, E> Clone for Batch<T, R, E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct Inner<T, R, E> {
    queue: Mutex<Queue<T, R, E>>,
    most: usize,
    gathers: Duration,
    write: Write<T, R, E>,
}

struct Queue<T, R, E> {
    waiting: VecDeque<Waiting<T, R, E>>,
    /// Somebody empties it.
    writes: bool,
}

struct Waiting<T, R, E> {
    item: T,
    answer: Answer<R, E>,
}

/// The writer ended without an answer: it panicked, or the runtime ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered;

impl<T, R, E> Batch<T, R, E>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    E: Clone + Send + From<Unanswered> + 'static,
{
    /// `write` writes at most `most` items in one transaction and answers each, in their order; its failure is that of
    /// them all.
    pub fn new<F>(most: usize, write: impl Fn(Arc<[T]>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<R>, E>> + Send + 'static,
    {
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), writes: false });
        let write: Write<T, R, E> = Box::new(move |items| Box::pin(write(items)));
        Self { inner: Arc::new(Inner { queue, most: most.max(1), gathers: Duration::ZERO, write }) }
    }

    /// Waits so long for others before each write: for what nobody is in a hurry for.
    #[must_use]
    pub fn gathering(mut self, gathers: Duration) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.gathers = gathers;
        }
        self
    }

    pub async fn write(&self, item: T) -> Result<R, E> {
        let answer = self.enqueue([item]).pop();
        match answer {
            Some(answer) => answer.await.unwrap_or_else(|_| Err(Unanswered.into())),
            None => Err(Unanswered.into()),
        }
    }

    /// Several in a row, which nothing comes between; the first failure, if there is one.
    pub async fn write_all(&self, items: impl IntoIterator<Item = T>) -> Result<Vec<R>, E> {
        let mut results = Vec::new();
        for answer in self.enqueue(items) {
            results.push(answer.await.unwrap_or_else(|_| Err(Unanswered.into())));
        }
        results.into_iter().collect()
    }

    fn enqueue(&self, items: impl IntoIterator<Item = T>) -> Vec<oneshot::Receiver<Result<R, E>>> {
        let mut answers = Vec::new();
        let begins = {
            let mut queue = self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner);
            for item in items {
                let (answer, receiver) = oneshot::channel();
                queue.waiting.push_back(Waiting { item, answer });
                answers.push(receiver);
            }
            let begins = !queue.writes && !queue.waiting.is_empty();
            queue.writes |= begins;
            begins
        };
        if begins {
            // In a task of its own, so that no caller's end is the end of a write that others wait for.
            let inner = self.inner.clone();
            tokio::spawn(async move { inner.empty().await });
        }
        answers
    }
}

/// Lets the next caller begin anew where a write has panicked; those that wait are told.
struct Emptying<'a, T, R, E> {
    inner: &'a Inner<T, R, E>,
    is_done: bool,
}

impl<T, R, E> Drop for Emptying<'_, T, R, E> {
    fn drop(&mut self) {
        if !self.is_done {
            let mut queue = self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.writes = false;
            queue.waiting.clear();
        }
    }
}

impl<T, R, E: Clone> Inner<T, R, E> {
    async fn empty(&self) {
        let mut emptying = Emptying { inner: self, is_done: false };
        loop {
            if !self.gathers.is_zero() {
                tokio::time::sleep(self.gathers).await;
            }
            let (items, answers): (Vec<_>, Vec<_>) = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let count = queue.waiting.len().min(self.most);
                if count == 0 {
                    // Under the same lock, so that whoever comes now begins.
                    queue.writes = false;
                    emptying.is_done = true;
                    return;
                }
                queue.waiting.drain(..count).map(|waiting| (waiting.item, waiting.answer)).unzip()
            };
            self.write_some(items.into(), answers).await;
            // Those who were answered and have more to write come into the next write, not into the one after it.
            tokio::task::yield_now().await;
        }
    }

    async fn write_some(&self, items: Arc<[T]>, answers: Vec<Answer<R, E>>) {
        match (self.write)(items).await {
            Ok(results) => {
                for (answer, result) in answers.into_iter().zip(results) {
                    let _gone = answer.send(Ok(result));
                }
            }
            Err(error) => {
                for answer in answers {
                    let _gone = answer.send(Err(error.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Bad {
        Database,
        Gone,
    }

    impl From<Unanswered> for Bad {
        fn from(_: Unanswered) -> Self {
            Self::Gone
        }
    }

    /// Doubles numbers, one batch for each permit; what was written together.
    struct Doubling {
        batch: Batch<i32, i32, Bad>,
        permits: Arc<Semaphore>,
        written: Arc<Mutex<Vec<Vec<i32>>>>,
    }

    const NO_DATABASE: i32 = -1;
    const PANIC: i32 = -2;

    impl Doubling {
        fn new(most: usize) -> Self {
            let permits = Arc::new(Semaphore::new(0));
            let written = Arc::new(Mutex::new(Vec::new()));
            let (may, kept) = (permits.clone(), written.clone());
            let batch = Batch::new(most, move |items: Arc<[i32]>| {
                let (may, kept) = (may.clone(), kept.clone());
                async move {
                    may.acquire().await.unwrap().forget();
                    assert!(!items.contains(&PANIC), "as wanted");
                    if items.contains(&NO_DATABASE) {
                        return Err(Bad::Database);
                    }
                    kept.lock().unwrap().push(items.to_vec());
                    Ok(items.iter().map(|item| item * 2).collect())
                }
            });
            Self { batch, permits, written }
        }

        fn ask(&self, item: i32) -> tokio::task::JoinHandle<Result<i32, Bad>> {
            let batch = self.batch.clone();
            tokio::spawn(async move { batch.write(item).await })
        }

        /// So many wait behind the write that is under way.
        async fn waits(&self, number: usize) {
            while {
                let queue = self.batch.inner.queue.lock().unwrap();
                !queue.writes || queue.waiting.len() != number
            } {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }

        fn written(&self) -> Vec<Vec<i32>> {
            self.written.lock().unwrap().clone()
        }
    }

    #[tokio::test]
    async fn what_arrives_during_a_write_is_the_next_one() {
        let doubling = Doubling::new(3);
        let mut asked = vec![doubling.ask(0)];
        doubling.waits(0).await;
        for (item, number) in (1..=4).zip(1..) {
            asked.push(doubling.ask(item));
            doubling.waits(number).await;
        }
        assert!(asked.iter().all(|asked| !asked.is_finished()), "nobody is answered before the write");
        doubling.permits.add_permits(3);
        for (item, asked) in (0..).zip(asked) {
            assert_eq!(asked.await.unwrap(), Ok(item * 2));
        }
        assert_eq!(doubling.written(), [vec![0], vec![1, 2, 3], vec![4]]);
        doubling.permits.add_permits(1);
        assert_eq!(doubling.batch.write(5).await, Ok(10), "it begins again");
    }

    #[tokio::test]
    async fn who_goes_away_takes_nothing_with_him() {
        let doubling = Doubling::new(8);
        let gone = doubling.ask(0);
        doubling.waits(0).await;
        let stays = doubling.ask(1);
        doubling.waits(1).await;
        gone.abort();
        doubling.permits.add_permits(2);
        assert_eq!(stays.await.unwrap(), Ok(2));
        assert_eq!(doubling.written(), [[0], [1]]);
    }

    #[tokio::test]
    async fn a_failure_is_that_of_all_who_were_written_together_and_of_nobody_else() {
        let doubling = Doubling::new(8);
        doubling.permits.add_permits(3);
        let first = doubling.ask(1);
        first.await.unwrap().unwrap();
        assert_eq!(doubling.batch.write_all([2, NO_DATABASE, 3]).await, Err(Bad::Database));
        assert_eq!(doubling.batch.write_all([4, 5]).await, Ok(vec![8, 10]));
        assert_eq!(doubling.written(), [vec![1], vec![4, 5]]);
    }

    #[tokio::test]
    async fn a_write_that_panics_is_answered_and_the_next_one_works() {
        let doubling = Doubling::new(1);
        let first = doubling.ask(PANIC);
        doubling.waits(0).await;
        let behind = doubling.ask(1);
        doubling.waits(1).await;
        doubling.permits.add_permits(2);
        assert_eq!(first.await.unwrap(), Err(Bad::Gone));
        assert_eq!(behind.await.unwrap(), Err(Bad::Gone));
        assert_eq!(doubling.batch.write(2).await, Ok(4));
    }

    #[tokio::test]
    async fn one_that_gathers_waits_for_others_before_it_writes() {
        let Doubling { batch, permits, written } = Doubling::new(8);
        let batch = batch.gathering(Duration::from_millis(50));
        permits.add_permits(2);
        let first = tokio::spawn({
            let batch = batch.clone();
            async move { batch.write(1).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(batch.write(2).await, Ok(4));
        assert_eq!(first.await.unwrap(), Ok(2));
        assert_eq!(*written.lock().unwrap(), [[1, 2]]);
    }
}
