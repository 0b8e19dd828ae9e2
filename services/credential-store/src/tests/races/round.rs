//! One round: a credential or two, some servers, a few deeds at once from both processes, then the truth.

use super::deed::{Answer, Deed};
use super::worker::Worker;
use crate::store::testing::{broken_promises, set_lifecycle};
use crate::tests::world::{World, answer};
use keywright_domain::caller::Caller;
use keywright_proto::credential as proto;
use std::collections::BTreeMap;
use std::fmt;

/// Repeatable chance (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// How often a deed was answered how.
#[derive(Default)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn count(&mut self, deed: &Deed, answer: &Answer) {
        let name = format!("{deed:?}");
        let name = name.split(' ').next().unwrap();
        let how = match answer {
            Answer::Refused(reason) => reason.as_str(),
            Answer::Switched { switched: 0 } => "kept",
            _ => "done",
        };
        *self.0.entry(format!("{name} {how}")).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what.clone()).or_default() += times;
        }
    }

    /// A run in which one side always won has shown nothing. What is rare is asked of long runs alone.
    pub fn assert_everything_happened(&self, long: bool) {
        let rare = ["Bind", "Rotate", "AddReference"].map(|name| format!("{name} CREDENTIAL_NOT_FOUND"));
        let common = [
            "Bind done",
            "Delete done",
            "Delete CREDENTIAL_IN_USE",
            "Delete CREDENTIAL_NOT_FOUND",
            "Delete USAGE_UNAVAILABLE",
            "Rotate done",
            "Rotate USAGE_ACKNOWLEDGEMENT_REQUIRED",
            "Rotate USAGE_UNAVAILABLE",
            "Switch done",
            "AddReference done",
        ];
        let expected = common.map(str::to_owned).into_iter().chain(rare.into_iter().filter(|_| long));
        for what in expected {
            assert!(self.0.contains_key(&what), "never: {what}; {self}");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, times) in &self.0 {
            write!(f, "\n  {times:6}  {what}")?;
        }
        Ok(())
    }
}

/// What a refusal may be called; anything else is a fault.
const REFUSALS: &[&str] = &[
    "CREDENTIAL_NOT_FOUND",
    "CREDENTIAL_IN_USE",
    "USAGE_ACKNOWLEDGEMENT_REQUIRED",
    "USAGE_UNAVAILABLE",
    "BINDING_NOT_FOUND",
    // Too many keys of one tenant at once.
    "RATE_LIMITED",
];

/// The kind of round in which servers are moved to another credential.
const SWITCHES: u64 = 5;

struct Stage<'a> {
    world: &'a World,
    caller: &'a Caller,
    credential: String,
    first_fingerprint: String,
    other: String,
    servers: Vec<String>,
    number: u64,
}

pub async fn run(
    world: &World,
    processes: &[Worker; 2],
    caller: &Caller,
    number: u64,
    mut chance: Chance,
    tally: &mut Tally,
) {
    let stage = set_up(world, caller, number).await;
    let unreadable = chance.one_in(12);
    let kind = chance.below(9);
    if unreadable || kind == SWITCHES || chance.one_in(3) {
        world.bind(caller, &stage.servers[0], &stage.credential).await.unwrap();
    }
    if unreadable {
        set_lifecycle(&world.db, &stage.servers[0], "unreadable").await;
    }
    let deeds = stage.deeds(&mut chance, kind, unreadable);
    let pauses: Vec<u64> = deeds.iter().map(|_| chance.below(4000)).collect();
    let first = chance.below(2) as usize;
    let orders = deeds
        .iter()
        .zip(&pauses)
        .enumerate()
        .map(|(n, (deed, pause))| processes[(first + n) % 2].order(*pause, deed.clone()));
    let answers = futures_util::future::join_all(orders).await;
    let story: Vec<_> = deeds.iter().zip(answers).collect();
    for (deed, answer) in &story {
        tally.count(deed, answer);
    }
    if unreadable {
        stage.assert_unknown_usage_blocked(&story);
        set_lifecycle(&world.db, &stage.servers[0], "ACTIVE").await;
    }
    stage.assert_truth(&story).await;
}

async fn set_up<'a>(world: &'a World, caller: &'a Caller, number: u64) -> Stage<'a> {
    let (credential, other) = (world.saved(caller).await, world.saved(caller).await);
    let mut servers = Vec::new();
    for n in 0..2 {
        servers.push(world.server(caller, &format!("web-{number}-{n}")).await.id);
    }
    Stage {
        world,
        caller,
        credential: credential.id,
        first_fingerprint: credential.fingerprint,
        other: other.id,
        servers,
        number,
    }
}

