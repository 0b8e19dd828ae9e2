//! What is refused before, or instead of, a test.

use crate::rig::{World, one_time, person, with_alice};
use keywright_domain::caller::Role;
use keywright_domain::ids::TenantId;
use keywright_kit::{HostOptions, KeyType, TestHost, keygen};
use keywright_proto::audit::AuditOutcome;
use keywright_proto::credential::{CredentialKind, Server, ServerLifecycle};
use keywright_proto::probe::connectivity_test_service_client::ConnectivityTestServiceClient;
use keywright_proto::probe::{CreateConnectivityTestRequest, ListConnectivityTestsRequest};
use keywright_runtime::failure::Failure;

fn with(server: &Server, credential: &str, username: &str) -> CreateConnectivityTestRequest {
    CreateConnectivityTestRequest {
        server_id: server.id.clone(),
        credential_id: credential.to_owned(),
        username: username.to_owned(),
        one_time: None,
    }
}

async fn reason(world: &World, request: CreateConnectivityTestRequest) -> &'static str {
    world.test(request).await.unwrap_err().reason.as_str()
}

#[tokio::test]
async fn a_credential_must_be_the_tenants_own_saved_one_and_a_server_active() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let mut server = world.register_at("127.0.0.1", 1, &[]);
    assert_eq!(reason(&world, with(&server, "", "")).await, "BINDING_NOT_FOUND");
    assert_eq!(reason(&world, with(&server, "rubbish", "")).await, "CREDENTIAL_NOT_FOUND");

    let nameless = world.save(&key, "");
    let failure = world.test(with(&server, &nameless.id, "")).await.unwrap_err();
    assert_eq!(
        (failure.reason.as_str(), failure.violations[0].field.as_str()),
        ("VALIDATION_FAILED", "username")
    );
    assert_eq!(reason(&world, with(&server, &nameless.id, "a\nb")).await, "VALIDATION_FAILED");

    let mut foreign = world.save(&key, "alice");
    foreign.tenant_id = TenantId::random().unwrap().to_string();
    world.store.put_credential(foreign.clone(), "");
    assert_eq!(reason(&world, with(&server, &foreign.id, "")).await, "CREDENTIAL_NOT_FOUND");
    let mut managed = world.save(&key, "alice");
    managed.kind = CredentialKind::Managed.into();
    world.store.put_credential(managed.clone(), "");
    assert_eq!(reason(&world, with(&server, &managed.id, "")).await, "CREDENTIAL_IS_MANAGED");

    let both = CreateConnectivityTestRequest {
        one_time: Some(one_time(&key, "alice")),
        ..with(&server, &nameless.id, "")
    };
    assert_eq!(reason(&world, both).await, "VALIDATION_FAILED");
    let mut empty =
        CreateConnectivityTestRequest { one_time: Some(one_time(&key, "alice")), ..with(&server, "", "") };
    empty.one_time.as_mut().unwrap().private_key.clear();
    assert_eq!(reason(&world, empty).await, "VALIDATION_FAILED");

    server.lifecycle_status = ServerLifecycle::Inactive.into();
    world.store.put_server(server.clone());
    assert_eq!(reason(&world, with(&server, &nameless.id, "alice")).await, "SERVER_INACTIVE");
    assert!(world.log.intents().is_empty() && world.store.signed().is_empty());
}

#[tokio::test]
async fn only_those_who_may_test_may_and_a_foreign_server_does_not_exist() {
    let world = World::new().await;
    let server = world.register_at("127.0.0.1", 1, &[]);
    let other = TenantId::random().unwrap();
    for (role, tenant, create, list) in [
        (Role::TenantOwner, Some(other), "SERVER_NOT_FOUND", "SERVER_NOT_FOUND"),
        (Role::TenantMember, Some(world.tenant.clone()), "PERMISSION_DENIED", ""),
        (Role::Auditor, None, "PERMISSION_DENIED", "PERMISSION_DENIED"),
        (Role::Operator, None, "BINDING_NOT_FOUND", ""),
    ] {
        let mut client = ConnectivityTestServiceClient::new(world.probe(person("token", role, tenant)));
        let refused =
            Failure::from(client.create_connectivity_test(with(&server, "", "")).await.unwrap_err());
        assert_eq!(refused.reason.as_str(), create, "{role:?}");
        let request = ListConnectivityTestsRequest { server_id: server.id.clone(), ..Default::default() };
        let listed =
            client.list_connectivity_tests(request).await.err().map(|status| Failure::from(status).reason);
        assert_eq!(listed.map_or("", |reason| reason.as_str()), list, "{role:?}");
    }
}

#[tokio::test]
async fn without_the_log_or_the_store_nothing_is_tried_and_nobody_is_blamed() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let host = with_alice(TestHost::openssh(HostOptions::default()).await.unwrap(), &key.public_line());
    let server = world.register(&host, &host.host_keys());
    let credential = world.save(&key, "alice");

    // The key was replaced after its public half was read.
    let other = keygen(KeyType::Ed25519, "").await.unwrap();
    world.store.put_credential(credential.clone(), &other.private_text());
    assert_eq!(reason(&world, with(&server, &credential.id, "")).await, "REVISION_MISMATCH");

    world.store.seal();
    assert_eq!(reason(&world, with(&server, &credential.id, "")).await, "SECRET_STORE_SEALED");
    let outcome = world.last_outcome().await;
    assert_eq!((outcome.outcome(), outcome.reason.as_str()), (AuditOutcome::Failed, "SECRET_STORE_SEALED"));
    assert!(world.list(&server, 0, "").await.items.is_empty());

    let before = host.log().matches("Connection from").count();
    world.log.take_down();
    assert_eq!(reason(&world, with(&server, &credential.id, "")).await, "AUDIT_UNAVAILABLE");
    assert_eq!(host.log().matches("Connection from").count(), before);
}
