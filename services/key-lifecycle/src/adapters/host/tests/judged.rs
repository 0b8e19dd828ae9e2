//! Random files and random desired states, against a model that knows what it wrote, with OpenSSH's sshd as the judge of
//! which keys get in.

use std::sync::Arc;

use keywright_domain::authorized_keys::{LineOption, Owner};
use keywright_domain::clock::Instant;
use keywright_domain::key::{GenerateSpec, PrivateKey, PublicKey};
use keywright_kit::{HostOptions, TestHost};
use keywright_ssh::{Dialer, Target, TargetRules, Timeouts};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};

use super::super::Host;
use super::super::converge::{DesiredKey, DesiredKeys};
use super::super::grace::Grace;
use super::super::shell::local::LocalShell;
use super::setup::{CLOCK, alice};

const OURS: usize = 4;
const THEIRS: usize = 2;

/// A line as the model knows it: what it is, its bytes, and its end.
#[derive(Debug, Clone)]
enum Written {
    Theirs(Vec<u8>),
    Ours { key: usize, hand: &'static str, comment: &'static str },
    Marker(u64),
}

#[derive(Debug, Clone)]
struct Case {
    lines: Vec<(Written, &'static str)>,
    /// The last line has its end.
    terminated: bool,
    asked: Asked,
    /// What is asked for afterwards.
    then: Asked,
}

#[derive(Debug, Clone)]
struct Asked {
    /// Which of ours are wanted, with these options by policy.
    wanted: [bool; OURS],
    policy: Vec<&'static str>,
    /// When the host is to end each: in so many seconds, or not by itself.
    ends: [Option<i64>; OURS],
}

/// What a line with these options of a hand does for a client on loopback.
const HANDS: &[(&str, bool)] = &[
    ("", true),
    ("no-pty ", true),
    ("from=\"127.0.0.0/8,::1\",restrict\t", true),
    ("command=\"x \\\" y, z\",no-user-rc ", true),
    ("from=\"192.0.2.0/24\" ", false),
    ("from=\"*,!127.0.0.1\" ", false),
    ("bogus ", false),
    // An end by hand is no part of ours: the line has the end that is asked for, or none.
    ("expiry-time=\"20200101\" ", true),
    ("restrict,expiry-time=\"20990101\" ", true),
];

const POLICIES: &[&[&str]] = &[
    &[],
    &["restrict"],
    &["restrict", "command=\"/bin/true \\\"a, b\\\"\""],
    &["from=\"127.0.0.1,192.0.2.0/24\"", "no-X11-forwarding"],
];

fn lets_in(hand: &str, policy: &[&str]) -> bool {
    // A policy's `from` stands for one by hand; what the policy says is never such that we are kept out.
    let replaced = policy.iter().any(|option| option.starts_with("from=")) && hand.starts_with("from=");
    replaced || HANDS.iter().any(|(known, lets_in)| *known == hand && *lets_in)
}

fn line() -> impl Strategy<Value = (Written, &'static str)> {
    let hand = proptest::sample::select(HANDS).prop_map(|(hand, _)| hand);
    let comment = proptest::sample::select(&["", " a@b", " keywright:acc_x:v9", "\t\u{e9}\u{e9}"][..]);
    let ours = (0..OURS, hand, comment).prop_map(|(key, hand, comment)| Written::Ours { key, hand, comment });
    let their_options = [
        "",
        "no-pty ",
        "from=\"127.0.0.1\" ",
        "from=\"10.0.0.0/8\" ",
        "  \t",
        "open=\"quote ",
        "# ",
        "expiry-time=\"20200101\" ",
        "expiry-time=\"20990101\" ",
    ];
    let theirs = (proptest::sample::select(their_options.to_vec()), 0..THEIRS).prop_map(|(options, at)| {
        Written::Theirs(format!("{options}{} them", keys()[OURS + at].public().openssh()).into_bytes())
    });
    // Junk that is a line; `k` and `#` keep it from being one of ours by chance.
    let junk = proptest::collection::vec(any::<u8>().prop_filter("one line", |byte| *byte != b'\n'), 0..80);
    let junk = junk.prop_map(|bytes| Written::Theirs([b"#k ", &bytes[..]].concat()));
    let bare = proptest::collection::vec(any::<u8>().prop_filter("one line", |byte| *byte != b'\n'), 0..40);
    let bare = bare.prop_map(Written::Theirs);
    let marker = (0..9u64).prop_map(Written::Marker);
    let content = prop_oneof![4 => ours, 3 => theirs, 1 => junk, 1 => bare, 1 => marker];
    (content, proptest::sample::select(&["\n", "\n", "\r\n"][..]))
}

fn asked() -> impl Strategy<Value = Asked> {
    let end = || proptest::sample::select(&[None, None, Some(-3600), Some(3600)][..]);
    (any::<[bool; OURS]>(), proptest::sample::select(POLICIES), [end(), end(), end(), end()])
        .prop_map(|(wanted, policy, ends)| Asked { wanted, policy: policy.to_vec(), ends })
}

fn case() -> impl Strategy<Value = Case> {
    (proptest::collection::vec(line(), 0..12), any::<bool>(), asked(), asked())
        .prop_map(|(lines, terminated, asked, then)| Case { lines, terminated, asked, then })
}

fn keys() -> &'static [PrivateKey] {
    static KEYS: std::sync::OnceLock<Vec<PrivateKey>> = std::sync::OnceLock::new();
    KEYS.get_or_init(|| {
        (0..OURS + THEIRS).map(|_| PrivateKey::generate(GenerateSpec::Ed25519).unwrap()).collect()
    })
}

