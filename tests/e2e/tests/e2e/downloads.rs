//! The one way out for a private key: claimed, fetched again after a cut, acknowledged; its forms and passphrase.

use std::path::Path;

use keywright_e2e::{Access, KeyFile, World, text};
use keywright_kit::Answer;
use serde_json::{Value, json};
use tokio::process::Command;

async fn download(world: &World, access: &Access<'_>, rest: Value) -> Answer {
    let mut body = json!({"confirmation": {"accessId": access.id}});
    body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    world.owner().post(&access.path("/download"), body).await
}

fn claim(answer: &Answer) -> String {
    answer.headers["keywright-claim-id"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_cut_download_is_fetched_again_until_it_is_acknowledged() {
    let mut world = World::embedded().await;
    let provisioned = world.provision().await.show().await;
    let access = Access::new(&world, &provisioned);
    let first = download(&world, &access, json!({})).await;
    let claim = claim(&first);
    assert_eq!(access.show().await["download"], "claimed");

    let without = download(&world, &access, json!({})).await;
    assert_eq!((without.status, without.reason()), (409, "KEY_ALREADY_DOWNLOADED"));
    world.keywright.kill9().await;
    world.keywright.restart().await.unwrap();
    let access = Access::new(&world, &provisioned);
    let again = download(&world, &access, json!({"claimId": claim})).await;
    assert_eq!((again.status, &again.bytes), (200, &first.bytes), "{}", again.json);

    let closing = access.path(&format!("/download/{claim}/acknowledge"));
    for _ in 0..2 {
        world.owner().post(&closing, json!({})).await.success();
    }
    let after = download(&world, &access, json!({"claimId": claim})).await;
    assert_eq!((after.status, after.reason()), (409, "KEY_ALREADY_DOWNLOADED"), "{}", after.json);
    assert!(access.opens(&KeyFile::new(&first.bytes)).await);
}

#[tokio::test]
async fn the_answer_is_an_attachment_that_nobody_keeps() {
    let world = World::embedded().await;
    let access = world.provision().await;

    let missing = world.owner().post(&access.path("/download"), json!({})).await;
    let wrong = json!({"confirmation": {"accessId": world.server}});
    let wrong = world.owner().post(&access.path("/download"), wrong).await;
    let answer = download(&world, &access, json!({})).await;

    assert_eq!((missing.status, missing.reason()), (400, "CONFIRMATION_REQUIRED"));
    assert_eq!((wrong.status, wrong.reason()), (400, "CONFIRMATION_MISMATCH"));
    let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("cache-control"), "no-store");
    assert!(
        header("content-disposition").contains("tenant-ssh-key.pem"),
        "{}",
        header("content-disposition")
    );
    assert!(answer.bytes.starts_with(b"-----BEGIN OPENSSH PRIVATE KEY-----"));
}

#[tokio::test]
async fn the_forms_are_read_by_the_tools_they_are_for() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let fingerprint = text(&access.show().await, "/fingerprint");
    let passphrase = "a long passphrase";

    let pem = download(&world, &access, json!({"format": "pem"})).await;
    assert_eq!((pem.status, pem.reason()), (400, "FORMAT_UNSUPPORTED_FOR_KEY"));
    assert_eq!(access.show().await["download"], "available", "a refused format used the key up");
    let ppk = download(&world, &access, json!({"format": "ppk", "passphrase": passphrase})).await;
    let claim = claim(&ppk);
    let ppk = KeyFile::new(&ppk.bytes);
    assert!(ppk.text().starts_with("PuTTY-User-Key-File-3") && ppk.text().contains("aes256-cbc"));
    let openssh = download(&world, &access, json!({"claimId": claim, "passphrase": passphrase})).await;
    let openssh = KeyFile::new(&openssh.bytes);

    let secret = ppk.path().with_extension("passphrase");
    std::fs::write(&secret, passphrase).unwrap();
    let secret = secret.to_str().unwrap();
    let putty = run("puttygen", &["--old-passphrase", secret, "-l"], &ppk.path()).await;
    assert!(putty.contains(fingerprint.trim_start_matches("SHA256:")), "{putty}");
    let public = run("ssh-keygen", &["-y", "-P", passphrase, "-f"], &openssh.path()).await;
    assert_eq!(public.split_whitespace().nth(1), text(&access.show().await, "/publicKey").split(' ').nth(1));
}

async fn run(program: &str, arguments: &[&str], file: &Path) -> String {
    let output = Command::new(program).args(arguments).arg(file).output().await.unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_watch_streams_snapshots_and_ends_with_the_work() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let rotation = access.start_rotation(json!({"gracePeriod": "3600s"})).await;

    let stream = world.owner().get(&format!("/api/rotations/{rotation}/watch")).await;

    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let body = String::from_utf8(stream.bytes).unwrap();
    let snapshots: Vec<Value> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert!(snapshots.len() > 1, "{body}");
    assert_eq!(snapshots.last().unwrap()["state"], "succeeded", "{body}");
    assert!(snapshots.iter().all(|snapshot| snapshot["id"] == json!(rotation)));
}
