//! The download: nothing is overwritten, nothing is lost, nobody else can read it.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::gateway::{Gateway, Reply, Request, mode};

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n";
const ACCESS: &str = r#"{"id":"acc_1","account":"tenant-k3","fingerprint":"SHA256:f","hosts":[{"host":"192.0.2.7","port":2222}]}"#;
const COMMAND: [&str; 7] = ["access", "download", "acc_1", "--tenant", "ten_1", "--confirm", "acc_1"];

/// A gateway whose downloads go as the closure says.
fn gateway(download: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Gateway {
    Gateway::start(move |request| match request.target.as_str() {
        "/api/tenants/ten_1/ssh-access/acc_1" => Reply::json(200, ACCESS),
        "/api/tenants/ten_1/ssh-access/acc_1/download" => download(request),
        "/api/tenants/ten_1/ssh-access/acc_1/download/clm_1/acknowledge" => Reply::json(200, "{}"),
        other => panic!("{other}"),
    })
}

fn key() -> Reply {
    Reply::of(200, "application/octet-stream", KEY.as_bytes()).with("keywright-claim-id", "clm_1")
}

#[test]
fn the_key_is_stored_privately_and_then_acknowledged() {
    let gateway = gateway(|_| key());
    let run = gateway.run(&COMMAND);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let file = gateway.path("tenant-ssh-key.pem");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), KEY);
    assert_eq!(mode(&file), 0o600);
    assert!(gateway.lines()[2].ends_with("/download/clm_1/acknowledge"), "{:?}", gateway.lines());
    let sent = &gateway.requests()[1].body;
    assert_eq!(sent["confirmation"], serde_json::json!({"accessId": "acc_1"}));
    assert_eq!((&sent["format"], sent.get("passphrase")), (&"openssh".into(), None));
    let claim = sent["claimId"].as_str().unwrap();
    assert!(claim.starts_with("clm_") && claim.len() == 30, "chosen by the client: {claim}");
    assert!(run.stderr.contains("Security warning"), "{}", run.stderr);
    assert!(run.stderr.contains("ssh -i tenant-ssh-key.pem -p 2222 tenant-k3@192.0.2.7"), "{}", run.stderr);
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("PRIVATE KEY-----"));
}

#[test]
fn the_file_is_there_before_the_claim() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pem");
    let seen = file.clone();
    let gateway = gateway(move |_| {
        assert_eq!(mode(&seen), 0o600);
        key()
    });
    let run = gateway.run(&[&COMMAND[..], &["--out", file.to_str().unwrap()]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn nothing_is_overwritten_and_nothing_is_claimed_for_it() {
    let gateway = gateway(|_| panic!("claimed"));
    let file = gateway.write("tenant-ssh-key.pem", "precious");
    let run = gateway.run(&COMMAND);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("never overwritten"), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "precious");
    assert_eq!(gateway.lines(), ["GET /api/tenants/ten_1/ssh-access/acc_1"]);
}

#[test]
fn a_refused_claim_leaves_no_file() {
    let gateway = gateway(|_| Reply::error(409, 9, "KEY_ALREADY_DOWNLOADED"));
    let run = gateway.run(&COMMAND);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(!gateway.path("tenant-ssh-key.pem").exists());
    assert_eq!(gateway.requests().len(), 2, "a refusal is not tried again");
}

#[test]
fn a_cut_connection_fetches_the_same_claim_again() {
    let tries = AtomicUsize::new(0);
    let gateway = gateway(move |request| match tries.fetch_add(1, Ordering::SeqCst) {
        0 => key().cut_at(20),
        _ => {
            assert_eq!(request.body["claimId"], "clm_1");
            key()
        }
    });
    let run = gateway.run(&COMMAND);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(gateway.path("tenant-ssh-key.pem")).unwrap(), KEY);
}

#[test]
fn a_passphrase_comes_from_a_file() {
    let gateway = gateway(|_| key());
    let file = gateway.write("pass", "correct horse\nsecond line\n");
    let run =
        gateway.run(&[&COMMAND[..], &["--passphrase-file", &file, "--format", "ppk", "-o", "json"]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(gateway.requests()[1].body["passphrase"], "correct horse");
    assert_eq!(gateway.requests()[1].body["format"], "ppk");
    let answer: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(answer["claimId"], "clm_1");
}
