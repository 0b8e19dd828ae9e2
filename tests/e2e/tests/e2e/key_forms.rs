//! The fuzz corpus, sent as people send keys: each file is answered as its directory says, and nothing of it comes back.

use keywright_e2e::text;
use keywright_e2e::world::create_tenant;
use keywright_kit::{Keywright, KeywrightOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

const PASSPHRASE: &str = "correct horse";

/// Name, whether it is accepted, and the text; a file that is no text cannot be sent.
fn corpus() -> Vec<(String, bool, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/key_intake");
    let mut files = Vec::new();
    for (directory, accepted) in [("accepted", true), ("refused", false)] {
        for entry in std::fs::read_dir(root.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if let Ok(text) = std::fs::read_to_string(&path) {
                files.push((path.file_name().unwrap().to_string_lossy().into_owned(), accepted, text));
            }
        }
    }
    files.sort();
    files
}

/// The lines that could be a part of the key.
fn secrets(file: &str) -> impl Iterator<Item = &str> {
    file.lines().filter(|line| line.len() > 40 && !line.contains([' ', ':']))
}

#[tokio::test]
async fn every_file_of_the_corpus_is_answered_as_its_directory_says() {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for (name, accepted, file) in corpus() {
        let body = json!({"privateKey": file, "passphrase": PASSPHRASE});
        let answer = keywright.post("/api/credentials/ssh/validate", body).await.success();
        let checks = answer["checks"].as_array().unwrap();
        let failed: Vec<&Value> = checks.iter().filter(|check| check["status"] == "failed").collect();
        assert_eq!((failed.is_empty(), &answer["valid"]), (accepted, &json!(accepted)), "{name}: {answer}");
        assert_eq!(answer["fingerprint"].as_str().is_some_and(|text| !text.is_empty()), accepted, "{name}");
        // The derived public key has parts in common with the file; nothing else has.
        let said = answer["checks"].to_string();
        assert!(!secrets(&file).any(|line| said.contains(line)), "{name}");
        let reason = failed.first().map_or_else(|| "accepted".to_owned(), |check| text(check, "/code"));
        *reasons.entry(reason).or_default() += 1;
    }
    println!("{reasons:?}");
    assert!(reasons["accepted"] > 50 && reasons["KEY_UNSUPPORTED"] > 10 && reasons["KEY_TRUNCATED"] > 2);
}

#[tokio::test]
async fn old_encryptions_are_opened_once_and_the_key_is_saved_without_its_passphrase() {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let tenant = create_tenant(&keywright, "Acme").await;
    let files: BTreeMap<String, String> = corpus()
        .into_iter()
        .filter(|(_, accepted, _)| *accepted)
        .map(|(name, _, file)| (name, file))
        .collect();
    for name in [
        "pkcs8_PBE-MD5-DES",
        "pkcs8_PBE-SHA1-3DES",
        "pkcs1_des3",
        "ppk3_argon2id",
        "openssh_ed25519_3des-cbc",
    ] {
        let body = json!({
            "tenantId": tenant, "name": name, "privateKey": files[name], "passphrase": PASSPHRASE,
        });
        let saved = keywright.post("/api/credentials/ssh", body).await.success();
        assert_eq!(saved["encryptedAtIntake"], true, "{name}");
        let without = json!({"tenantId": tenant, "name": "again", "privateKey": files[name]});
        let refused = keywright.post("/api/credentials/ssh", without).await;
        assert_eq!((refused.status, refused.reason()), (400, "PASSPHRASE_REQUIRED"), "{name}");
        let wrong = json!({
            "tenantId": tenant, "name": "again", "privateKey": files[name], "passphrase": "wrong",
        });
        let refused = keywright.post("/api/credentials/ssh", wrong).await;
        assert_eq!((refused.status, refused.reason()), (400, "PASSPHRASE_INCORRECT"), "{name}");
    }
}
