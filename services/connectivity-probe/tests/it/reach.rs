//! Tests through jump hosts, and what is told of a host key that changed.

use crate::doubles::Asked;
use crate::rig::{World, assert_failed_at, assert_healthy, check, one_time, with_alice};
use keywright_domain::reason::Reason;
use keywright_kit::{HostOptions, KeyPair, KeyType, TestHost, keygen};
use keywright_proto::credential::{HostKeyMismatch, Server, ServerCredential};
use keywright_proto::probe::connectivity_test_service_client::ConnectivityTestServiceClient;
use keywright_proto::probe::host_key_scan_service_client::HostKeyScanServiceClient;
use keywright_proto::probe::{
    AssessAlgorithmsRequest, CreateConnectivityTestRequest, CreateDraftConnectivityTestRequest,
};

async fn host(key: &KeyPair) -> TestHost {
    with_alice(TestHost::openssh(HostOptions::default()).await.unwrap(), &key.public_line())
}

/// With a saved credential for `alice`.
fn bound(world: &World, host: &TestHost, key: &KeyPair, jump_host: &str) -> Server {
    let credential = world.save(key, "alice");
    let mut server = world.register(host, &host.host_keys());
    server.jump_host_id = jump_host.to_owned();
    server.credential = Some(ServerCredential {
        credential_id: credential.id,
        username: "alice".to_owned(),
        ..Default::default()
    });
    world.store.put_server(server.clone());
    server
}

#[tokio::test]
async fn each_server_on_the_way_is_logged_in_to_with_its_own_credential() {
    let world = World::new().await;
    let keys = [keygen(KeyType::Ed25519, "").await.unwrap(), keygen(KeyType::EcdsaP256, "").await.unwrap()];
    let (outer, inner) = (host(&keys[0]).await, host(&keys[1]).await);
    let way = bound(&world, &outer, &keys[0], "");
    let server = bound(&world, &inner, &keys[1], &way.id);

    let test = world.test_once(&server, &keys[1], "alice").await;
    assert_healthy(&test);
    assert_eq!(check(&test, "tcp").metadata["jumpHosts"], way.name);
    let signed = world.store.signed().pop().unwrap();
    assert_eq!((&signed.server_id, &signed.towards_server_id), (&way.id, &server.id));
    assert!(world.store.asked().contains(&Asked { rpc: "ResolveRoute", who: "user:owner".to_owned() }));
    assert!(
        outer.log().contains("Accepted publickey for alice") && inner.log().contains("Accepted publickey")
    );

    // The way is gone: the test says where.
    outer.stop_server().await;
    let test = world.test_once(&server, &keys[1], "alice").await;
    assert_failed_at(&test, "tcp", "CONNECTION_REFUSED");
    let facts = &check(&test, "tcp").metadata;
    assert_eq!((&facts["jumpHost"], facts["jumpStage"].as_str()), (&way.name, "tcp"));
    outer.start_server().await;

    // A draft too, and what is only looked at.
    let draft = CreateDraftConnectivityTestRequest {
        host: inner.address().to_owned(),
        port: inner.port().into(),
        one_time: Some(one_time(&keys[1], "alice")),
        expected_host_keys: crate::rig::fingerprints(&inner.host_keys()),
        jump_host_id: way.id.clone(),
    };
    let mut client = ConnectivityTestServiceClient::new(world.probe(world.owner()));
    let test = client.create_draft_connectivity_test(draft).await.unwrap().into_inner().test.unwrap();
    assert_healthy(&test);
    assert_eq!(check(&test, "tcp").metadata["jumpHosts"], way.name);
    let assess = AssessAlgorithmsRequest { server_id: server.id.clone() };
    let mut client = HostKeyScanServiceClient::new(world.probe(world.owner()));
    let seen = client.assess_algorithms(assess).await.unwrap().into_inner();
    assert!(seen.strict_key_exchange && ["A", "B", "C"].contains(&seen.grade.as_str()), "{seen:?}");
    assert!(seen.findings.iter().all(|found| !found.reason.is_empty() && !found.remedy.is_empty()));
    let last = world.log.intents().pop().unwrap();
    assert_eq!((last.action.as_str(), &last.target), ("server.assess", &server.id));
}

#[tokio::test]
async fn a_changed_host_key_is_reported_of_the_server_that_showed_it_and_of_no_other() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let (mut outer, inner) = (host(&key).await, host(&key).await);
    let way = bound(&world, &outer, &key, "");
    let server = bound(&world, &inner, &key, &way.id);
    outer.replace_host_keys().await;

    let test = world.test_once(&server, &key, "alice").await;
    assert_failed_at(&test, "tcp", "HOST_KEY_MISMATCH");
    assert!(world.store.mismatches().is_empty(), "it is not the server that showed it");

    let test = world.test_once(&way, &key, "alice").await;
    assert_failed_at(&test, "host-key", "HOST_KEY_MISMATCH");
    let told = world.store.mismatches().pop().unwrap();
    assert_eq!(
        (&told.server_id, &told.fingerprint),
        (&way.id, &check(&test, "host-key").metadata["presented"])
    );

    // Until that is settled a key that is lent is not used either.
    let server = Server { host_key_mismatch: Some(HostKeyMismatch::default()), ..server };
    world.store.put_server(server.clone());
    let request = CreateConnectivityTestRequest {
        server_id: server.id.clone(),
        one_time: Some(one_time(&key, "alice")),
        ..Default::default()
    };
    assert_eq!(world.test(request).await.unwrap_err().reason, Reason::HostKeyMismatch);
}
