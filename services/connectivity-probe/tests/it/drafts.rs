//! Tests of servers that are not registered.

use crate::rig::{
    World, assert_failed_at, assert_healthy, check, fingerprints, one_time, person, with_alice,
};
use keywright_domain::caller::Role;
use keywright_kit::{HostOptions, KeyPair, KeyType, TestHost, keygen};
use keywright_proto::probe::connectivity_test_service_client::ConnectivityTestServiceClient;
use keywright_proto::probe::{ConnectivityTest, CreateDraftConnectivityTestRequest};
use keywright_runtime::failure::Failure;

fn draft(host: &TestHost, key: &KeyPair, expected: &[String]) -> CreateDraftConnectivityTestRequest {
    CreateDraftConnectivityTestRequest {
        host: host.address().to_owned(),
        port: host.port().into(),
        one_time: Some(one_time(key, "alice")),
        expected_host_keys: expected.to_vec(),
        jump_host_id: String::new(),
    }
}

async fn test(
    world: &World,
    request: CreateDraftConnectivityTestRequest,
) -> Result<ConnectivityTest, Failure> {
    let mut client = ConnectivityTestServiceClient::new(world.probe(person("op", Role::Operator, None)));
    Ok(client.create_draft_connectivity_test(request).await?.into_inner().test.unwrap())
}

#[tokio::test]
async fn any_one_of_the_hosts_keys_is_enough_and_nothing_is_stored() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    for host in [
        TestHost::openssh(HostOptions::default()).await.unwrap(),
        TestHost::dropbear(HostOptions::default()).await.unwrap(),
    ] {
        let host = with_alice(host, &key.public_line());
        for fingerprint in fingerprints(&host.host_keys()) {
            let found = test(&world, draft(&host, &key, std::slice::from_ref(&fingerprint))).await.unwrap();
            assert_healthy(&found);
            assert_eq!(check(&found, "host-key").metadata["fingerprint"], fingerprint);
            assert!(found.id.is_empty() && found.server_id.is_empty());
        }
        let intent = world.log.intents().pop().unwrap();
        assert_eq!(intent.target, format!("127.0.0.1:{}", host.port()));
        assert_eq!(world.last_outcome().await.details["status"], "HEALTHY");
    }
    assert!(world.store.asked().is_empty() && world.store.recorded().is_empty());
}

#[tokio::test]
async fn without_a_matching_fingerprint_no_authentication_is_tried() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let host = with_alice(TestHost::openssh(HostOptions::default()).await.unwrap(), &key.public_line());
    assert_failed_at(&test(&world, draft(&host, &key, &[])).await.unwrap(), "host-key", "HOST_KEY_UNKNOWN");
    let wrong = key.fingerprint().await;
    let found = test(&world, draft(&host, &key, std::slice::from_ref(&wrong))).await.unwrap();
    assert_failed_at(&found, "host-key", "HOST_KEY_MISMATCH");
    assert_eq!(check(&found, "host-key").metadata["pinned"], wrong);
    assert!(!host.log().contains("alice"), "{}", host.log());
}

#[tokio::test]
async fn a_malformed_draft_is_refused_before_anything_is_logged_or_dialled() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let good = CreateDraftConnectivityTestRequest {
        host: "127.0.0.1".to_owned(),
        port: 1,
        one_time: Some(one_time(&key, "alice")),
        expected_host_keys: Vec::new(),
        jump_host_id: String::new(),
    };
    let mut bad = vec![
        ("host", good.clone()),
        ("port", good.clone()),
        ("oneTime", good.clone()),
        ("expectedHostKeys", good),
    ];
    bad[0].1.host = "ssh://web".to_owned();
    bad[1].1.port = 65_536;
    bad[2].1.one_time = None;
    bad[3].1.expected_host_keys = vec!["MD5:00".to_owned()];
    for (field, request) in bad {
        let failure = test(&world, request).await.unwrap_err();
        assert_eq!(
            (failure.reason.as_str(), failure.violations[0].field.as_str()),
            ("VALIDATION_FAILED", field)
        );
    }
    assert!(world.log.intents().is_empty());
}
