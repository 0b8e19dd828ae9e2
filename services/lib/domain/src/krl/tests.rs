//! The judge of a list is `ssh-keygen`.

use super::*;
use crate::key::{GenerateSpec, PrivateKey};
use proptest::prelude::*;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

const HEAD: Head<'_> = Head { version: 7, generated_at: 1_700_000_000, group: "web" };

fn generate(spec: GenerateSpec) -> PublicKey {
    PrivateKey::generate(spec).unwrap().public().clone()
}

/// One of every algorithm, and an Ed25519 key that no list names.
fn keys() -> &'static (Vec<PublicKey>, PublicKey) {
    static KEYS: OnceLock<(Vec<PublicKey>, PublicKey)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let specs = [
            GenerateSpec::Ed25519,
            GenerateSpec::EcdsaP256,
            GenerateSpec::EcdsaP384,
            GenerateSpec::EcdsaP521,
            GenerateSpec::Rsa { bits: 4096 },
        ];
        (specs.map(generate).to_vec(), generate(GenerateSpec::Ed25519))
    })
}

/// As many canonical Ed25519 keys as wanted, of which only the last has to be a point that somebody made.
fn many(count: u32) -> (RevokedKeys, Option<PublicKey>) {
    let last = (count > 0).then(|| generate(GenerateSpec::Ed25519));
    let counted = (1..count).map(|n| {
        let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
        blob.extend_from_slice(&[0; 28]);
        blob.extend_from_slice(&n.to_be_bytes());
        blob
    });
    let mut keys = RevokedKeys(counted.collect());
    keys.0.extend(last.iter().map(|key| key.blob().to_vec()));
    (keys, last)
}

fn ssh_keygen(dir: &Path, arguments: &[&str]) -> Output {
    Command::new("ssh-keygen")
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap_or_else(|error| panic!("ssh-keygen: {error} (apt-get install openssh-client)"))
}

/// What `ssh-keygen -Q` says of each key: true where it is revoked.
fn judged(list: &[u8], keys: &[&PublicKey]) -> Vec<bool> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("list"), list).unwrap();
    let loads = ssh_keygen(dir.path(), &["-Q", "-f", "list"]);
    assert!(loads.status.success(), "{loads:?}");
    let judge = |(at, key): (usize, &&PublicKey)| {
        let name = format!("{at}.pub");
        std::fs::write(dir.path().join(&name), key.openssh()).unwrap();
        let said = ssh_keygen(dir.path(), &["-Q", "-f", "list", &name]);
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        match (said.status.code(), text.contains(": REVOKED"), text.contains(": ok")) {
            (Some(1), true, false) => true,
            (Some(0), false, true) => false,
            _ => panic!("{said:?}"),
        }
    };
    keys.iter().enumerate().map(judge).collect()
}

#[test]
fn every_algorithm_is_revoked_and_no_other_key() {
    let (revoked, other) = keys();
    let list = revoked.iter().collect::<RevokedKeys>().encode(&HEAD);
    let asked: Vec<&PublicKey> = revoked.iter().chain([other]).collect();
    assert_eq!(judged(&list, &asked), [true, true, true, true, true, false]);
    for key in revoked {
        let alone = [key].into_iter().collect::<RevokedKeys>().encode(&HEAD);
        assert_eq!(judged(&alone, &[key, other]), [true, false], "{key:?}");
    }
}

#[test]
fn lists_of_any_size_are_read() {
    let (_, other) = keys();
    for count in [0, 1, 1_000, 100_000] {
        let (keys, last) = many(count);
        assert_eq!(keys.len(), usize::try_from(count).unwrap());
        let list = keys.encode(&HEAD);
        let asked: Vec<&PublicKey> = last.iter().chain([other]).collect();
        let expected: Vec<bool> = last.iter().map(|_| true).chain([false]).collect();
        assert_eq!(judged(&list, &asked), expected, "{count}");
    }
}

