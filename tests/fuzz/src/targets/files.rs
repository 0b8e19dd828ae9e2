//! Files of hosts, and names.

use keywright_domain::account::AccountName;
use keywright_domain::authorized_keys::{
    Desired, DesiredLine, Document, MAX_FILE, Owner, apply, foreign_keys,
};
use keywright_domain::host::{HostName, Port, host_keys};
use keywright_domain::key::PublicKey;

/// One key that is ours, in the edits of [`authorized_keys`].
const OURS: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKKjwMBSSUSMYwmX8vfQFRrMqTkVgCwKTwRTNjmRAf3i";

/// An authorized_keys file: read, edited, edited again.
pub fn authorized_keys(bytes: &[u8]) -> bool {
    assert_eq!(Document::parse(bytes).to_bytes(), bytes, "reading changes nothing");
    let owner = Owner::parse("acc_abcdefghijklmnopqrstuvwxyz").expect("an id");
    let key = PublicKey::parse_openssh(OURS).expect("a key");
    let all_blobs = vec![key.blob().to_vec()];
    let line = DesiredLine { public_key: key, version: 1, expiry: None, options: Vec::new() };
    let foreign = foreign_keys(bytes, &all_blobs);
    let desired = Desired { owner, revision: u64::MAX, lines: vec![line], all_blobs };
    let Ok(edited) = apply(bytes, &desired) else { return false };
    assert!(bytes.len() <= MAX_FILE);
    assert_eq!(foreign_keys(&edited, &desired.all_blobs), foreign, "foreign keys stay");
    if edited.len() <= MAX_FILE {
        assert_eq!(apply(&edited, &desired).expect("our own edit is read"), edited, "twice is once");
    }
    let gone = Desired { lines: Vec::new(), ..desired };
    if let Ok(without) = apply(bytes, &gone) {
        assert!(
            !Document::parse(&without)
                .keys()
                .any(|line| gone.all_blobs.iter().any(|ours| ours == line.blob()))
        );
    }
    foreign > 0
}

/// Host keys as people supply them, for a name, a port of its own, and an address.
pub fn known_hosts(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    [("example.net", 22), ("example.net", 2222), ("192.0.2.1", 22), ("new.example.org", 22)]
        .into_iter()
        .map(|(host, port)| {
            let host = HostName::parse(host).expect("a host");
            host_keys(&text, &host, Port::try_from(port).expect("a port")).is_ok_and(|keys| !keys.is_empty())
        })
        .fold(false, |any, found| any | found)
}

/// Names of hosts and of accounts, one in a line: what is accepted is written as it is read.
pub fn names(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.lines().fold(false, |any, line| {
        let host = HostName::parse(line);
        if let Ok(host) = &host {
            assert_eq!(&HostName::parse(host.as_str()).expect("the same name"), host);
            assert!(
                !host.as_str().contains(|letter: char| letter.is_control() || " /@'\"$`;".contains(letter))
            );
        }
        let account = AccountName::parse(line);
        if let Ok(account) = &account {
            assert_eq!(account.as_str(), line);
            assert!(!line.contains(|letter: char| letter.is_control() || " /@'\"$`;:".contains(letter)));
        }
        any | host.is_ok() | account.is_ok()
    })
}
