//! The order of the checks of saved credentials, and the gate inside the transaction.

use super::world::{World, answer, key_text, owner, reason};
use crate::store::testing::set_lifecycle;
use keywright_domain::caller::Caller;
use keywright_domain::ids::CredentialId;
use keywright_domain::reason::Reason;
use keywright_proto::credential as proto;
use keywright_runtime::failure::Failure;

fn rotation(id: &str) -> proto::RotateSshCredentialRequest {
    proto::RotateSshCredentialRequest {
        credential_id: id.to_owned(),
        private_key: key_text(),
        confirmation: Some(proto::CredentialConfirmation {
            credential_id: id.to_owned(),
            acknowledge_server_usage: false,
        }),
        ..Default::default()
    }
}

fn confirmed(
    mut request: proto::RotateSshCredentialRequest,
    typed: &str,
) -> proto::RotateSshCredentialRequest {
    request.confirmation.as_mut().unwrap().credential_id = typed.to_owned();
    request
}

async fn rotate(
    world: &World,
    caller: &Caller,
    request: proto::RotateSshCredentialRequest,
) -> Result<proto::SshCredential, Failure> {
    answer(world.credentials(caller).rotate_ssh_credential(request).await)
        .map(|rotated| rotated.credential.unwrap())
}

async fn delete(world: &World, caller: &Caller, id: &str, typed: &str) -> Result<(), Failure> {
    let request = proto::DeleteSshCredentialRequest {
        credential_id: id.to_owned(),
        confirmation: Some(proto::CredentialConfirmation {
            credential_id: typed.to_owned(),
            acknowledge_server_usage: false,
        }),
        ..Default::default()
    };
    answer(world.credentials(caller).delete_ssh_credential(request).await).map(drop)
}

#[tokio::test]
async fn each_check_comes_before_all_later_ones() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let stranger = super::world::owner(&world.tenant().await);
    let credential = world.saved(&owner).await;
    let server = world.server(&owner, "web").await;
    world.bind(&owner, &server.id, &credential.id).await.unwrap();
    set_lifecycle(&world.db, &server.id, "unreadable").await;

    // Everything is wrong: only what is first in the order is told.
    let mut request = confirmed(rotation(&credential.id), "no");
    request.private_key = "no key".to_owned();
    request.expected_usage_revision = "old".to_owned();
    let foreign = rotate(&world, &stranger, request.clone()).await.unwrap_err();
    assert_eq!(foreign.reason, Reason::CredentialNotFound);
    let mut nothing = request.clone();
    nothing.credential_id = CredentialId::random().unwrap().to_string();
    let missing = rotate(&world, &owner, nothing).await.unwrap_err();
    assert_eq!((missing.reason, &missing.message), (foreign.reason, &foreign.message));
    assert_eq!(rotate(&world, &owner, request.clone()).await.unwrap_err().reason, Reason::KeyUnparsable);
    request.private_key = key_text();
    assert_eq!(
        rotate(&world, &owner, request.clone()).await.unwrap_err().reason,
        Reason::ConfirmationMismatch
    );
    let empty = confirmed(request.clone(), " ");
    assert_eq!(rotate(&world, &owner, empty).await.unwrap_err().reason, Reason::ConfirmationRequired);
    let shouted = confirmed(request.clone(), &credential.id.to_uppercase());
    assert_eq!(rotate(&world, &owner, shouted).await.unwrap_err().reason, Reason::ConfirmationMismatch);
    let mut request = confirmed(request, &format!(" {} ", credential.id));
    assert_eq!(rotate(&world, &owner, request.clone()).await.unwrap_err().reason, Reason::UsageUnavailable);
    assert_eq!(
        delete(&world, &owner, &credential.id, &credential.id).await.unwrap_err().reason,
        Reason::UsageUnavailable
    );

    set_lifecycle(&world.db, &server.id, "ACTIVE").await;
    assert_eq!(rotate(&world, &owner, request.clone()).await.unwrap_err().reason, Reason::UsageChanged);
    request.expected_usage_revision = String::new();
    let refused = rotate(&world, &owner, request.clone()).await.unwrap_err();
    assert_eq!(refused.reason, Reason::UsageAcknowledgementRequired);
    for (key, value) in [
        ("totalServers", "1"),
        ("activeServers", "1"),
        ("inactiveServers", "0"),
        ("totalReferences", "0"),
        ("serverIds", server.id.as_str()),
    ] {
        assert_eq!(refused.metadata[key], value);
    }
    assert_eq!(refused.to_status().code(), tonic::Code::FailedPrecondition);
    assert_eq!(world.count("material").await, 1, "a refused request leaves nothing behind");

    request.confirmation.as_mut().unwrap().acknowledge_server_usage = true;
    let rotated = rotate(&world, &owner, request).await.unwrap();
    assert_eq!((rotated.version, &rotated.id), (2, &credential.id));
    assert_ne!(rotated.fingerprint, credential.fingerprint);
    assert!(rotated.rotated_at.is_some());
    assert_eq!(world.count("material").await, 1, "the old material is gone");
    assert_eq!(world.count("material_fate").await, 0);
}

