//! A program that still runs: what it says on standard error, line by line, and how it ends.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::error::{During, KitError};
use crate::process::Output;

/// How long it may take to say something, and to end.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    said: String,
}

impl Running {
    /// Without input. It is killed when the value is dropped.
    pub(crate) fn start(command: &mut Command) -> Result<Self, KitError> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().during("starting a program")?;
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Ok(Self { child, lines, said: String::new() })
    }

    /// The next line that holds; panics if it ends, or says nothing of the kind in time.
    pub async fn line(&mut self, holds: impl Fn(&str) -> bool) -> String {
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.said.push_str(&line);
                self.said.push('\n');
                if holds(&line) {
                    return Some(line);
                }
            }
            None
        };
        let found = tokio::time::timeout(LIMIT, reading).await.ok().flatten();
        found.unwrap_or_else(|| panic!("the program did not say it, but:\n{}", self.said))
    }

    /// Waits for its end.
    pub async fn finish(mut self) -> Output {
        let rest = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.said.push_str(&line);
                self.said.push('\n');
            }
            self.child.wait_with_output().await.unwrap()
        };
        let output = tokio::time::timeout(LIMIT, rest).await.expect("the program did not end");
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: self.said,
        }
    }
}
