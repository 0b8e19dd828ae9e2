//! Logins by one program, round after round.
//!
//! Invariant: a program that is not there or fails is told from one that was measured, and never stands in a ratio.

use tokio::process::Command;

use crate::client;
use crate::errand::Errand;
use crate::fixture::Fixture;
use crate::held::{Failed, Held};
use crate::round::Round;

/// Somebody who logs in too.
pub struct Contestant {
    pub name: &'static str,
    pub rounds: Vec<Round>,
    /// Why it is not compared.
    pub absent: Option<&'static str>,
    errand: Errand,
    program: Box<dyn Fn() -> Option<Command>>,
}

impl Contestant {
    /// `program` is none where it is not installed.
    pub fn new(name: &'static str, errand: Errand, program: impl Fn() -> Option<Command> + 'static) -> Self {
        Self { name, rounds: Vec::new(), absent: None, errand, program: Box::new(program) }
    }

    pub async fn take_part(&mut self, fixture: &Fixture) {
        if self.absent.is_some() {
            return;
        }
        let Some(program) = (self.program)() else {
            self.absent = Some("not installed");
            return;
        };
        match round(fixture, program, &self.errand).await {
            Ok(round) => self.rounds.push(round),
            Err(Failed) => {
                eprintln!("{} failed", self.name);
                self.absent = Some("it failed");
                self.rounds.clear();
            }
        }
    }
}

/// A round of Keywright's own client.
pub async fn own(fixture: &Fixture, what: &str, errand: &Errand) -> Round {
    round(fixture, client::program(what), errand).await.expect("Keywright's own client")
}

async fn round(fixture: &Fixture, mut program: Command, errand: &Errand) -> Result<Round, Failed> {
    errand.tell(&mut program);
    let mut held = Held::start(program, "client").await?;
    let (processes, host) = (fixture.host_cpu.processes(), fixture.host_cpu.used());
    let (wall, client, _) = held.done().await?;
    fixture.host_cpu.settled(processes).await;
    let host = fixture.host_cpu.used() - host;
    held.end().await;
    Ok(Round { count: errand.count, wall, host, client })
}
