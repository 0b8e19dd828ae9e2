//! Examples, with ssh-keygen as the judge of what a line means.

use super::*;
use crate::key::{GenerateSpec, PrivateKey, PublicKey};
use std::process::Command;

fn key() -> PublicKey {
    PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().clone()
}

fn owner() -> Owner {
    Owner::parse("acc_abcdefghijklmnopqrstuvwxyz").unwrap()
}

fn line(key: &PublicKey, version: u32) -> DesiredLine {
    DesiredLine { public_key: key.clone(), version, expiry: None, options: Vec::new() }
}

fn desired(revision: u64, lines: &[DesiredLine], all: &[&PublicKey]) -> Desired {
    let all_blobs = all.iter().map(|key| key.blob().to_vec()).collect();
    Desired { owner: owner(), revision, lines: lines.to_vec(), all_blobs }
}

fn edited(file: &str, desired: &Desired) -> String {
    let bytes = apply(file.as_bytes(), desired).unwrap();
    assert_eq!(apply(&bytes, desired).unwrap(), bytes, "the second time changes nothing");
    String::from_utf8(bytes).unwrap()
}

fn marker(revision: u64) -> String {
    format!("# keywright:{} rev={revision}\n", owner().as_str())
}

fn ours(key: &PublicKey, version: u32) -> String {
    format!("{} keywright:{}:v{version}", key.openssh(), owner().as_str())
}

#[test]
fn a_missing_line_is_added_at_the_end_of_an_empty_and_of_an_unterminated_file() {
    let key = key();
    let want = desired(3, &[line(&key, 1)], &[&key]);
    assert_eq!(edited("", &want), format!("{}{}\n", marker(3), ours(&key, 1)));
    let file = "# mine\nssh-dss AAAA x";
    assert_eq!(edited(file, &want), format!("{file}\n{}{}\n", marker(3), ours(&key, 1)));
    assert_eq!(revision(edited(file, &want).as_bytes(), &owner()), Some(3));
}

#[test]
fn a_rotation_adds_then_marks_then_removes_and_the_marker_stays() {
    let (old, new) = (key(), key());
    let first = edited("", &desired(1, &[line(&old, 1)], &[&old]));
    let both = edited(&first, &desired(2, &[line(&old, 1), line(&new, 2)], &[&old, &new]));
    assert_eq!(both, format!("{}{}\n{}\n", marker(2), ours(&old, 1), ours(&new, 2)));
    let expiry = ExpiryTime::parse("20300102030405Z").unwrap();
    let ending = DesiredLine { expiry: Some(expiry), ..line(&old, 1) };
    let grace = edited(&both, &desired(3, &[ending, line(&new, 2)], &[&old, &new]));
    assert_eq!(
        grace,
        format!("{}expiry-time=\"20300102030405Z\" {}\n{}\n", marker(3), ours(&old, 1), ours(&new, 2))
    );
    let undone = edited(&grace, &desired(4, &[line(&old, 1), line(&new, 2)], &[&old, &new]));
    assert_eq!(undone, both.replace("rev=2", "rev=4"));
    let after = edited(&grace, &desired(5, &[line(&new, 2)], &[&old, &new]));
    assert_eq!(after, format!("{}{}\n", marker(5), ours(&new, 2)));
    assert_eq!(edited(&after, &desired(6, &[], &[&old, &new])), marker(6));
}

#[test]
fn a_lower_revision_is_superseded_and_an_equal_one_is_not() {
    let key = key();
    let file = format!("{}x\n{}", marker(4), marker(9));
    let edit = |revision| apply(file.as_bytes(), &desired(revision, &[line(&key, 1)], &[&key]));
    assert_eq!(edit(8), Err(EditError::Superseded { found: 9 }));
    assert_eq!(String::from_utf8(edit(9).unwrap()).unwrap(), format!("{}x\n{}\n", marker(9), ours(&key, 1)));
    let other = Owner::parse("mgt_abcdefghijklmnopqrstuvwxyz").unwrap();
    assert_eq!(revision(file.as_bytes(), &other), None);
    // The marker of another owner whose id starts alike is a foreign line.
    let longer = format!("# keywright:{}x rev=99\n", owner().as_str());
    assert_eq!(edited(&longer, &desired(1, &[], &[])), format!("{longer}{}", marker(1)));
}

