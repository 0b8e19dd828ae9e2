//! The log as anybody checks it: over REST, with the command's own verifier and with the independent one.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use keywright_e2e::{World, text};
use keywright_kit::{Keywright, KeywrightOptions};
use serde_json::json;

/// Signs every second, so that a test need not wait for a minute.
fn options() -> KeywrightOptions {
    KeywrightOptions::default()
        .arg("--audit-checkpoint-interval")
        .arg("1")
        .arg("--audit-origin")
        .arg("test.example/log")
}

fn verifier() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../verifier/verify.py")
}

fn python(arguments: &[&str], token: &str) -> (bool, String) {
    let mut command = Command::new("python3");
    let output = command.arg(verifier()).args(arguments).env("TOKEN", token).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

struct Kept {
    folder: tempfile::TempDir,
}

impl Kept {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

/// The note of a checkpoint that covers at least `size` entries.
async fn checkpoint(world: &World, size: u64) -> String {
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let answer = world.keywright.get("/api/audit/log/checkpoint").await;
        let note = String::from_utf8(answer.bytes.clone()).unwrap();
        let covers = note.lines().nth(1).and_then(|line| line.parse::<u64>().ok());
        if answer.status == 200 && covers.is_some_and(|covers| covers >= size) {
            return note;
        }
        assert!(tokio::time::Instant::now() < until, "no checkpoint of {size}: {note}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn size(world: &World) -> u64 {
    let log = world.keywright.get("/api/audit/events?pageSize=1").await.success();
    let of = |name: &str| log["items"][0][name].as_str().unwrap().parse::<u64>().unwrap_or(0);
    of("sequence").max(of("outcomeSequence")) + 1
}

#[tokio::test]
async fn the_log_is_checked_by_another_program_over_rest() {
    let world = World::with(options(), None, keywright_e2e::Sshd::OpenSsh).await;
    let kept = Kept { folder: tempfile::tempdir().unwrap() };
    let old = checkpoint(&world, 1).await;
    for number in 0..140 {
        let body = json!({"name": format!("node-{number}"), "host": format!("node-{number}.example")});
        world.owner().post("/api/servers", body).await.success();
    }
    let note = checkpoint(&world, size(&world).await).await;
    std::fs::write(kept.path("old"), &old).unwrap();
    std::fs::write(kept.path("checkpoint"), &note).unwrap();
    let keys = world.owner().get("/api/audit/log/keys").await.success();
    let key = text(&keys, "/items/0/verifierKey");
    assert!(key.starts_with("test.example/log/") && note.starts_with("test.example/log/"), "{key}");

    // The tiles: hashes by a tenant's owner, the entries by an operator.
    let base = format!("{}/api/audit/log", world.keywright.url());
    let checkpoint = kept.path("checkpoint");
    let tiles = ["tiles", &base, "--checkpoint", &checkpoint, "--key", &key, "--token-env", "TOKEN"];
    let (good, said) = python(&tiles, &world.owner_token);
    assert!(good && said.starts_with("verified: "), "{said}");
    let entries = [&tiles[..], &["--entries"]].concat();
    let (good, said) = python(&entries, &world.keywright.operator_token());
    assert!(good && said.starts_with("verified: "), "{said}");
    let (good, _) = python(&entries, &world.owner_token);
    assert!(!good, "no tenant reads every tenant's entries");

    // The export: of the platform, and of the tenant, whose file shows its own entries alone.
    let cut = old.lines().nth(1).unwrap();
    let whole = world.keywright.get("/api/audit/export").await;
    let own = world.owner().get(&format!("/api/audit/export?cuts={cut}")).await;
    for (name, answer) in [("whole", whole), ("own", own)] {
        assert_eq!(answer.status, 200, "{name}");
        std::fs::write(kept.path(name), &answer.bytes).unwrap();
        verified(&world.keywright, &kept, name, &checkpoint, &key).await;
    }
    let file = |name: &str| std::fs::read_to_string(kept.path(name)).unwrap();
    assert!(file("own").contains("node-7"), "its own entries are shown");
    let shown = |name: &str| file(name).lines().filter(|line| line.contains("\"leaf\":")).count();
    assert!(shown("own") >= 280 && shown("own") < shown("whole"), "{} of {}", shown("own"), shown("whole"));
    let exports = world.keywright.get("/api/audit/events?action=audit.export").await.success();
    assert_eq!(exports["items"].as_array().unwrap().len(), 2, "an export is an entry itself");
    let csv = world.keywright.get("/api/audit/export?format=csv").await;
    let csv = String::from_utf8(csv.bytes.clone()).unwrap();
    assert!(csv.starts_with("sequence,outcomeSequence,time,") && csv.lines().count() > 140, "{}", csv.len());

    // Proofs for any principal.
    let index = world.owner().get("/api/audit/events?action=server.register&pageSize=1").await.success();
    let event = text(&index, "/items/0/id");
    let proof = world.owner().get(&format!("/api/audit/proofs/inclusion?eventId={event}")).await.success();
    assert_eq!(proof["leafHash"], index["items"][0]["leafHash"]);
    for bad in ["index=99999999", "index=-1", "index=0&eventId=evt_x", "", "index=0&size=99999999"] {
        let answer = world.owner().get(&format!("/api/audit/proofs/inclusion?{bad}")).await;
        assert_eq!((answer.status, answer.reason()), (400, "VALIDATION_FAILED"), "{bad}: {}", answer.json);
    }
    for bad in ["0/999", "9/000", "x", "0/000.p/999", "entries/999"] {
        let answer = world.keywright.get(&format!("/api/audit/log/tile/{bad}")).await;
        assert_eq!((answer.status, answer.reason()), (404, "TILE_NOT_FOUND"), "{bad}");
    }
}

/// By the command, which asks no server, and by the independent verifier; and a changed file by neither.
async fn verified(keywright: &Keywright, kept: &Kept, name: &str, checkpoint: &str, key: &str) {
    let (file, old) = (kept.path(name), kept.path("old"));
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = kept.path("changed");
    std::fs::write(&changed, text.replacen("prn_", "prm_", 1)).unwrap();
    for (export, expected) in [(&file, true), (&changed, false)] {
        let arguments =
            ["--export", export, "--checkpoint", checkpoint, "--key", key, "--since", &old].map(String::from);
        let borrowed: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (good, said) = python(&[&["export"], &borrowed[..]].concat(), "");
        assert_eq!(good, expected, "{name}: {said}");
        let output = keywright.cli(&[&["audit", "verify"], &borrowed[..]].concat()).await;
        assert_eq!(output.code == 0, expected, "{name}: {}", output.stderr);
    }
}
