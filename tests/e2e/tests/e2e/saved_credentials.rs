//! Saved credentials: made from a real file, bound, tested, rotated in place, deleted when unused.

use keywright_e2e::{World, text};
use keywright_kit::{Answer, KeyPair, KeyType, keygen};
use serde_json::{Value, json};

on_every_pair!(a_saved_credential_from_creation_to_deletion);

const PASSPHRASE: &str = "correct horse battery staple";

async fn a_saved_credential_from_creation_to_deletion(world: World) {
    let (old, new) =
        (keygen(KeyType::Ed25519, PASSPHRASE).await.unwrap(), keygen(KeyType::EcdsaP256, "").await.unwrap());
    world.host.add_user("deploy");
    world.host.write_authorized_keys("deploy", old.public_line());

    let credential = create(&world, &old).await;
    let id = text(&credential, "/id");
    assert_eq!(text(&credential, "/fingerprint"), old.fingerprint().await);
    assert_eq!(credential["encryptedAtIntake"], true);
    bind(&world, &id).await;
    assert_tested(&world, "healthy").await;

    // The deployment puts the new public key in the old one's place.
    world.host.write_authorized_keys("deploy", new.public_line());
    assert_tested(&world, "unreachable").await;
    let refused = rotate(&world, &id, &new, json!({"credentialId": id})).await;
    assert_in_use(&refused, "USAGE_ACKNOWLEDGEMENT_REQUIRED", &world.server);
    assert_tested(&world, "unreachable").await;
    let confirmation = json!({"credentialId": id, "acknowledgeServerUsage": true});
    let rotated = rotate(&world, &id, &new, confirmation).await.success();
    assert_eq!(
        (text(&rotated, "/fingerprint"), text(&rotated, "/id")),
        (new.fingerprint().await, id.clone())
    );
    assert_tested(&world, "healthy").await;

    let refused = delete(&world, &id).await;
    assert_in_use(&refused, "CREDENTIAL_IN_USE", &world.server);
    assert_eq!(refused.error_info()["metadata"]["code"], "credential_in_use");
    let binding = format!("/api/servers/{}/credentials", world.server);
    world.keywright.delete(&binding, Value::Null).await.success();
    delete(&world, &id).await.success();
    assert_eq!(
        world.owner().get(&format!("/api/credentials/ssh/{id}")).await.reason(),
        "CREDENTIAL_NOT_FOUND"
    );
}