impl Case {
    fn file(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for (line, end) in &self.lines {
            match line {
                Written::Theirs(bytes) => file.extend_from_slice(bytes),
                Written::Ours { key, hand, comment } => {
                    file.extend(format!("{hand}{}{comment}", keys()[*key].public().openssh()).into_bytes());
                }
                Written::Marker(revision) => {
                    file.extend(format!("# keywright:acc_test rev={revision}").into_bytes())
                }
            }
            file.extend_from_slice(end.as_bytes());
        }
        if !self.terminated && file.ends_with(b"\n") {
            file.pop();
        }
        file
    }

    /// What must be left of the file, byte for byte.
    fn foreign(&self) -> Vec<u8> {
        let theirs = self.lines.iter().filter_map(|(line, end)| match line {
            Written::Theirs(bytes) => Some([&bytes[..], end.as_bytes()].concat()),
            Written::Ours { .. } | Written::Marker(_) => None,
        });
        theirs.collect::<Vec<_>>().concat()
    }

    /// The options by hand that the line of this key has after the edit: its own, or those of its predecessor.
    fn hand(&self, key: usize) -> &'static str {
        let standing = |wanted: usize| {
            self.lines.iter().find_map(|(line, _)| match line {
                Written::Ours { key, hand, .. } if *key == wanted => Some(*hand),
                _ => None,
            })
        };
        standing(key).or_else(|| self.predecessor(key).and_then(standing)).unwrap_or("")
    }

    /// Versions count by key; a key that is not wanted has none but what its comment says, which is another's.
    fn predecessor(&self, key: usize) -> Option<usize> {
        let stands = |wanted: usize| {
            self.lines.iter().any(|(line, _)| matches!(line, Written::Ours { key, .. } if *key == wanted))
        };
        let known = (0..key).rev().find(|earlier| self.asked.wanted[*earlier] && stands(*earlier));
        known.or_else(|| {
            self.lines.iter().find_map(|(line, _)| match line {
                Written::Ours { key: other, .. } if !self.asked.wanted[*other] => Some(*other),
                _ => None,
            })
        })
    }
}

impl Case {
    /// What is left of the options by hand on a line of the first edit: a policy's `from` has taken the place of theirs.
    fn hand_after(&self, key: usize) -> &'static str {
        let hand = self.hand(key);
        let replaced = hand.starts_with("from=") && self.asked.policy.iter().any(|o| o.starts_with("from="));
        if replaced { "" } else { hand }
    }

    /// The options by hand that the line of this key has after the second edit. By then every line says its version.
    fn hand_then(&self, key: usize) -> &'static str {
        let stands = |key: &usize| self.asked.wanted[*key];
        let from = if stands(&key) { Some(key) } else { (0..key).rev().find(stands) };
        from.map_or("", |from| self.hand_after(from))
    }
}

struct Judge {
    shell: LocalShell,
    dialer: Dialer,
    pins: Vec<PublicKey>,
}

impl Judge {
    async fn accepts(&self, key: usize) -> bool {
        let host = self.shell.host();
        let target = Target::new(host.address(), host.port());
        self.dialer.prove_offer(&target, &self.pins, "alice", keys()[key].public()).await.unwrap().accepted
    }