#[test]
fn what_the_user_put_on_our_line_is_carried_over() {
    let key = key();
    let blob = key.openssh();
    let want = |expiry: Option<&str>| {
        let expiry = expiry.map(|text| ExpiryTime::parse(text).unwrap());
        desired(1, &[DesiredLine { expiry, ..line(&key, 1) }], &[&key])
    };
    let options = r#"from="10.0.0.0/8,!10.1.*",command="echo \"a, b\" # c",restrict,PTY"#;
    let file = format!("{}\t{options} {blob} my laptop\r\n", marker(1));
    let plain = format!("{}{options} {}\r\n", marker(1), ours(&key, 1));
    let ending = format!("{}{options},expiry-time=\"20300101\" {}\r\n", marker(1), ours(&key, 1));
    assert_eq!(edited(&file, &want(None)), plain);
    assert_eq!(edited(&file, &want(Some("20300101"))), ending);
    assert_eq!(edited(&ending, &want(None)), plain);
    let stale = format!("{}EXPIRY-time=\"19990101\",no-pty,expiry-time=\"20010101\" {blob}\n", marker(1));
    assert_eq!(edited(&stale, &want(None)), format!("{}no-pty {}\n", marker(1), ours(&key, 1)));
    let authority = format!("{}cert-authority,principals=\"root\" {blob}\n", marker(1));
    assert_eq!(edited(&authority, &want(None)), format!("{}{}\n", marker(1), ours(&key, 1)));
}

fn with_options(key: &PublicKey, version: u32, options: &[&str]) -> DesiredLine {
    let options = options.iter().map(|text| LineOption::parse_policy(text).unwrap()).collect();
    DesiredLine { options, ..line(key, version) }
}

fn marker_with(revision: u64, set: &str) -> String {
    format!("# keywright:{} rev={revision} set={set}\n", owner().as_str())
}

#[test]
fn options_that_are_asked_for_replace_those_of_the_same_name() {
    let key = key();
    let want = desired(1, &[with_options(&key, 1, &["restrict", "from=\"10.0.0.1\""])], &[&key]);
    let file = format!("{}from=\"*\",no-pty {}\n", marker(1), key.openssh());
    let wanted =
        format!("{}no-pty,restrict,from=\"10.0.0.1\" {}\n", marker_with(1, "from,restrict"), ours(&key, 1));
    assert_eq!(edited(&file, &want), wanted);
}

#[test]
fn options_go_with_their_policy_and_those_put_there_by_hand_stay() {
    let key = key();
    let first = edited("", &desired(1, &[with_options(&key, 1, &["restrict", "command=\"a\""])], &[&key]));
    assert_eq!(
        first,
        format!("{}restrict,command=\"a\" {}\n", marker_with(1, "command,restrict"), ours(&key, 1))
    );
    let by_hand = first.replace("restrict,", "restrict,no-user-rc,");
    let second = edited(&by_hand, &desired(2, &[with_options(&key, 1, &["command=\"b\""])], &[&key]));
    assert_eq!(second, format!("{}no-user-rc,command=\"b\" {}\n", marker_with(2, "command"), ours(&key, 1)));
    let third = edited(&second, &desired(3, &[line(&key, 1)], &[&key]));
    assert_eq!(third, format!("{}no-user-rc {}\n", marker(3), ours(&key, 1)));
    assert_eq!(revision(second.as_bytes(), &owner()), Some(2));
    // What is put there by hand after the policy let go of the name is the hand's.
    let again = third.replace("no-user-rc ", "command=\"c\" ");
    assert_eq!(edited(&again, &desired(4, &[line(&key, 1)], &[&key])), again.replace("rev=3", "rev=4"));
}

