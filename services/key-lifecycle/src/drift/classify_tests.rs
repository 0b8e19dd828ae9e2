//! Lines and what they are.

use super::*;
use crate::model::{Here, KnownManagement, SeenFile};
use keywright_domain::authorized_keys::LineOption;
use keywright_domain::key::{GenerateSpec, PrivateKey, PublicKey};
use proptest::prelude::*;

const NOW: i64 = 1_772_366_400;

fn key() -> PublicKey {
    PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().clone()
}

fn seen(name: &str, uid: u32, file: &str) -> Seen {
    let files = vec![SeenFile {
        path: format!("/home/{name}/.ssh/authorized_keys"),
        bytes: file.as_bytes().to_vec(),
    }];
    let accounts = vec![SeenAccount { name: name.to_owned(), uid, files, unreadable: Vec::new() }];
    Seen { accounts, ..Seen::default() }
}

fn here(key: &PublicKey, account: &str) -> KnownKey {
    let here = Here {
        account: account.to_owned(),
        installed: true,
        settled: true,
        ends: false,
        options: Vec::new(),
    };
    KnownKey {
        public_key: key.clone(),
        access: AccessId::random().unwrap(),
        version: 3,
        compromised: false,
        here: Some(here),
    }
}

fn judge(seen: &Seen, known: &Known) -> Judged {
    classify(seen, known, Instant::from_secs(NOW))
}

fn of(keys: Vec<KnownKey>) -> Known {
    Known { keys, ..Known::default() }
}

fn brief(judged: &Judged) -> Vec<(KeyClass, Vec<KeyFlag>)> {
    judged.keys.iter().map(|key| (key.class, key.flags.clone())).collect()
}

#[test]
fn the_blob_decides_and_not_the_comment() {
    let (ours, theirs) = (key(), key());
    let known = here(&ours, "alice");
    let file = format!(
        "# a comment\n{} somebody's laptop\n{} keywright:{}:v3\nnonsense\n",
        ours.openssh(),
        theirs.openssh(),
        known.access
    );
    let mut known = of(vec![known]);
    known.accesses.insert(known.keys[0].access.clone());
    let judged = judge(&seen("alice", 1001, &file), &known);
    assert_eq!(brief(&judged), [(KeyClass::Managed, vec![]), (KeyClass::Foreign, vec![])]);
    assert_eq!((judged.keys[0].version, judged.keys[0].line, judged.keys[1].line), (3, 2, 3));
    assert_eq!((judged.accounts[0].keys, judged.drift()), (2, 0));
}

#[test]
fn what_must_not_be_there_is_an_orphan() {
    let (retired, elsewhere, management) = (key(), key(), key());
    let mut keys = vec![here(&retired, "alice"), here(&elsewhere, "bob")];
    keys[0].here = None;
    keys[0].compromised = true;
    let nobodys = format!("{} keywright:{}:v1", key().openssh(), AccessId::random().unwrap());
    let file = [&retired.openssh(), &elsewhere.openssh(), &management.openssh(), &nobodys]
        .map(String::as_str)
        .join("\n");
    let management = vec![KnownManagement { public_key: management, account: Some("root".to_owned()) }];
    let known = Known { keys, management, ..Known::default() };
    let judged = judge(&seen("alice", 1001, &file), &known);
    let orphans: Vec<&ServerKey> = judged.keys.iter().filter(|key| key.class == KeyClass::Orphan).collect();
    assert_eq!(orphans.len(), 4);
    assert_eq!(orphans[0].flags, [KeyFlag::Compromised]);
    // Bob's own line is missed besides, for his account was not unreadable and nothing was cut off.
    assert_eq!((judged.keys.last().unwrap().class, judged.drift()), (KeyClass::Missing, 5));
    let at_home =
        judge(&seen("root", 0, &known.management[0].public_key.openssh()), &Known { keys: vec![], ..known });
    assert_eq!(brief(&at_home), [(KeyClass::Management, vec![])]);
}

#[test]
fn a_line_that_is_not_as_it_should_be_is_changed() {
    let ours = key();
    let of_line = |line: String, change: &dyn Fn(&mut Here)| {
        let mut known = here(&ours, "alice");
        change(known.here.as_mut().unwrap());
        let judged = judge(&seen("alice", 1001, &line), &of(vec![known]));
        judged.keys[0].flags.contains(&KeyFlag::Changed)
    };
    let text = ours.openssh();
    assert!(!of_line(text.clone(), &|_| ()));
    assert!(
        !of_line(format!("no-pty,from=\"10.0.0.0/8\" {text}"), &|_| ()),
        "a user's own options are carried over"
    );
    let restrict = |here: &mut Here| here.options = vec![LineOption::parse("restrict").unwrap()];
    assert!(of_line(text.clone(), &restrict) && !of_line(format!("restrict {text}"), &restrict));
    assert!(of_line(format!("expiry-time=\"20990101\" {text}"), &|_| ()));
    assert!(of_line(text.clone(), &|here| here.ends = true));
    assert!(of_line(format!("cert-authority {text}"), &|_| ()));
    assert!(!of_line(format!("cert-authority {text}"), &|here| here.settled = false));
}

