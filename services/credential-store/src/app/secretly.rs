//! Work on private keys: off the asynchronous threads, on a stack that is overwritten when it is done.
//!
//! What lies on the heap is wiped by its owner and by the server's allocator; values that were moved leave copies in
//! dead stack frames, which nobody owns.

use std::hint::black_box;
use tokio::task::JoinError;

/// Deeper than any reading, signing or writing of a key goes; a thread has two MiB.
const DEPTH: usize = 512 * 1024;

pub async fn secretly<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    tokio::task::spawn_blocking(move || {
        let done = apart(work);
        overwrite();
        done
    })
    .await
}

/// In a frame of its own, below which the overwriting begins.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

#[inline(never)]
fn overwrite() {
    black_box(&mut [0u8; DEPTH]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_and_a_panic_is_an_error() {
        assert_eq!(secretly(|| 7).await.unwrap(), 7);
        assert!(secretly(|| panic!("broken")).await.is_err());
    }
}