#[test]
fn a_replacing_key_takes_over_what_was_put_on_its_predecessor_by_hand() {
    let (first, second, third) = (key(), key(), key());
    let all = [&first, &second, &third];
    let file = format!(
        "{}no-pty,restrict {}\nfrom=\"10.0.0.0/8\",restrict,expiry-time=\"20300101\" {}\n",
        marker_with(1, "restrict"),
        ours(&first, 1),
        ours(&second, 2)
    );
    let lines = [line(&second, 2), with_options(&third, 3, &["command=\"x\""])];
    let grown = edited(&file, &desired(2, &lines, &all));
    let wanted = format!(
        "{}from=\"10.0.0.0/8\" {}\nfrom=\"10.0.0.0/8\",command=\"x\" {}\n",
        marker_with(2, "command"),
        ours(&second, 2),
        ours(&third, 3)
    );
    assert_eq!(grown, wanted);
    // The predecessor may go in the same edit, and a policy's option of the same name wins.
    let lines = [with_options(&third, 3, &["from=\"192.0.2.0/24\""])];
    let replaced = edited(&file, &desired(2, &lines, &all));
    assert_eq!(replaced, format!("{}from=\"192.0.2.0/24\" {}\n", marker_with(2, "from"), ours(&third, 3)));
    // Nobody inherits from his successor.
    let file = format!("{}no-pty {}\n", marker(1), ours(&third, 3));
    let back = edited(&file, &desired(2, &[line(&second, 2), line(&third, 3)], &all));
    assert_eq!(back, format!("{}no-pty {}\n{}\n", marker(2), ours(&third, 3), ours(&second, 2)));
}

#[test]
fn every_line_with_a_blob_of_ours_is_ours_however_it_is_dressed() {
    let (old, new) = (key(), key());
    let text = old.openssh();
    let (name, encoded) = text.split_once(' ').unwrap();
    let dressed = [
        text.clone(),
        format!("  \t{text} somebody@else"),
        format!("{name}   \t {encoded}\tx"),
        format!("no-pty {text} keywright:acc_other:v1"),
        format!("command=\"a b\\\" c\" {text}"),
        format!("environment=\"X=#\"\t\t{text}\r"),
        format!("{text}\0 hidden"),
        format!("{name} {}", encoded.trim_end_matches('=')),
    ];
    for one in dressed {
        let file = format!("before\n{one}\nafter\n");
        assert_eq!(
            edited(&file, &desired(1, &[], &[&old, &new])),
            format!("before\nafter\n{}", marker(1)),
            "{one:?}"
        );
    }
    for not in [
        format!("#{text}"),
        format!("command=\"open {text}"),
        format!("two options {text}"),
        encoded.to_owned(),
    ] {
        let file = format!("{not}\n");
        assert_eq!(edited(&file, &desired(1, &[], &[&old])), format!("{file}{}", marker(1)), "{not:?}");
    }
}

#[test]
fn duplicates_of_ours_become_one_where_the_first_stood() {
    let key = key();
    let text = key.openssh();
    let file = format!("a\nno-pty {text}\nb\n{text}\n{text} x");
    let want = desired(1, &[line(&key, 1)], &[&key]);
    assert_eq!(edited(&file, &want), format!("a\nno-pty {}\nb\n{}", ours(&key, 1), marker(1)));
}

#[test]
fn foreign_keys_are_counted() {
    let (mine, theirs) = (key(), key());
    let file =
        format!("{}\nfrom=\"a b\" {}\n# {}\njunk\n\n", mine.openssh(), theirs.openssh(), theirs.openssh());
    assert_eq!(foreign_keys(file.as_bytes(), &[mine.blob().to_vec()]), 1);
    assert_eq!(foreign_keys(file.as_bytes(), &[]), 2);
}

#[test]
fn large_files_are_refused() {
    let key = key();
    let want = desired(1, &[line(&key, 1)], &[&key]);
    assert_eq!(apply(&vec![b'#'; MAX_FILE + 1], &want), Err(EditError::TooLarge));
    assert_eq!(apply(&vec![b'#'; MAX_FILE - 10], &want), Err(EditError::TooLarge));
}