    async fn judge(&self, case: &Case) {
        let file = case.file();
        self.shell.host().write_authorized_keys("alice", &file);
        let mut theirs = Vec::new();
        for key in OURS..OURS + THEIRS {
            theirs.push(self.accepts(key).await);
        }
        let first = |key| case.hand(key);
        self.edit(case, &case.asked, 9, &first, &theirs).await;
        self.edit(case, &case.then, 10, &|key| case.hand_then(key), &theirs).await;
    }

    /// Asks for this, with `hand` as what the model knows of each line's options afterwards.
    async fn edit(
        &self,
        case: &Case,
        asked: &Asked,
        revision: u64,
        hand: &dyn Fn(usize) -> &'static str,
        theirs: &[bool],
    ) {
        let goal = DesiredKeys {
            owner: Owner::parse("acc_test").unwrap(),
            revision,
            keys: (0..OURS).filter(|key| asked.wanted[*key]).map(|key| desired(asked, key)).collect(),
            all_blobs: keys()[..OURS].iter().map(|key| key.public().blob().to_vec()).collect(),
            overruled: None,
        };
        let done = Host::local(&self.shell, &CLOCK).converge(&alice(), &goal).await.unwrap();
        assert!(done.grace.iter().all(|grace| matches!(grace.by, Grace::Sshd(_))), "{:?}", done.grace);

        let edited = self.shell.host().read_authorized_keys("alice").unwrap();
        let mut left = case.foreign();
        let mark = format!("# keywright:acc_test rev={revision}");
        let of_ours = |line: &&[u8]| {
            let text = String::from_utf8_lossy(line);
            let key = keys()[..OURS].iter().any(|key| text.contains(&key.public().openssh()));
            (key && text.trim_end().contains(" keywright:acc_test:v")) || text.starts_with(&mark)
        };
        let kept: Vec<u8> = edited
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| !of_ours(line))
            .collect::<Vec<_>>()
            .concat();
        // The last line may have lacked its end.
        if left != kept {
            let cut = left.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or(left.clone());
            left = if kept == cut { cut } else { [&cut[..], b"\n"].concat() };
        }
        let said = || format!("revision {revision} of {case:?}\n{}", String::from_utf8_lossy(&edited));
        assert_eq!(kept, left, "foreign bytes changed: {}", said());

        for key in 0..OURS {
            let over = asked.ends[key].is_some_and(|end| end < 0);
            let expected = asked.wanted[key] && !over && lets_in(hand(key), &asked.policy);
            assert_eq!(self.accepts(key).await, expected, "key {key}, {}", said());
        }
        for (key, before) in (OURS..).zip(theirs) {
            assert_eq!(self.accepts(key).await, *before, "their key {key}, {}", said());
        }
    }
}

fn desired(asked: &Asked, key: usize) -> DesiredKey {
    DesiredKey {
        public_key: keys()[key].public().clone(),
        version: u32::try_from(key).unwrap() + 1,
        until: asked.ends[key].map(|end| Instant::from_secs(CLOCK.now().secs() + end)),
        options: asked.policy.iter().map(|text| LineOption::parse_policy(text).unwrap()).collect(),
    }
}

#[tokio::test]
async fn foreign_lines_stay_and_exactly_the_wanted_keys_get_in() {
    let cases = if std::env::var_os("KEYWRIGHT_TEST_FULL").is_some() { 1000 } else { 25 };
    let host = TestHost::openssh(HostOptions::default()).await.unwrap();
    host.add_user("alice");
    let pins = host.host_keys().iter().map(|line| PublicKey::parse_openssh(line).unwrap()).collect();
    let rules = TargetRules { allow_loopback: true, ..TargetRules::default() };
    let dialer = Dialer::new(Arc::new(rules), Timeouts::default());
    let judge = Judge { shell: LocalShell::new(host, &["dash"]), dialer, pins };
    let mut seed = [0; 32];
    keywright_domain::clock::fill_random(&mut seed).unwrap();
    if let Ok(given) = std::env::var("KEYWRIGHT_JUDGED_SEED") {
        seed.copy_from_slice(&data_encoding::HEXLOWER.decode(given.as_bytes()).unwrap());
    }
    println!("{cases} files; KEYWRIGHT_JUDGED_SEED={}", data_encoding::HEXLOWER.encode(&seed));
    let rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..cases {
        let case = case().new_tree(&mut runner).unwrap().current();
        judge.judge(&case).await;
    }
}
