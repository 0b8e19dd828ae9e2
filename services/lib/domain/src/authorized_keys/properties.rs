//! For any document: foreign lines stay, ours are exactly those desired, and the second edit changes nothing.

use super::*;
use crate::key::{GenerateSpec, PrivateKey, PublicKey};
use proptest::prelude::*;
use std::sync::OnceLock;

/// Four of ours and two of other people.
fn keys() -> &'static [PublicKey] {
    static KEYS: OnceLock<Vec<PublicKey>> = OnceLock::new();
    KEYS.get_or_init(|| {
        (0..6).map(|_| PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().clone()).collect()
    })
}

fn owner() -> Owner {
    Owner::parse("acc_abcdefghijklmnopqrstuvwxyz").unwrap()
}

/// A line of any kind with any line end; only the last one may have none.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let options = prop_oneof![
        Just(""),
        Just("no-pty "),
        Just("from=\"a, b\",restrict\t"),
        Just("command=\"x \\\" y\" "),
        Just("  "),
        Just("expiry-time=\"20300101\" "),
        Just("open=\"quote "),
        Just("# "),
    ];
    let comment = prop_oneof![Just(""), Just(" a@b"), Just(" keywright:acc_x:v1"), Just("\t \u{e9}")];
    let key = (options, 0..6usize, comment).prop_map(|(options, at, comment)| {
        format!("{options}{}{comment}", keys()[at].openssh()).into_bytes()
    });
    let marker = (0..9u64)
        .prop_map(|revision| format!("# keywright:{} rev={revision}", owner().as_str()).into_bytes());
    let junk = proptest::collection::vec(any::<u8>().prop_filter("one line", |byte| *byte != b'\n'), 0..60);
    let content = prop_oneof![4 => key, 1 => marker, 2 => junk, 1 => Just(Vec::new())];
    (content, prop_oneof![Just(&b"\n"[..]), Just(&b"\r\n"[..])])
        .prop_map(|(content, end)| [&content, end].concat())
}

fn document() -> impl Strategy<Value = Vec<u8>> {
    (proptest::collection::vec(line(), 0..12), any::<bool>()).prop_map(|(lines, terminated)| {
        let mut file = lines.concat();
        if !terminated {
            file.pop();
        }
        file
    })
}

const POLICIES: &[&[&str]] = &[&[], &["restrict"], &["from=\"10.0.0.0/8\"", "pty"]];

fn desired() -> impl Strategy<Value = Desired> {
    let policy = proptest::sample::select(POLICIES);
    let states = proptest::collection::vec((any::<bool>(), any::<bool>()), 4);
    (states, 9..20u64, policy).prop_map(|(states, revision, policy)| {
        let policy: Vec<_> = policy.iter().map(|text| LineOption::parse_policy(text).unwrap()).collect();
        let wanted = states.iter().zip(keys()).zip(1u32..).filter(|(((present, _), _), _)| *present);
        let lines = wanted.map(|(((_, ending), key), version)| DesiredLine {
            public_key: key.clone(),
            version,
            expiry: ending.then(|| ExpiryTime::parse("20300102030405Z").unwrap()),
            options: policy.clone(),
        });
        let all_blobs = keys()[..4].iter().map(|key| key.blob().to_vec()).collect();
        Desired { owner: owner(), revision, lines: lines.collect(), all_blobs }
    })
}

/// The bytes of every line that is neither our key nor our marker.
fn foreign(file: &[u8], desired: &Desired) -> Vec<u8> {
    let marker = format!("# {}", owner());
    Document::parse(file)
        .lines()
        .iter()
        .filter(|line| !line.key().is_some_and(|key| desired.all_blobs.iter().any(|blob| blob == key.blob())))
        .filter(|line| !line.raw().starts_with(marker.as_bytes()))
        .flat_map(|line| line.raw().to_vec())
        .collect()
}

proptest! {
    #[test]
    fn parsing_loses_nothing(file in prop_oneof![document(), proptest::collection::vec(any::<u8>(), 0..300)]) {
        prop_assert_eq!(Document::parse(&file).to_bytes(), file);
    }

    #[test]
    fn an_edit_is_exact_and_idempotent(file in document(), want in desired()) {
        let edited = apply(&file, &want).unwrap();
        prop_assert_eq!(&apply(&edited, &want).unwrap(), &edited);
        prop_assert_eq!(revision(&edited, &owner()), Some(want.revision));

        // Byte for byte and in order; at most the line end that the last line lacked is new.
        let (before, after) = (foreign(&file, &want), foreign(&edited, &want));
        let grown = [&before[..], b"\n"].concat();
        prop_assert!(after == before || (after == grown && !file.ends_with(b"\n")));

        let document = Document::parse(&edited);
        for (key, blob) in keys().iter().zip(&want.all_blobs) {
            let lines: Vec<_> = document.keys().filter(|line| line.blob() == blob).collect();
            let wanted = want.lines.iter().find(|line| line.public_key == *key);
            prop_assert_eq!(lines.len(), usize::from(wanted.is_some()));
            if let (Some(line), Some(wanted)) = (lines.first(), wanted) {
                let expiry = wanted.expiry.as_ref().map(|expiry| expiry.as_str().as_bytes().to_vec());
                prop_assert_eq!(line.options().value("expiry-time"), expiry);
                for option in &wanted.options {
                    prop_assert!(line.options().items().any(|item| item == option.as_str().as_bytes()));
                }
                let comment = owner().comment(wanted.version);
                prop_assert_eq!(line.comment(), comment.as_bytes());
            }
        }
    }

    #[test]
    fn options_of_a_policy_leave_with_it(file in document(), want in desired()) {
        let edited = apply(&file, &want).unwrap();
        let mut without = want.clone();
        without.lines.iter_mut().for_each(|line| line.options.clear());
        let after = apply(&edited, &without).unwrap();
        let document = Document::parse(&after);
        for line in document.keys().filter(|line| want.lines.iter().any(|of| of.public_key.blob() == line.blob())) {
            let names = want.lines.iter().flat_map(|of| &of.options).map(LineOption::name);
            for name in names {
                prop_assert!(!line.options().has(name));
            }
        }
        prop_assert_eq!(foreign(&after, &want), foreign(&edited, &want));
    }

    #[test]
    fn arbitrary_bytes_are_edited_without_loss(file in proptest::collection::vec(any::<u8>(), 0..400), want in desired()) {
        let edited = apply(&file, &want).unwrap();
        prop_assert!(edited.starts_with(&file));
        let none = Desired { lines: Vec::new(), ..want };
        let cleared = apply(&edited, &none).unwrap();
        prop_assert!(cleared.starts_with(&file));
        prop_assert_eq!(Document::parse(&cleared).keys().count(), Document::parse(&file).keys().count());
    }
}