async fn create(world: &World, key: &KeyPair) -> Value {
    let body = json!({
        "tenantId": world.tenant, "name": "deploy", "username": "deploy",
        "privateKey": key.private_text(), "passphrase": PASSPHRASE,
    });
    let created = world.keywright.post("/api/credentials/ssh", body).await.success();
    let checks: Vec<(String, String)> = created["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| (text(check, "/name"), text(check, "/status")))
        .collect();
    let passed = |name: &str| (name.to_owned(), "passed".to_owned());
    assert_eq!(checks, [passed("key"), passed("passphrase")]);
    created
}

async fn bind(world: &World, id: &str) {
    let path = format!("/api/servers/{}/credentials", world.server);
    let bound = world.keywright.post(&path, json!({"credentialId": id})).await.success();
    assert_eq!(bound["server"]["credential"]["credentialId"], id, "{bound}");
    assert!(text(&bound, "/connectivityTestId").starts_with("ctest_"), "{bound}");
}

async fn assert_tested(world: &World, status: &str) {
    let path = format!("/api/servers/{}/connectivity-tests", world.server);
    let test = world.keywright.post(&path, json!({})).await.success();
    assert_eq!(test["status"], status, "{test}");
}

async fn rotate(world: &World, id: &str, key: &KeyPair, confirmation: Value) -> Answer {
    let body = json!({"privateKey": key.private_text(), "confirmation": confirmation});
    world.owner().post(&format!("/api/credentials/ssh/{id}/rotate"), body).await
}

async fn delete(world: &World, id: &str) -> Answer {
    let body = json!({"confirmation": {"credentialId": id}});
    world.owner().delete(&format!("/api/credentials/ssh/{id}"), body).await
}

fn assert_in_use(refused: &Answer, reason: &str, server: &str) {
    assert_eq!((refused.status, refused.reason()), (409, reason), "{}", refused.json);
    let metadata = &refused.error_info()["metadata"];
    let counts =
        ["totalServers", "activeServers", "inactiveServers", "totalReferences"].map(|name| &metadata[name]);
    assert_eq!(counts, [&json!("1"), &json!("1"), &json!("0"), &json!("0")], "{metadata}");
    assert!(metadata["serverIds"].as_str().unwrap().contains(server), "{metadata}");
}

#[tokio::test]
async fn the_gate_of_a_rotation_stands_in_its_order() {
    let world = World::embedded().await;
    let (old, new) = (
        keygen(KeyType::Ed25519, PASSPHRASE).await.unwrap(),
        keygen(KeyType::Ed25519, "secret words").await.unwrap(),
    );
    let id = text(&create(&world, &old).await, "/id");
    let usage = world.keywright.get(&format!("/api/credentials/ssh/{id}/usage")).await.success();
    assert_eq!((&usage["totalServers"], &usage["totalReferences"]), (&json!(0), &json!(0)));
    let attempt = async |body: Value| {
        let answer = world.owner().post(&format!("/api/credentials/ssh/{id}/rotate"), body).await;
        assert!(answer.status >= 400, "{}", answer.json);
        answer.reason().to_owned()
    };
    let wrong = json!({"credentialId": "sshcred_other"});
    let right = json!({"credentialId": id});

    assert_eq!(attempt(json!({"privateKey": "nonsense", "confirmation": wrong})).await, "KEY_UNPARSABLE");
    assert_eq!(
        attempt(json!({"privateKey": new.public_line(), "confirmation": wrong})).await,
        "PUBLIC_KEY_GIVEN"
    );
    assert_eq!(
        attempt(json!({"privateKey": new.private_text(), "confirmation": wrong})).await,
        "PASSPHRASE_REQUIRED"
    );
    let mut body = json!({"privateKey": new.private_text(), "passphrase": "wrong", "confirmation": right});
    assert_eq!(attempt(body.clone()).await, "PASSPHRASE_INCORRECT");
    body["passphrase"] = json!("secret words");
    body["confirmation"] = wrong;
    assert_eq!(attempt(body.clone()).await, "CONFIRMATION_MISMATCH");
    body["confirmation"] = right;
    body["publicKey"] = json!(old.public_line());
    assert_eq!(attempt(body.clone()).await, "PUBLIC_KEY_MISMATCH");
    body["publicKey"] = json!(new.public_line());
    body["expectedUsageRevision"] = json!("never seen");
    assert_eq!(attempt(body.clone()).await, "USAGE_CHANGED");
    body["expectedUsageRevision"] = usage["revision"].clone();
    let rotated = world.owner().post(&format!("/api/credentials/ssh/{id}/rotate"), body).await.success();
    assert_eq!((text(&rotated, "/fingerprint"), &rotated["version"]), (new.fingerprint().await, &json!(2)));
}

#[tokio::test]
async fn an_operator_neither_rotates_nor_deletes_and_nobody_reads_the_key() {
    let world = World::embedded().await;
    let key = keygen(KeyType::Ed25519, PASSPHRASE).await.unwrap();
    let id = text(&create(&world, &key).await, "/id");
    let path = format!("/api/credentials/ssh/{id}");

    let rotate = json!({"privateKey": key.private_text(), "confirmation": {"credentialId": id}});
    let rotate = world.keywright.post(&format!("{path}/rotate"), rotate).await;
    let delete = world.keywright.delete(&path, json!({"confirmation": {"credentialId": id}})).await;

    assert_eq!((rotate.status, rotate.reason()), (403, "PERMISSION_DENIED"));
    assert_eq!((delete.status, delete.reason()), (403, "PERMISSION_DENIED"));
    for reader in [world.keywright.operator(), world.owner()] {
        let shown = reader.get(&path).await.success();
        assert!(!shown.to_string().contains("PRIVATE KEY") && shown["privateKey"].is_null(), "{shown}");
    }
}

#[tokio::test]
async fn the_same_key_and_request_answer_the_first_result() {
    let world = World::embedded().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let body = json!({"tenantId": world.tenant, "name": "one", "privateKey": key.private_text(), "idempotencyKey": "k-1"});

    let first = world.keywright.post("/api/credentials/ssh", body.clone()).await.success();
    let again = world.keywright.post("/api/credentials/ssh", body.clone()).await.success();
    let mut other = body;
    other["name"] = json!("two");
    let other = world.keywright.post("/api/credentials/ssh", other).await;

    assert_eq!(first["id"], again["id"]);
    assert_eq!((other.status, other.reason()), (409, "IDEMPOTENCY_KEY_REUSED"));
    let all = world.keywright.get(&format!("/api/credentials/ssh?tenantId={}", world.tenant)).await.success();
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
}
