//! Keywright is killed while its script on the host is at work: the script comes to its end unseen, dies where it is, or
//! finds that nobody listens any more.

use keywright_e2e::gates::Gate;
use keywright_e2e::held_script::{END_SESSIONS, HeldScript, LOOK, STAGES, Stage};

use super::case::Begun;
use super::moments::{Moment, Operation};
use super::scene::{Harm, Scene};

/// What becomes of a script whose Keywright is killed.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    /// It does all that it was to do before anybody notices.
    GoesOn,
    /// At that very place, and tidies nothing up.
    Dies,
    /// The connection ends while it is held up.
    IsLeftAlone,
}

/// A script that is held at a stage, of what, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub struct Within {
    pub operation: Operation,
    stage: Stage,
    fate: Fate,
}

/// Each stage of each script; over any three of an operation's, each fate.
pub fn all() -> Vec<Within> {
    let fates = [Fate::GoesOn, Fate::Dies, Fate::IsLeftAlone];
    let scripts = [Operation::Rotate, Operation::GraceOver, Operation::Revoke].map(|operation| {
        let sessions = (operation == Operation::Revoke).then_some(END_SESSIONS);
        [LOOK].into_iter().chain(STAGES).chain(sessions).map(move |stage| (operation, stage))
    });
    let held = scripts.into_iter().flatten().enumerate();
    held.map(|(at, (operation, stage))| Within { operation, stage, fate: fates[at % 3] }).collect()
}

impl Scene {
    /// One after the other: a host holds one script at a time.
    pub async fn hurt_within(&mut self, scripts: &[Within]) {
        HeldScript::on(&self.world.host).await;
        for within in scripts {
            println!("killed within a script: {within:?}");
            self.kill_within(*within).await;
        }
        self.assert_nothing_lies_about().await;
    }

    async fn kill_within(&mut self, within: Within) {
        // Never closed: it names what is judged.
        let gate = Gate::record(within.stage.name, "HELD");
        let cases = self.prepare(&[Moment { operation: within.operation, gate }]).await;
        HeldScript::of(&self.world.host).stops_at(within.stage).await;
        let begun: [Begun; 1] = [cases[0].ask(self).await];
        let held = HeldScript::of(&self.world.host);
        self.watched(&cases, held.has_stopped()).await;
        // Of what happens to the script it learns nothing.
        self.world.keywright.pause().await;
        match within.fate {
            Fate::GoesOn => held.goes_on().await,
            Fate::Dies => held.dies().await,
            Fate::IsLeftAlone => {}
        }
        self.kill(&cases).await;
        let held = HeldScript::of(&self.world.host);
        match within.fate {
            Fate::GoesOn => {}
            Fate::Dies => held.leaves_a_stale_lock(&cases[0].account).await,
            // Who listened is gone by now.
            Fate::IsLeftAlone => held.goes_on().await,
        }
        self.restart(&cases).await;
        self.end(Harm::Kill, &cases, &begun).await;
    }
}
