//! Keys that their holder makes: the proof that he has the private half, by OpenSSH's own program.

use keywright_kit::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{World, text};

/// A signature over the text by OpenSSH, armored.
pub async fn sign(key: &KeyPair, namespace: &str, nonce: &str) -> String {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("nonce");
    std::fs::write(&file, nonce).unwrap();
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).args([&key.private_file(), &file]);
    let output = keygen.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(folder.path().join("nonce.sig")).unwrap()
}

pub fn challenges(tenant: &str) -> String {
    format!("/api/tenants/{tenant}/ssh-access/key-challenges")
}

/// The id and the nonce of a fresh challenge.
pub async fn challenge(world: &World, tenant: &str) -> (String, String) {
    let made = world.keywright.post(&challenges(tenant), json!({})).await.success();
    (text(&made, "/id"), text(&made, "/nonce"))
}

/// The key with a good proof over a fresh challenge of the tenant.
pub async fn proven(world: &World, tenant: &str, key: &KeyPair) -> Value {
    let (id, nonce) = challenge(world, tenant).await;
    let signature = sign(key, "keywright-possession", &nonce).await;
    json!({"publicKey": key.public_line(), "challengeId": id, "signature": signature})
}
