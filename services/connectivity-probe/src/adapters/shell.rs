//! Stage `session`: whether the account gets a shell that runs what we ask for.
//!
//! Invariant: the answer can be given only by something that computes; a command that the server runs instead of ours
//! cannot know it, also when it prints what was asked for.

use keywright_domain::clock::{NoRandomness, fill_random};
use keywright_ssh::{ExecLimits, Failure, FailureCode, Session, Stage};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(25);

/// An unpredictable sum.
pub struct Question {
    left: u32,
    right: u32,
}

impl Question {
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = [0u8; 4];
        fill_random(&mut bytes)?;
        let [a, b, c, d] = bytes;
        // Below 2^15 and never small: the product fits the arithmetic of every shell.
        let factor = |high, low| 0x4000 | (u32::from(u16::from_be_bytes([high, low])) & 0x3fff);
        Ok(Self { left: factor(a, b), right: factor(c, d) })
    }

    /// On a line of its own, wherever the account's start files left the last one.
    fn command(&self) -> String {
        format!("/bin/sh -c 'echo;echo keywright-$(({}*{}))'", self.left, self.right)
    }

    fn is_answered(&self, stdout: &[u8]) -> bool {
        let answer = format!("keywright-{}", self.left.saturating_mul(self.right));
        stdout.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == answer.as_bytes())
    }

    pub async fn ask(&self, session: &Session, deadline: Duration) -> Result<(), Failure> {
        let limits = ExecLimits { output: 64 * 1024, deadline };
        let output = session.exec(&self.command(), b"", limits).await?;
        if self.is_answered(&output.stdout) {
            return Ok(());
        }
        // Something else answers: this tells a missing login from a forced command.
        patiently(|| session.check()).await?;
        Err(Failure::new(Stage::Session, FailureCode::ForcedCommand))
    }
}

/// Opens another session after one that has just ended: a server that allows one at a time still counts the last one
/// until it has noticed its end, and refuses.
pub async fn patiently<T, F>(attempt: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Err(refused) if refused.code == FailureCode::SessionRefused && Instant::now() < end => {
                sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_product_answers() {
        let question = Question { left: 16384, right: 32767 };
        assert!(question.is_answered(b"Welcome!\nkeywright-536854528\r\n"));
        assert!(!question.is_answered(question.command().as_bytes()));
        assert!(!question.is_answered(b""));
        let (one, other) = (Question::random().unwrap(), Question::random().unwrap());
        assert!(one.left.checked_mul(one.right).is_some_and(|product| product < 1 << 31));
        assert_ne!((one.left, one.right), (other.left, other.right));
    }
}