#[tokio::test]
async fn the_usage_revision_changes_with_the_usage_and_guards_the_rotation() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let credential = world.saved(&owner).await;
    let server = world.server(&owner, "web").await;
    let usage = async || {
        let request = proto::GetSshCredentialUsageRequest { credential_id: credential.id.clone() };
        answer(world.credentials(&owner).get_ssh_credential_usage(request).await).unwrap().usage.unwrap()
    };
    let unused = usage().await.revision;
    world.bind(&owner, &server.id, &credential.id).await.unwrap();
    let bound = usage().await;
    assert_eq!((bound.total_servers, bound.active_servers, bound.inactive_servers), (1, 1, 0));
    assert_eq!(bound.servers[0].username, "deploy");
    assert_ne!(bound.revision, unused);
    let deactivate = proto::DeactivateServerRequest { server_id: server.id.clone() };
    world.servers(&owner).deactivate_server(deactivate).await.unwrap();
    let inactive = usage().await;
    assert_eq!((inactive.active_servers, inactive.inactive_servers), (0, 1));
    assert_ne!(inactive.revision, bound.revision);

    let mut request = rotation(&credential.id);
    request.confirmation.as_mut().unwrap().acknowledge_server_usage = true;
    request.expected_usage_revision = bound.revision;
    assert_eq!(rotate(&world, &owner, request.clone()).await.unwrap_err().reason, Reason::UsageChanged);
    request.expected_usage_revision = inactive.revision;
    rotate(&world, &owner, request).await.unwrap();
}

#[tokio::test]
async fn a_used_credential_is_not_deleted_and_an_unused_one_is_destroyed() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let credential = world.saved(&owner).await;
    let server = world.server(&owner, "web").await;
    world.bind(&owner, &server.id, &credential.id).await.unwrap();
    let deactivate = proto::DeactivateServerRequest { server_id: server.id.clone() };
    world.servers(&owner).deactivate_server(deactivate).await.unwrap();

    let refused = delete(&world, &owner, &credential.id, &credential.id).await.unwrap_err();
    assert_eq!(refused.reason, Reason::CredentialInUse);
    assert_eq!(
        (refused.metadata["totalServers"].as_str(), refused.metadata["inactiveServers"].as_str()),
        ("1", "1")
    );
    let unbind = proto::UnbindCredentialRequest { server_id: server.id.clone() };
    world.servers(&owner).unbind_credential(unbind).await.unwrap();
    assert_eq!(
        delete(&world, &owner, &credential.id, "").await.unwrap_err().reason,
        Reason::ConfirmationRequired
    );
    delete(&world, &owner, &credential.id, &credential.id).await.unwrap();
    for table in ["credential", "credential_version", "material", "data_key", "material_fate"] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
    let get = proto::GetSshCredentialRequest { credential_id: credential.id, include_usage: false };
    assert_eq!(reason(world.credentials(&owner).get_ssh_credential(get).await), Reason::CredentialNotFound);
}

#[tokio::test]
async fn a_held_reference_counts_as_usage() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let credential = world.saved(&owner).await;
    let lifecycle = Caller::background(keywright_domain::caller::ServiceName::KeyLifecycle, "");
    let held = proto::AddReferenceRequest {
        credential_id: credential.id.clone(),
        owner: "acc_x".to_owned(),
        purpose: "bootstrap".to_owned(),
        ..Default::default()
    };
    for _ in 0..2 {
        world.directory(&lifecycle).add_reference(held.clone()).await.unwrap();
    }
    let refused = delete(&world, &owner, &credential.id, &credential.id).await.unwrap_err();
    assert_eq!(
        (refused.reason, refused.metadata["totalReferences"].as_str()),
        (Reason::CredentialInUse, "1")
    );
    let refused = rotate(&world, &owner, rotation(&credential.id)).await.unwrap_err();
    assert_eq!(refused.reason, Reason::UsageAcknowledgementRequired);
    let dropped = proto::RemoveReferenceRequest {
        credential_id: credential.id.clone(),
        owner: held.owner,
        purpose: held.purpose,
        ..Default::default()
    };
    for _ in 0..2 {
        world.directory(&lifecycle).remove_reference(dropped.clone()).await.unwrap();
    }
    delete(&world, &owner, &credential.id, &credential.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_binding_and_a_deletion_at_once_exactly_one_holds() {
    one_of_two_holds(World::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_on_postgresql() {
    one_of_two_holds(World::on_postgres().await).await;
}

async fn one_of_two_holds(world: World) {
    let owner = owner(&world.tenant().await);
    let (mut bound_first, mut deleted_first) = (0, 0);
    for round in 0..20 {
        let credential = world.saved(&owner).await;
        let server = world.server(&owner, &format!("web{round}")).await;
        let bind = world.bind(&owner, &server.id, &credential.id);
        let delete = delete(&world, &owner, &credential.id, &credential.id);
        let (bound, deleted) = if round % 2 == 0 {
            tokio::join!(bind, delete)
        } else {
            let (deleted, bound) = tokio::join!(delete, bind);
            (bound, deleted)
        };
        let request = proto::GetServerRequest { server_id: server.id };
        let now = answer(world.servers(&owner).get_server(request).await).unwrap().server.unwrap();
        match (bound, deleted) {
            (Ok(_), Err(refused)) => {
                bound_first += 1;
                assert_eq!(refused.reason, Reason::CredentialInUse);
                assert_eq!(now.credential.unwrap().credential_id, credential.id);
            }
            (Err(refused), Ok(())) => {
                deleted_first += 1;
                assert_eq!(refused.reason, Reason::CredentialNotFound);
                assert!(now.credential.is_none());
            }
            other => panic!("both or neither: {other:?}"),
        }
    }
    assert_eq!(bound_first + deleted_first, 20);
}