impl Stage<'_> {
    /// Two to five deeds that meet at the credential.
    fn deeds(&self, chance: &mut Chance, kind: u64, unreadable: bool) -> Vec<Deed> {
        let credential = self.credential.as_str();
        // Under one key: two that are one.
        let key = format!("round-{}", self.number);
        if unreadable {
            return vec![
                Deed::rotate(credential, true, ""),
                Deed::delete(credential, ""),
                self.switch(false, ""),
                Deed::delete(credential, &key),
            ];
        }
        match kind {
            0 => vec![self.bind(0), Deed::delete(credential, "")],
            1 => vec![self.bind(0), Deed::rotate(credential, false, ""), self.bind(1)],
            2 => vec![Deed::delete(credential, ""), Deed::delete(credential, "")],
            3 => vec![Deed::rotate(credential, true, ""), Deed::rotate(credential, true, "")],
            4 => vec![Deed::delete(credential, ""), self.hold(), self.hold(), self.let_go()],
            SWITCHES => {
                let switch = self.switch(chance.one_in(2), &key);
                vec![switch.clone(), Deed::delete(credential, ""), switch, self.delete_other()]
            }
            6 => {
                let once = Deed::rotate(credential, true, &key);
                vec![once.clone(), once.clone(), once]
            }
            7 => vec![Deed::delete(credential, &key), Deed::delete(credential, &key), self.bind(1)],
            _ => (0..2 + chance.below(4)).map(|_| self.any(chance)).collect(),
        }
    }

    fn any(&self, chance: &mut Chance) -> Deed {
        let credential = self.credential.as_str();
        match chance.below(10) {
            0 | 1 => self.bind(chance.below(2) as usize),
            2 => Deed::Unbind { server: self.servers[chance.below(2) as usize].clone() },
            3 => Deed::rotate(credential, false, ""),
            4 => Deed::rotate(credential, true, ""),
            5 => Deed::delete(credential, ""),
            6 => self.switch(chance.one_in(2), ""),
            7 => self.delete_other(),
            8 => self.hold(),
            _ => self.let_go(),
        }
    }

    fn bind(&self, server: usize) -> Deed {
        Deed::Bind { server: self.servers[server].clone(), credential: self.credential.clone() }
    }

    fn delete_other(&self) -> Deed {
        Deed::delete(&self.other, "")
    }

    fn switch(&self, test: bool, key: &str) -> Deed {
        Deed::Switch { from: self.credential.clone(), to: self.other.clone(), test, key: key.to_owned() }
    }

    fn hold(&self) -> Deed {
        Deed::AddReference { credential: self.credential.clone(), owner: format!("acc_{}", self.number) }
    }

    fn let_go(&self) -> Deed {
        Deed::RemoveReference { credential: self.credential.clone(), owner: format!("acc_{}", self.number) }
    }

    fn assert_unknown_usage_blocked(&self, story: &[(&Deed, Answer)]) {
        for (deed, answer) in story {
            assert_eq!(*answer, Answer::Refused("USAGE_UNAVAILABLE".to_owned()), "{deed:?}");
        }
    }

    async fn assert_truth(&self, story: &[(&Deed, Answer)]) {
        let told = format!("round {}: {}", self.number, tell(story));
        for (_, answer) in story {
            if let Answer::Refused(reason) = answer {
                assert!(REFUSALS.contains(&reason.as_str()), "{told}");
            }
        }
        let broken = broken_promises(&self.world.db, &[&self.credential, &self.other]).await;
        assert!(broken.is_empty(), "{broken:?}\n{told}");

        let request =
            proto::GetSshCredentialRequest { credential_id: self.credential.clone(), include_usage: true };
        let now = answer(self.world.credentials(self.caller).get_ssh_credential(request).await);
        let now = now.ok().map(|answer| answer.credential.unwrap());
        let deleted = |id: &str| {
            let of = |deed: &Deed| matches!(deed, Deed::Delete { credential, .. } if credential == id);
            story.iter().filter(|(deed, answer)| of(deed) && *answer == Answer::Done).count()
        };
        assert_eq!(now.is_none(), deleted(&self.credential) > 0, "{told}");
        let without_key = story.iter().filter(|(deed, answer)| {
            matches!(deed, Deed::Delete { credential, key } if *credential == self.credential && key.is_empty())
                && *answer == Answer::Done
        });
        assert!(without_key.count() <= 1, "deleted twice: {told}");
        self.assert_versions(story, now.as_ref(), &told);
    }

    /// Every rotation that was acknowledged is a version, and the last one is in use.
    fn assert_versions(&self, story: &[(&Deed, Answer)], now: Option<&proto::SshCredential>, told: &str) {
        let mut made: BTreeMap<i32, &str> = BTreeMap::from([(1, self.first_fingerprint.as_str())]);
        for (deed, answer) in story {
            let Answer::Rotated { version, fingerprint } = answer else { continue };
            let before = made.insert(*version, fingerprint);
            let repeated = matches!(deed, Deed::Rotate { key, .. } if !key.is_empty());
            assert!(
                before.is_none() || (repeated && before == Some(fingerprint)),
                "a version is lost: {told}"
            );
        }
        let numbers: Vec<i32> = made.keys().copied().collect();
        let contiguous: Vec<i32> = (1..=i32::try_from(numbers.len()).unwrap()).collect();
        assert_eq!(numbers, contiguous, "{told}");
        let Some(now) = now else { return };
        let (last, fingerprint) = made.last_key_value().unwrap();
        assert_eq!((now.version, now.fingerprint.as_str()), (*last, *fingerprint), "{told}");
    }
}

/// The story without its keys.
fn tell(story: &[(&Deed, Answer)]) -> String {
    let lines = story.iter().map(|(deed, answer)| {
        let deed = match deed {
            Deed::Rotate { credential, acknowledged, key, .. } => {
                format!("Rotate {credential} acknowledged={acknowledged} key={key}")
            }
            deed => format!("{deed:?}"),
        };
        format!("\n  {deed} -> {answer:?}")
    });
    lines.collect()
}