#[test]
fn the_head_is_as_ssh_keygen_lists_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("list"), many(2).0.encode(&HEAD)).unwrap();
    let said = ssh_keygen(dir.path(), &["-Q", "-l", "-f", "list"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{said:?}");
    for expected in ["# KRL version 7\n", "# Generated at 20231114T", "# Comment: keywright:web\n"] {
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(
        text.lines().filter(|line| line.contains("ssh-ed25519") || line.contains("SHA256:")).count(),
        2
    );
}

#[test]
fn a_cut_list_is_none() {
    let list = many(3).0.encode(&HEAD);
    let dir = tempfile::tempdir().unwrap();
    for end in [list.len() - 1, list.len() - 60, 30, 8] {
        std::fs::write(dir.path().join("list"), &list[..end]).unwrap();
        assert!(!ssh_keygen(dir.path(), &["-Q", "-f", "list"]).status.success(), "{end}");
    }
}

/// What the reference writes of the same keys under the same head: its own version, comment and time put in.
fn reference(keys: &[&PublicKey]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let mut arguments =
        vec!["-k", "-f", "list", "-z", "7"].into_iter().map(str::to_owned).collect::<Vec<_>>();
    for (at, key) in keys.iter().enumerate() {
        let name = format!("{at}.pub");
        std::fs::write(dir.path().join(&name), key.openssh()).unwrap();
        arguments.push(name);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let made = ssh_keygen(dir.path(), &arguments);
    assert!(made.status.success(), "{made:?}");
    std::fs::read(dir.path().join("list")).unwrap()
}

/// Everything after the head: magic, format, version, time, flags, two strings.
fn sections(list: &[u8]) -> &[u8] {
    let comment_at = 8 + 4 + 8 + 8 + 8 + 4;
    let length = u32::from_be_bytes(list[comment_at..comment_at + 4].try_into().unwrap());
    &list[comment_at + 4 + usize::try_from(length).unwrap()..]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_list_is_what_the_reference_makes_of_the_same_keys(chosen in proptest::collection::vec(0..6usize, 1..12)) {
        let (revoked, other) = keys();
        let all: Vec<&PublicKey> = revoked.iter().chain([other]).collect();
        let named: Vec<&PublicKey> = chosen.iter().map(|at| all[*at]).collect();
        let ours = named.iter().copied().collect::<RevokedKeys>().encode(&HEAD);
        let theirs = reference(&named);
        prop_assert_eq!(&ours[..20], &theirs[..20], "magic, format and version");
        let sorted = |list: &[u8]| explicit_keys(sections(list));
        prop_assert_eq!(sorted(&ours), sorted(&theirs));
        let reversed = named.iter().rev().copied().collect::<RevokedKeys>().encode(&HEAD);
        prop_assert_eq!(&reversed, &ours);
        let expected: Vec<bool> = all.iter().map(|key| named.contains(key)).collect();
        prop_assert_eq!(judged(&ours, &all), judged(&theirs, &all));
        prop_assert_eq!(judged(&ours, &all), expected);
    }
}

/// The blobs of one section of keys, in order.
fn explicit_keys(sections: &[u8]) -> BTreeSet<Vec<u8>> {
    let (kind, rest) = sections.split_first().unwrap();
    assert_eq!(*kind, SECTION_EXPLICIT_KEY);
    let (mut left, rest) = take(rest);
    assert!(rest.is_empty());
    let mut found = BTreeSet::new();
    while !left.is_empty() {
        let (blob, after) = take(left);
        found.insert(blob.to_vec());
        left = after;
    }
    found
}

fn take(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = u32::from_be_bytes(bytes[..4].try_into().unwrap());
    bytes[4..].split_at(usize::try_from(length).unwrap())
}

#[test]
fn the_text_form_names_the_same_keys() {
    let (revoked, other) = keys();
    let list: RevokedKeys = revoked.iter().collect();
    let text = list.text(&HEAD);
    assert!(text.starts_with("# keywright:web version 7\n"), "{text}");
    let read: RevokedKeys =
        text.lines().skip(1).map(|line| PublicKey::parse_openssh(line).unwrap()).collect();
    assert_eq!(read, list);
    assert!(!text.contains(&other.openssh()));
    assert_eq!(RevokedKeys::default().text(&HEAD).lines().count(), 1);
}
