//! A program that has made itself ready and waits for the word to begin: what it takes to start is not measured, but
//! where each operation starts a program of its own.
//!
//! Invariant: it and all that it starts are counted in a control group of its own, and ended with the value.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::cpu::Group;

pub struct Held {
    pub cpu: Group,
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said about being ready.
    pub about: String,
}

/// It said on its standard error why.
#[derive(Debug)]
pub struct Failed;

impl Held {
    pub async fn start(mut command: Command, name: &str) -> Result<Self, Failed> {
        let cpu = Group::new(name);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|_| Failed)?;
        cpu.add(child.id().ok_or(Failed)?);
        let input = child.stdin.take().ok_or(Failed)?;
        let lines = BufReader::new(child.stdout.take().ok_or(Failed)?).lines();
        let mut held = Self { cpu, child, input, lines, about: String::new() };
        held.about = held.hears("ready").await?;
        Ok(held)
    }

    /// Waits until it says this word; what else stands on that line.
    async fn hears(&mut self, word: &str) -> Result<String, Failed> {
        let line = self.lines.next_line().await.ok().flatten().ok_or(Failed)?;
        line.strip_prefix(word).map(|rest| rest.trim().to_owned()).ok_or(Failed)
    }

    /// Lets it begin, and waits until it is done: how long it took, its CPU time, what else it said.
    pub async fn done(&mut self) -> Result<(Duration, Duration, String), Failed> {
        let (cpu, begun) = (self.cpu.used(), Instant::now());
        self.input.write_all(b"go\n").await.map_err(|_| Failed)?;
        let said = self.hears("done").await?;
        Ok((begun.elapsed(), self.cpu.used() - cpu, said))
    }

    /// Closes its input, and waits for its end.
    pub async fn end(self) {
        let Self { mut child, input, .. } = self;
        drop(input);
        let _ = child.wait().await;
    }
}