#[test]
fn flags_tell_what_is_wrong_with_a_key() {
    let foreign = key();
    let text = foreign.openssh();
    let flags = |uid: u32, line: &str| judge(&seen("x", uid, line), &Known::default()).keys[0].flags.clone();
    assert_eq!(flags(0, &text), [KeyFlag::UnrestrictedRoot]);
    assert_eq!(flags(0, &format!("from=\"10.1.1.1\" {text}")), []);
    assert_eq!(flags(1, &format!("expiry-time=\"20260301115959Z\" {text}")), [KeyFlag::Expired]);
    assert_eq!(flags(1, &format!("expiry-time=\"20260301120001Z\" {text}")), []);
    assert_eq!(flags(1, &format!("cert-authority {text}")), [KeyFlag::CertAuthority]);
    let twice = judge(&seen("x", 1, &format!("{text}\n{text} again\n")), &Known::default());
    assert_eq!(brief(&twice)[1].1, [KeyFlag::Duplicate]);
    let mut abroad = seen("x", 1, &format!("expiry-time=\"20260301125959\" {text}"));
    abroad.offset_seconds = 3600;
    assert_eq!(judge(&abroad, &Known::default()).keys[0].flags, [KeyFlag::Expired]);
    let blob =
        [&[0, 0, 0, 7][..], b"ssh-rsa", &[0, 0, 0, 3, 1, 0, 1, 0, 0, 0, 129, 0], &[0x81; 128]].concat();
    let weak = format!("ssh-rsa {}", data_encoding::BASE64.encode(&blob));
    let judged = judge(&seen("x", 1, &weak), &Known::default());
    assert_eq!((judged.keys[0].bits, judged.keys[0].flags.as_slice()), (1024, &[KeyFlag::Weak][..]));
}

#[test]
fn missing_is_only_what_could_have_been_seen() {
    let ours = key();
    let known = of(vec![here(&ours, "alice")]);
    assert_eq!(brief(&judge(&seen("alice", 1001, ""), &known)), [(KeyClass::Missing, vec![])]);
    let mut unreadable = seen("alice", 1001, "");
    unreadable.accounts[0].unreadable.push("/x: HOST_FILE_OWNER".to_owned());
    assert_eq!(brief(&judge(&unreadable, &known)), []);
    let truncated = Seen { truncated: true, ..seen("bob", 1002, "") };
    assert_eq!(brief(&judge(&truncated, &known)), []);
    assert_eq!(judge(&seen("bob", 1002, ""), &known).drift(), 1, "the account is gone");
    let mut busy = known;
    busy.keys[0].here.as_mut().unwrap().settled = false;
    assert_eq!(brief(&judge(&seen("alice", 1001, ""), &busy)), []);
}

#[test]
fn words_of_the_host_come_out_clean_and_short() {
    let text = key().openssh();
    let long = "y".repeat(500);
    let file = format!(
        "{text} a\x1b[31mb\u{202e}c\n{text} {long}\n{text} -----BEGIN OPENSSH PRIVATE KEY-----b3Bl\ncommand=\"echo s3cret\",environment=\"A=b\" {text}\n"
    );
    let judged = judge(&seen("x", 1, &file), &Known::default());
    let comments: Vec<&str> = judged.keys.iter().map(|key| key.comment.as_str()).collect();
    assert_eq!(comments, ["a[31mbc", &"y".repeat(200), "(not shown)", ""]);
    assert_eq!(judged.keys[3].options, ["command", "environment"]);
}

#[test]
fn more_lines_than_are_kept_are_told() {
    let blob =
        |n: u32| [&[0, 0, 0, 11][..], b"ssh-ed25519", &[0, 0, 0, 32], &n.to_be_bytes(), &[7; 28]].concat();
    let lines = (0..10_500u32).map(|n| format!("ssh-ed25519 {}\n", data_encoding::BASE64.encode(&blob(n))));
    let judged = judge(&seen("x", 1, &lines.collect::<String>()), &Known::default());
    assert!(judged.truncated && judged.keys.len() == MOST_KEYS);
}

proptest! {
    /// Whatever stands around it: our line is found by its blob, every other key line is somebody else's, junk is none.
    #[test]
    fn a_file_is_judged_line_by_line(lines in proptest::collection::vec(0..5usize, 0..40), junk in "[ -~\\x00-\\x1f\\x80-\\xff]{0,60}") {
        let (ours, theirs) = (key(), key());
        let known = here(&ours, "alice");
        let junk = junk.replace('\n', " ");
        let text: String = lines.iter().map(|kind| match kind {
            0 => format!("{} keywright:x\n", ours.openssh()),
            1 => format!("no-pty {} keywright:{}:v3\n", theirs.openssh(), known.access),
            2 => "# comment\r\n".to_owned(),
            3 => format!("#{junk}\n"),
            _ => "\n".to_owned(),
        }).collect();
        let mut known = of(vec![known]);
        known.accesses.insert(known.keys[0].access.clone());
        let judged = judge(&seen("alice", 1001, &text), &known);
        let count = |class| judged.keys.iter().filter(|key| key.class == class).count();
        let wrote = |kind: usize| lines.iter().filter(|line| **line == kind).count();
        prop_assert_eq!(count(KeyClass::Managed), wrote(0));
        prop_assert_eq!(count(KeyClass::Foreign), wrote(1));
        prop_assert_eq!(count(KeyClass::Missing), usize::from(wrote(0) == 0));
        let repeated = judged.keys.iter().filter(|key| key.flags.contains(&KeyFlag::Duplicate)).count();
        prop_assert_eq!(repeated, wrote(0).saturating_sub(1) + wrote(1).saturating_sub(1));
    }

    #[test]
    fn bytes_of_any_kind_are_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut seen = seen("x", 0, "");
        seen.accounts[0].files[0].bytes = bytes;
        let judged = judge(&seen, &Known::default());
        prop_assert!(judged.keys.iter().all(|key| key.comment.chars().count() <= 200));
        let _ = named(&seen);
    }
}
