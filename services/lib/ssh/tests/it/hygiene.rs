//! What servers offer and how good it is, beside what `ssh-audit` says of the same servers and of every algorithm that it
//! knows. Where we differ, the difference has a name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use keywright_kit::python;
use keywright_ssh::{AlgorithmOffer, Assessment, Grade, Kind, ServerOffer, Severity, assess};
use serde_json::Value;

use crate::hosts::{Host, dialer, dropbear, openssh};

const LEGACY: &str = "KexAlgorithms +diffie-hellman-group1-sha1,diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1\n\
                      Ciphers +3des-cbc,aes128-cbc\nMACs +hmac-md5,hmac-sha1\nHostKeyAlgorithms +ssh-rsa";
const HARDENED: &str = "KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256\n\
                        Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes256-ctr\n\
                        MACs hmac-sha2-512-etm@openssh.com,umac-128-etm@openssh.com\n\
                        HostKeyAlgorithms ssh-ed25519,rsa-sha2-512";

/// What `ssh-audit` fails and we do not, by its words, and why.
const DISAGREEMENTS: [(&str, &str); 1] =
    [("suspected as being backdoored", "no weakness of the NIST curves is known")];

/// The lists as `ssh-audit` calls them.
const LISTS: [(&str, Kind); 4] =
    [("kex", Kind::KeyExchange), ("key", Kind::HostKey), ("enc", Kind::Cipher), ("mac", Kind::Mac)];

fn of(offer: &AlgorithmOffer, kind: Kind) -> &[String] {
    match kind {
        Kind::KeyExchange => &offer.kex,
        Kind::HostKey => &offer.host_keys,
        Kind::Cipher => &offer.ciphers,
        Kind::Mac => &offer.macs,
        Kind::Server => &[],
    }
}

async fn read(host: &Host) -> ServerOffer {
    let dialer = dialer();
    let resolved = dialer.resolve(&host.target()).await.unwrap().value;
    dialer.read_offer(&resolved).await.unwrap().value
}

/// What `ssh-audit` prints with these arguments; its status only tells that it found something.
async fn ssh_audit(arguments: &[&str]) -> Value {
    let mut command = python("python-ssh-audit").unwrap();
    command.args(arguments).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await.unwrap().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        panic!("{e}: {}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()))
    })
}

/// What `ssh-audit` thinks of an algorithm.
#[derive(Default)]
struct Theirs {
    fails: Vec<String>,
    warns: bool,
}

impl Theirs {
    fn of(fails: &Value, warns: &Value) -> Self {
        let texts = |notes: &Value| -> Vec<String> {
            let texts = notes.as_array().into_iter().flatten();
            texts.map(|note| note.as_str().unwrap().to_owned()).collect()
        };
        Self { fails: texts(fails), warns: !texts(warns).is_empty() }
    }

    /// The reason of a disagreement, if all of what it fails is one.
    fn disputed(&self) -> Option<&'static str> {
        let dispute =
            |fail: &String| DISAGREEMENTS.iter().find(|(words, _)| fail.contains(words)).map(|d| d.1);
        self.fails.iter().map(dispute).collect::<Option<Vec<_>>>()?.first().copied()
    }

    fn word(&self) -> &'static str {
        match (self.fails.is_empty(), self.warns) {
            (false, _) => "fail",
            (true, true) => "warn",
            (true, false) => "-",
        }
    }
}

/// A line of the table, or what is wrong.
fn compare(name: &str, ours: Option<Severity>, theirs: &Theirs) -> Result<String, String> {
    let we_complain = ours > Some(Severity::Note);
    let verdict = match theirs.word() {
        "fail" if !we_complain => theirs.disputed().ok_or("it fails there and passes here"),
        "-" if we_complain => Err("it passes there and fails here"),
        _ => Ok(""),
    };
    let ours = ours.map_or("-".to_owned(), |severity| format!("{severity:?}"));
    let line = format!("{name:<58} {ours:<8} {:<5}", theirs.word());
    match verdict {
        Ok(reason) => Ok(format!("{line} {reason}").trim_end().to_owned()),
        Err(wrong) => Err(format!("{line} {wrong}")),
    }
}

