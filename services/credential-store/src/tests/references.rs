//! References that internal services hold: they block a deletion, and each service drops its own alone.

use super::world::{World, answer, operator, owner, program};
use crate::store::testing::name_principal;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::ids::{AccessId, TenantId};
use keywright_domain::reason::Reason;
use keywright_proto::credential as proto;

async fn service(world: &World, tenant: Option<&TenantId>, name: &str) -> Caller {
    let service = program(tenant, &["reference.write"]);
    name_principal(&world.db, &service.principal.id, name).await;
    service
}

async fn add(world: &World, caller: &Caller, credential: &str, owner: &str) -> Result<(), Reason> {
    let request = proto::AddReferenceRequest {
        credential_id: credential.to_owned(),
        owner: owner.to_owned(),
        purpose: "pipeline".to_owned(),
        ..Default::default()
    };
    answer(world.directory(caller).add_reference(request).await).map(drop).map_err(|failure| failure.reason)
}

async fn remove(world: &World, caller: &Caller, credential: &str, owner: &str) -> Result<(), Reason> {
    let request = proto::RemoveReferenceRequest {
        credential_id: credential.to_owned(),
        owner: owner.to_owned(),
        purpose: "pipeline".to_owned(),
        ..Default::default()
    };
    answer(world.directory(caller).remove_reference(request).await)
        .map(drop)
        .map_err(|failure| failure.reason)
}

async fn references(world: &World, caller: &Caller, credential: &str) -> (i32, String) {
    let request = proto::GetSshCredentialUsageRequest { credential_id: credential.to_owned() };
    let usage = world.credentials(caller).get_ssh_credential_usage(request).await.unwrap().into_inner();
    let usage = usage.usage.unwrap();
    (usage.total_references, usage.revision)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_the_same() {
    held(World::on_postgres().await).await;
}

#[tokio::test]
async fn a_reference_blocks_a_deletion_and_is_its_holders_to_drop() {
    held(World::new().await).await;
}

async fn held(world: World) {
    let tenant = world.tenant().await;
    let owner = owner(&tenant);
    let id = world.saved(&owner).await.id;
    let deployer = service(&world, Some(&tenant), "deployer").await;
    let before = references(&world, &owner, &id).await;
    add(&world, &deployer, &id, "deployer/web").await.unwrap();
    add(&world, &deployer, &id, "deployer/web").await.unwrap();
    let after = references(&world, &owner, &id).await;
    assert_eq!((before.0, after.0), (0, 1));
    assert_ne!(before.1, after.1, "the usage's revision shows it");
    let delete = proto::DeleteSshCredentialRequest {
        credential_id: id.clone(),
        confirmation: Some(proto::CredentialConfirmation { credential_id: id.clone(), ..Default::default() }),
        ..Default::default()
    };
    let refused = answer(world.credentials(&owner).delete_ssh_credential(delete.clone()).await).unwrap_err();
    assert_eq!(
        (refused.reason, refused.metadata["totalReferences"].as_str()),
        (Reason::CredentialInUse, "1")
    );

    let other = service(&world, Some(&tenant), "other").await;
    let platform = service(&world, None, "deployer").await;
    for stranger in [&other, &platform] {
        assert_eq!(remove(&world, stranger, &id, "deployer/web").await, Err(Reason::ValidationFailed));
        assert_eq!(add(&world, stranger, &id, "deployer/web").await, Err(Reason::ValidationFailed));
    }
    assert_eq!(references(&world, &owner, &id).await.0, 1);
    // Tomorrow's token of the same service.
    let tomorrow = service(&world, Some(&tenant), "deployer").await;
    remove(&world, &tomorrow, &id, "deployer/web").await.unwrap();
    remove(&world, &tomorrow, &id, "deployer/web").await.unwrap();
    answer(world.credentials(&owner).delete_ssh_credential(delete).await).unwrap();
    assert_eq!(add(&world, &deployer, &id, "deployer/web").await, Err(Reason::CredentialNotFound));
    remove(&world, &deployer, &id, "deployer/web").await.unwrap();
}

#[tokio::test]
async fn nobody_holds_in_an_accesss_place_or_in_another_tenant() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let owner = owner(&tenant);
    let id = world.saved(&owner).await.id;
    let deployer = service(&world, Some(&tenant), "deployer").await;
    let access = AccessId::random().unwrap().to_string();
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "");
    add(&world, &lifecycle, &id, &access).await.unwrap();
    assert_eq!(add(&world, &deployer, &id, &access).await, Err(Reason::ValidationFailed));
    assert_eq!(remove(&world, &deployer, &id, &access).await, Err(Reason::ValidationFailed));
    for bad in ["", &"x".repeat(101), "a\nb"] {
        assert_eq!(add(&world, &deployer, &id, bad).await, Err(Reason::ValidationFailed), "{bad:?}");
    }
    let stranger = service(&world, Some(&world.tenant().await), "deployer").await;
    assert_eq!(add(&world, &stranger, &id, "deployer").await, Err(Reason::CredentialNotFound));
    assert_eq!(remove(&world, &stranger, &id, &access).await, Ok(()), "it looks like what is gone");
    assert_eq!(references(&world, &owner, &id).await.0, 1);
    for caller in [owner.clone(), operator(), program(Some(&tenant), &["credential.resolve"])] {
        assert_eq!(add(&world, &caller, &id, "deployer").await, Err(Reason::PermissionDenied));
    }
    let nameless = program(Some(&tenant), &["reference.write"]);
    assert_eq!(add(&world, &nameless, &id, "deployer").await, Err(Reason::PermissionDenied));
    add(&world, &service(&world, None, "platform-ci").await, &id, "ci").await.unwrap();
    assert_eq!(references(&world, &owner, &id).await.0, 2);
    remove(&world, &lifecycle, &id, &access).await.unwrap();
    assert_eq!(references(&world, &owner, &id).await.0, 1);
}