#[test]
fn ssh_keygen_reads_the_same_keys_from_what_was_written() {
    let keys: Vec<PublicKey> = (0..4).map(|_| key()).collect();
    let file = format!(
        "# head\r\n\r\nfrom=\"10.0.0.0/8\",command=\"x \\\"y z\\\"\" {} theirs\r\n\tno-pty {} old\njunk",
        keys[0].openssh(),
        keys[1].openssh()
    );
    let expiry = ExpiryTime::parse("20300102030405Z").unwrap();
    let ending = DesiredLine { expiry: Some(expiry), ..line(&keys[1], 1) };
    let bytes = edited(&file, &desired(7, &[ending, line(&keys[2], 2)], &[&keys[1], &keys[2], &keys[3]]));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("authorized_keys");
    std::fs::write(&path, &bytes).unwrap();
    let output = Command::new("ssh-keygen").arg("-lf").arg(&path).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let listed: Vec<&str> = listed.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    let wanted: Vec<String> = keys[..3].iter().map(|key| key.fingerprint().to_string()).collect();
    assert_eq!(listed, wanted);
    assert_eq!(Document::parse(bytes.as_bytes()).keys().count(), 3);
}

#[test]
fn options_are_read_as_sshd_reads_them() {
    let text = format!("from=\"a,b\",COMMAND=\"say \\\"hi\\\"\",restrict,,x= {}", key().openssh());
    let document = Document::parse(text.as_bytes());
    let options = document.keys().next().unwrap().options();
    assert_eq!(options.items().count(), 4);
    assert_eq!(options.value("from"), Some(b"a,b".to_vec()));
    assert_eq!(options.value("command"), Some(b"say \"hi\"".to_vec()));
    assert!(options.has("restrict") && options.value("restrict").is_none() && !options.has("pty"));
    assert_eq!(options.value("x"), Some(Vec::new()));
}

#[test]
fn only_whole_options_can_be_asked_for() {
    for good in ["restrict", "from=\"10.0.0.0/8,::1\"", "command=\"a \\\"b\\\" c\"", "no-pty"] {
        assert_eq!(LineOption::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", "a,b", "a b", "command=\"x", "x=\"a\nb\"", "expiry-time=\"20300101\"", "=x", "#", "x\" y"]
    {
        assert!(LineOption::parse(bad).is_err(), "{bad:?}");
    }
    for good in ["20300101", "203001020304", "20300102030405", "20300102030405Z"] {
        assert_eq!(ExpiryTime::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", "2030", "20300102030405ZZ", "2030010203040x", "2030-01-02", "20300101\""] {
        assert!(ExpiryTime::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_owner_is_an_id() {
    for bad in ["", "acc abc", "acc_a:v1", "acc_\n", "ACC_A", &"a".repeat(65)] {
        assert!(Owner::parse(bad).is_err());
    }
    let access = crate::ids::AccessId::random().unwrap();
    assert_eq!(Owner::from(&access), Owner::parse(access.as_str()).unwrap());
    assert_eq!(owner().comment(3), format!("keywright:{}:v3", owner().as_str()));
}

/// A server reads several files: the line moves, or the next key's line is written, where the old one never stood.
#[test]
fn options_come_along_from_another_file_of_the_account() {
    let (old, new) = (key(), key());
    let there = |options: &str, key: &PublicKey, version| format!("{options} {}\n", ours(key, version));
    let from = r#"from="10.0.0.0/8",restrict"#;
    let beside = |file: &str, others: &[&str], want: &Desired| {
        let others: Vec<&[u8]> = others.iter().map(|other| other.as_bytes()).collect();
        String::from_utf8(apply_beside(file.as_bytes(), &others, want).unwrap()).unwrap()
    };
    let both = desired(2, &[line(&old, 1), line(&new, 2)], &[&old, &new]);
    let other = there(from, &old, 1);
    let moved = beside("", &[&other], &both);
    assert_eq!(moved, format!("{}{from} {}\n{from} {}\n", marker(2), ours(&old, 1), ours(&new, 2)));
    assert_eq!(beside(&moved, &[&other], &both), moved, "the second time changes nothing");
    // A line that stands in this file has its own, and the next key takes those of the line that it follows.
    let here = there("no-pty", &old, 1);
    let kept = beside(&here, &[&other], &both);
    assert_eq!(kept, format!("no-pty {}\n{}no-pty {}\n", ours(&old, 1), marker(2), ours(&new, 2)));
    // What a policy had set there goes with the policy, by that file's own mark.
    let marked = format!("# keywright:{} rev=1 set=from\n{other}", owner().as_str());
    let freed = beside("", &[&marked], &both);
    assert_eq!(freed, format!("{}restrict {}\nrestrict {}\n", marker(2), ours(&old, 1), ours(&new, 2)));
}