fn severity(assessment: &Assessment, kind: Kind, name: &str) -> Option<Severity> {
    let finding = assessment.findings.iter().find(|f| f.kind == kind && f.name == name);
    finding.map(|f| f.severity)
}

/// Reads, assesses, and compares both with `ssh-audit`, which looks at the same server.
async fn audited(what: &str, host: &Host) -> (Assessment, String) {
    let ServerOffer { server_version, address, offer } = read(host).await;
    assert_eq!(address.port(), host.port);
    let assessment = assess(&offer);
    let port = host.port.to_string();
    let audit =
        ssh_audit(&["-m", "ssh_audit.ssh_audit", "-j", "--skip-rate-test", "-p", &port, "127.0.0.1"]).await;
    assert_eq!(audit["banner"]["raw"], server_version);
    let listed: Vec<_> =
        audit["compression"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    assert_eq!(listed, offer.compression);
    let mut table = format!("\n{what}: {server_version}, grade {}\n", assessment.grade);
    for (list, kind) in LISTS {
        let theirs: BTreeMap<_, _> = audit[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|a| {
                let notes = Theirs::of(&a["notes"]["fail"], &a["notes"]["warn"]);
                (a["algorithm"].as_str().unwrap(), notes)
            })
            .collect();
        let names: BTreeSet<_> = of(&offer, kind).iter().map(String::as_str).collect();
        assert_eq!(names, theirs.keys().copied().collect(), "{what}: {list}");
        for (name, theirs) in &theirs {
            let line = compare(name, severity(&assessment, kind, name), theirs).unwrap();
            writeln!(table, "  {list} {line}").unwrap();
        }
    }
    let unknown = assessment.findings.iter().filter(|f| f.reason.contains("not known")).count();
    assert_eq!(unknown, 0, "{what}: {:?}", assessment.findings);
    (assessment, table)
}

#[tokio::test]
async fn openssh_as_it_comes_has_weak_algorithms() {
    let (found, table) = audited("OpenSSH, defaults", &openssh(&[], "")).await;
    println!("{table}");
    assert_eq!(found.grade, Grade::C);
    assert!(found.post_quantum && found.strict_kex);
    assert_eq!(severity(&found, Kind::Mac, "umac-64@openssh.com"), Some(Severity::Weak));
    assert_eq!(severity(&found, Kind::KeyExchange, "ecdh-sha2-nistp256"), Some(Severity::Note));
}

#[tokio::test]
async fn openssh_with_legacy_algorithms_fails() {
    let (found, table) = audited("OpenSSH, legacy", &openssh(&[], LEGACY)).await;
    println!("{table}");
    assert_eq!(found.grade, Grade::F);
    for (kind, name, expected) in [
        (Kind::KeyExchange, "diffie-hellman-group1-sha1", Severity::Broken),
        (Kind::Cipher, "3des-cbc", Severity::Broken),
        (Kind::Mac, "hmac-md5", Severity::Broken),
        (Kind::KeyExchange, "diffie-hellman-group14-sha1", Severity::Weak),
        (Kind::HostKey, "ssh-rsa", Severity::Weak),
        (Kind::Cipher, "aes128-cbc", Severity::Weak),
        (Kind::Mac, "hmac-sha1", Severity::Weak),
    ] {
        assert_eq!(severity(&found, kind, name), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn hardened_openssh_is_an_a_and_without_a_post_quantum_exchange_a_b() {
    let (found, table) = audited("OpenSSH, hardened", &openssh(&[], HARDENED)).await;
    println!("{table}");
    assert_eq!((found.grade, found.findings.as_slice()), (Grade::A, &[][..]));

    let classical = HARDENED.replace("sntrup761x25519-sha512@openssh.com,", "");
    let (found, table) = audited("OpenSSH, hardened, without post-quantum", &openssh(&[], &classical)).await;
    println!("{table}");
    assert_eq!((found.grade, found.post_quantum), (Grade::B, false));
    assert_eq!(found.findings.len(), 1);
}

#[tokio::test]
async fn dropbear_as_it_comes_has_weak_algorithms() {
    let (found, table) = audited("Dropbear, defaults", &dropbear(&[])).await;
    println!("{table}");
    assert_eq!(found.grade, Grade::C);
    assert_eq!(severity(&found, Kind::Mac, "hmac-sha1"), Some(Severity::Weak));
}

/// Reading an offer neither logs in nor exchanges keys, as the server's own log shows.
#[tokio::test]
async fn the_server_sees_a_connection_that_ends_before_the_key_exchange() {
    let host = openssh(&[], "LogLevel DEBUG3");
    read(&host).await;
    host.log_with("remote software version Keywright").await;
    // The end of what the server began for this connection; whoever waited for it to listen did not get that far.
    let log = host.log_with("do_cleanup [preauth]").await;
    assert!(log.contains("SSH2_MSG_KEXINIT sent"), "{log}");
    for later in ["SSH2_MSG_KEXINIT received", "SSH2_MSG_NEWKEYS", "userauth-request"] {
        assert!(!log.contains(later), "{later}: {log}");
    }
}

/// The verdict on an algorithm by itself; `None` within for one that has no fault, `None` without for an unknown one.
fn alone(kind: Kind, name: &str) -> Option<Option<Severity>> {
    let mut offer = AlgorithmOffer::default();
    let list = match kind {
        Kind::KeyExchange => &mut offer.kex,
        Kind::HostKey => &mut offer.host_keys,
        Kind::Cipher => &mut offer.ciphers,
        Kind::Mac => &mut offer.macs,
        Kind::Server => panic!("not an algorithm"),
    };
    list.push(name.to_owned());
    let found = assess(&offer).findings.into_iter().find(|f| f.kind == kind);
    if found.as_ref().is_some_and(|f| f.reason.contains("not known")) {
        return None;
    }
    Some(found.map(|f| f.severity))
}

#[tokio::test]
async fn every_algorithm_that_ssh_audit_knows_is_judged_alike() {
    let dump =
        "import json; from ssh_audit.ssh2_kexdb import SSH2_KexDB; print(json.dumps(SSH2_KexDB.MASTER_DB))";
    let database = ssh_audit(&["-c", dump]).await;
    let (mut known, mut disputed) = (0, 0);
    let (mut unknown, mut failed_there, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (list, kind) in LISTS {
        for (name, row) in database[list].as_object().unwrap() {
            let theirs = Theirs::of(&row[1], &row[2]);
            let Some(ours) = alone(kind, &name.replace('*', "toWM5Slw5Ew8Mqkay+al2w==")) else {
                unknown.push(format!("{list} {name}"));
                failed_there.extend((theirs.word() == "fail").then_some(name));
                continue;
            };
            known += 1;
            match compare(name, ours, &theirs) {
                Ok(_) if ours <= Some(Severity::Note) && theirs.disputed().is_some() => disputed += 1,
                Ok(_) => {}
                Err(line) => wrong.push(format!("{list} {line}")),
            }
        }
    }
    println!("{known} known here and there, {disputed} of them disputed: {}", DISAGREEMENTS[0].1);
    println!("{} only known there: {unknown:?}", unknown.len());
    println!("{} of them fail there: {failed_there:?}", failed_there.len());
    assert_eq!(wrong, [""; 0]);
    assert!(known > 290 && disputed > 0, "{known} {disputed}");
}

/// Whatever this machine's OpenSSH can do is in our table.
#[tokio::test]
async fn every_algorithm_of_openssh_is_known() {
    for (query, kind) in [
        ("kex", Kind::KeyExchange),
        ("HostKeyAlgorithms", Kind::HostKey),
        ("cipher", Kind::Cipher),
        ("mac", Kind::Mac),
    ] {
        let output = std::process::Command::new("ssh").args(["-Q", query]).output();
        let output = output.expect("apt-get install openssh-client");
        assert!(output.status.success() && !output.stdout.is_empty());
        for name in String::from_utf8(output.stdout).unwrap().lines() {
            assert!(alone(kind, name).is_some(), "{query}: {name}");
        }
    }
}
