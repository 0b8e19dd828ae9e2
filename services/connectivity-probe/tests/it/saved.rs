//! Tests with saved credentials, and what is kept of a test.

use crate::doubles::Asked;
use crate::rig::{World, assert_failed_at, assert_healthy, with_alice};
use keywright_kit::{HostOptions, KeyType, TestHost, free_port, keygen, postgres_database};
use keywright_proto::audit::AuditOutcome;
use keywright_proto::credential::ServerCredential;
use keywright_proto::probe::CreateConnectivityTestRequest;

#[tokio::test]
async fn the_bound_credential_signs_in_its_store_for_the_caller_and_the_result_is_kept_everywhere() {
    let world = World::new().await;
    for kind in [KeyType::Ed25519, KeyType::Rsa(2048)] {
        let key = keygen(kind, "").await.unwrap();
        let host = with_alice(TestHost::openssh(HostOptions::default()).await.unwrap(), &key.public_line());
        let credential = world.save(&key, "somebody-else");
        let mut server = world.register(&host, &host.host_keys());
        server.credential = Some(ServerCredential {
            credential_id: credential.id.clone(),
            username: "alice".to_owned(),
            ..Default::default()
        });
        world.store.put_server(server.clone());
        let request = CreateConnectivityTestRequest { server_id: server.id.clone(), ..Default::default() };
        let test = world.test(request).await.unwrap();
        assert_healthy(&test);
        assert_eq!((test.credential_id.as_str(), test.username.as_str()), (credential.id.as_str(), "alice"));

        let signed = world.store.signed().pop().unwrap();
        assert_eq!(
            (signed.credential_id, signed.server_id, signed.username),
            (credential.id.clone(), server.id.clone(), "alice".to_owned())
        );
        assert!(signed.version_id.is_empty());
        let by_owner = |rpc| Asked { rpc, who: "user:owner".to_owned() };
        let asked = world.store.asked();
        let expected =
            ["ResolveServer", "ResolveCredential", "SignUserauth", "RecordTestResult"].map(by_owner);
        assert_eq!(asked[asked.len() - 4..], expected);

        let recorded = world.store.recorded().pop().unwrap();
        assert_eq!((recorded.test_id.as_str(), recorded.status.as_str()), (test.id.as_str(), "HEALTHY"));
        assert_eq!(recorded.credential_id, credential.id);
        assert!(recorded.server_version.starts_with("SSH-2.0-OpenSSH_"));
        assert_eq!(world.list(&server, 0, "").await.items, std::slice::from_ref(&test));

        let intent = world.log.intents().pop().unwrap();
        assert_eq!(
            (intent.action.as_str(), intent.target.as_str()),
            ("connectivity_test.create", server.id.as_str())
        );
        assert_eq!((intent.tenant_id, &intent.details["testId"]), (world.tenant.to_string(), &test.id));
        let outcome = world.last_outcome().await;
        assert_eq!(outcome.outcome(), AuditOutcome::Succeeded);
        assert_eq!(outcome.details["status"], "HEALTHY");
    }
}

#[tokio::test]
async fn another_saved_credential_is_tested_without_touching_the_binding() {
    let world = World::new().await;
    let key = keygen(KeyType::EcdsaP256, "").await.unwrap();
    let host = with_alice(TestHost::dropbear(HostOptions::default()).await.unwrap(), &key.public_line());
    let (bound, other) = (world.save(&key, ""), world.save(&key, "alice"));
    let mut server = world.register(&host, &host.host_keys());
    server.credential = Some(ServerCredential { credential_id: bound.id, ..Default::default() });
    world.store.put_server(server.clone());
    let request = CreateConnectivityTestRequest {
        server_id: server.id.clone(),
        credential_id: other.id.clone(),
        ..Default::default()
    };
    let test = world.test(request).await.unwrap();
    assert_healthy(&test);
    assert_eq!((test.credential_id, test.username.as_str()), (other.id, "alice"));
    assert_eq!(world.store.recorded().pop().unwrap().credential_id, "");
}

#[tokio::test]
async fn a_failed_test_is_a_result_and_stands_in_the_log_as_one() {
    let world = World::new().await;
    let (key, other) =
        (keygen(KeyType::Ed25519, "").await.unwrap(), keygen(KeyType::Ed25519, "").await.unwrap());
    let host = with_alice(TestHost::openssh(HostOptions::default()).await.unwrap(), &key.public_line());
    let credential = world.save(&other, "alice");
    let server = world.register(&host, &host.host_keys());
    let request = CreateConnectivityTestRequest {
        server_id: server.id.clone(),
        credential_id: credential.id,
        ..Default::default()
    };
    let test = world.test(request).await.unwrap();
    assert_failed_at(&test, "authentication", "AUTHENTICATION_REJECTED");
    let outcome = world.last_outcome().await;
    assert_eq!(outcome.outcome(), AuditOutcome::Succeeded);
    assert_eq!(
        (outcome.details["status"].as_str(), outcome.details["checkCode"].as_str()),
        ("UNREACHABLE", "AUTHENTICATION_REJECTED")
    );
    assert_eq!(world.store.recorded().pop().unwrap().status, "UNREACHABLE");
}

#[tokio::test]
async fn tests_are_listed_newest_first_page_by_page_on_both_databases() {
    lists_page_by_page(World::new().await).await;
    lists_page_by_page(World::on_postgres(&postgres_database().await.unwrap()).await).await;
}

async fn lists_page_by_page(world: World) {
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let port = free_port().unwrap();
    let server = world.register_at("127.0.0.1", port.number(), &[]);
    let other = world.register_at("127.0.0.1", port.number(), &[]);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.test_once(&server, &key, "alice").await.id);
        world.test_once(&other, &key, "alice").await;
    }
    ids.reverse();
    let first = world.list(&server, 2, "").await;
    let second = world.list(&server, 2, &first.next_page_token).await;
    let listed: Vec<String> = first.items.into_iter().chain(second.items).map(|test| test.id).collect();
    assert_eq!(listed, ids);
    assert_eq!(second.next_page_token, "");
}
