//! Who may begin what, when, and what a refusal leaves behind: nothing.

use super::world::{World, answer, confirm, operator, person, reason};
use keywright_domain::caller::Role;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_proto::credential::{HostKeyMismatch, ServerLifecycle};
use keywright_proto::lifecycle as proto;
use std::time::Duration;

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

#[tokio::test]
async fn an_access_is_provisioned_with_the_default_account_and_its_references_held() {
    let world = World::new().await;
    let (one, two) = (world.server(), world.server());
    let access = world.access(&[one.clone(), two.clone()]).await;
    assert_eq!(access.account, format!("tenant-{}", &world.tenant.bare()[..8]));
    assert_eq!(access.status(), proto::AccessStatus::Active);
    assert_eq!((access.activity(), access.version), (proto::AccessActivity::None, 1));
    assert_eq!(access.recent_rotations[0].state(), proto::RotationState::Succeeded);
    assert_eq!(access.ssh_command, format!("ssh -i tenant-ssh-key.pem -p 2222 {}@192.0.2.7", access.account));
    for server in [&one, &two] {
        assert_eq!(world.range.file(server, &access.account).keys.len(), 1);
        assert!(world.vault.state.lock().unwrap().references.contains(&format!("{} {server}", access.id)));
    }
    let line = &access.hosts[1].lines[0];
    assert_eq!((line.state(), line.version), (proto::HostLineState::Installed, 1));
    assert!(line.receipt.as_ref().unwrap().accepted);
    assert!(world.log.actions().contains(&"access.provision".to_owned()));
}

#[tokio::test]
async fn a_server_must_be_the_tenants_active_pinned_and_managed() {
    let world = World::new().await;
    let server = world.server();
    let change = |change: fn(&mut keywright_proto::credential::Server)| {
        change(world.vault.state.lock().unwrap().servers.get_mut(&server).unwrap());
    };
    let ask = async || {
        reason(
            world
                .accesses(&operator())
                .provision_ssh_access(world.provisioning(std::slice::from_ref(&server)))
                .await,
        )
    };
    change(|server| server.management_key_id.clear());
    assert_eq!(ask().await, Reason::ServerNotManaged);
    change(|server| server.host_key_mismatch = Some(HostKeyMismatch::default()));
    assert_eq!(ask().await, Reason::HostKeyMismatch);
    change(|server| server.host_keys.clear());
    assert_eq!(ask().await, Reason::HostKeyUnpinned);
    change(|server| server.lifecycle_status = ServerLifecycle::Inactive.into());
    assert_eq!(ask().await, Reason::ServerInactive);
    let foreign = World::new().await.server();
    let asked = world.provisioning(&[foreign]);
    assert_eq!(reason(world.accesses(&operator()).provision_ssh_access(asked).await), Reason::ServerNotFound);
    assert!(world.log.actions().is_empty(), "nothing was intended");
}

#[tokio::test]
async fn accounts_of_the_system_of_keywright_and_of_another_access_are_refused() {
    let world = World::new().await;
    let server = world.server();
    world.access(std::slice::from_ref(&server)).await;
    let ask = async |account: &str| {
        let asked = proto::ProvisionSshAccessRequest {
            account: account.to_owned(),
            ..world.provisioning(std::slice::from_ref(&server))
        };
        reason(world.accesses(&operator()).provision_ssh_access(asked).await)
    };
    world.vault.state.lock().unwrap().servers.get_mut(&server).unwrap().management_username =
        "keywright".to_owned();
    assert_eq!(ask("root").await, Reason::AccountNotAllowed);
    assert_eq!(ask("keywright").await, Reason::AccountNotAllowed);
    assert_eq!(ask("").await, Reason::AccountNotAllowed);
    assert_eq!(ask("No Name").await, Reason::ValidationFailed);
}

#[tokio::test]
async fn a_provisioning_that_fails_leaves_nothing_and_can_be_repeated() {
    let world = World::new().await;
    let server = world.server();
    let account = format!("tenant-{}", &world.tenant.bare()[..8]);
    world.range.state.lock().unwrap().missing_accounts.push(account.clone());
    let access = world.access(std::slice::from_ref(&server)).await;
    let rotation = &access.recent_rotations[0];
    assert_eq!(
        (rotation.state(), rotation.reason.as_str()),
        (proto::RotationState::Failed, "ACCOUNT_NOT_FOUND")
    );
    assert!(world.vault.state.lock().unwrap().references.is_empty());
    let asked = proto::ListSshAccessRequest { tenant_id: world.tenant.to_string(), ..Default::default() };
    assert!(
        answer(world.accesses(&world.owner).list_ssh_access(asked.clone()).await).unwrap().items.is_empty()
    );
    let again = proto::ProvisionSshAccessRequest { create_account: true, ..world.provisioning(&[server]) };
    answer(world.accesses(&operator()).provision_ssh_access(again).await).unwrap();
    world.settle().await;
    let listed = answer(world.accesses(&world.owner).list_ssh_access(asked).await).unwrap().items;
    assert_eq!(listed[0].version, 1);
    let refused = world.accesses(&world.owner).regenerate_ssh_key(world.regenerate(&access.id)).await;
    assert_eq!(reason(refused), Reason::AccessNotFound);
}

#[tokio::test]
async fn the_same_idempotency_key_begins_one_rotation() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let asked = proto::RotateSshKeyRequest { idempotency_key: "k".to_owned(), ..world.rotate(&access.id) };
    let ask = async |asked| answer(world.accesses(&world.owner).rotate_ssh_key(asked).await);
    let first = ask(asked.clone()).await.unwrap().rotation.unwrap().id;
    world.settle().await;
    assert_eq!(ask(asked.clone()).await.unwrap().rotation.unwrap().id, first);
    let other = proto::RotateSshKeyRequest { drop_grace_key: true, ..asked };
    assert_eq!(ask(other).await.unwrap_err().reason, Reason::IdempotencyKeyReused);
}

#[tokio::test]
async fn rotation_gates() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let ask = async |asked| reason(world.accesses(&world.owner).rotate_ssh_key(asked).await);
    let unconfirmed = proto::RotateSshKeyRequest { confirmation: None, ..world.rotate(&access.id) };
    assert_eq!(ask(unconfirmed).await, Reason::ConfirmationRequired);
    let wrong = proto::RotateSshKeyRequest {
        confirmation: Some(confirm(&access.id.to_uppercase())),
        ..world.rotate(&access.id)
    };
    assert_eq!(ask(wrong).await, Reason::ConfirmationMismatch);
    for grace in [seconds(-1), seconds(7 * 86400 + 1)] {
        let asked = proto::RotateSshKeyRequest { grace_period: grace, ..world.rotate(&access.id) };
        assert_eq!(ask(asked).await, Reason::ValidationFailed);
    }
    world.start(&access.id).await;
    assert_eq!(ask(world.rotate(&access.id)).await, Reason::RotationInProgress);
    world.settle().await;
    let refused =
        answer(world.accesses(&world.owner).rotate_ssh_key(world.rotate(&access.id)).await).unwrap_err();
    assert_eq!(refused.reason, Reason::GraceInProgress);
    assert_eq!(refused.metadata.get("graceEndsAt").unwrap(), "2023-11-15T22:13:20.000000Z");
    answer(world.accesses(&world.owner).revoke_ssh_access(world.revoke(&access.id)).await).unwrap();
    assert_eq!(ask(world.rotate(&access.id)).await, Reason::AccessRevoked);
}

#[tokio::test]
async fn an_access_of_another_tenant_does_not_exist() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let stranger = person(Role::TenantOwner, Some(&TenantId::random().unwrap()));
    let accesses = || world.accesses(&stranger);
    assert_eq!(reason(accesses().rotate_ssh_key(world.rotate(&access.id)).await), Reason::AccessNotFound);
    assert_eq!(reason(accesses().revoke_ssh_access(world.revoke(&access.id)).await), Reason::AccessNotFound);
    assert_eq!(
        reason(accesses().regenerate_ssh_key(world.regenerate(&access.id)).await),
        Reason::AccessNotFound
    );
    assert_eq!(reason(accesses().download_ssh_key(world.download(&access.id)).await), Reason::AccessNotFound);
    let rotation = proto::GetRotationRequest { rotation_id: access.recent_rotations[0].id.clone() };
    assert_eq!(reason(world.rotations(&stranger).get_rotation(rotation).await), Reason::RotationNotFound);
    let mut elsewhere = world.rotate(&access.id);
    elsewhere.tenant_id = stranger.principal.tenant.as_ref().unwrap().to_string();
    assert_eq!(reason(accesses().rotate_ssh_key(elsewhere).await), Reason::AccessNotFound);
}

#[tokio::test]
async fn a_member_sees_no_download_state_and_may_not_rotate() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    assert_eq!(access.download(), proto::DownloadState::Available);
    let member = person(Role::TenantMember, Some(&world.tenant));
    let asked =
        proto::GetSshAccessRequest { tenant_id: world.tenant.to_string(), access_id: access.id.clone() };
    let seen = answer(world.accesses(&member).get_ssh_access(asked).await).unwrap().access.unwrap();
    assert_eq!(seen.download(), proto::DownloadState::Unspecified);
    assert_eq!(
        reason(world.accesses(&member).rotate_ssh_key(world.rotate(&access.id)).await),
        Reason::PermissionDenied
    );
}

#[tokio::test]
async fn a_sealed_store_or_a_silent_log_refuses_at_once_and_the_key_of_the_request_stays_free() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let asked = proto::RotateSshKeyRequest { idempotency_key: "k".to_owned(), ..world.rotate(&access.id) };
    let ask = async || answer(world.accesses(&world.owner).rotate_ssh_key(asked.clone()).await);
    world.vault.seal(true);
    assert_eq!(ask().await.unwrap_err().reason, Reason::SecretStoreSealed);
    world.vault.seal(false);
    world.log.down.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(ask().await.unwrap_err().reason, Reason::AuditUnavailable);
    world.log.down.store(false, std::sync::atomic::Ordering::SeqCst);
    world.settle().await;
    assert_eq!(world.view(&access.id).await.version, 1);
    let begun = ask().await.unwrap().rotation.unwrap();
    world.settle().await;
    assert_eq!(world.rotation(&begun.id).await.state(), proto::RotationState::Succeeded);
}

#[tokio::test]
async fn an_old_key_is_due_and_then_expired_but_works() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let day = Duration::from_secs(86400);
    assert_eq!(access.due(), proto::Due::NotDue);
    world.pass(day * 84);
    assert_eq!(world.view(&access.id).await.due(), proto::Due::DueSoon);
    world.pass(day * 7);
    let expired = world.view(&access.id).await;
    assert_eq!((expired.due(), expired.status()), (proto::Due::Overdue, proto::AccessStatus::Expired));
}

#[tokio::test]
async fn a_provisioning_that_a_sealed_store_refuses_can_be_asked_for_again_at_once() {
    let world = World::new().await;
    let asked = proto::ProvisionSshAccessRequest {
        idempotency_key: "k".to_owned(),
        ..world.provisioning(&[world.server()])
    };
    let ask = async || answer(world.accesses(&operator()).provision_ssh_access(asked.clone()).await);
    world.vault.seal(true);
    assert_eq!(ask().await.unwrap_err().reason, Reason::SecretStoreSealed);
    assert!(world.vault.state.lock().unwrap().references.is_empty());
    world.vault.seal(false);
    let access = ask().await.unwrap().access.unwrap();
    world.settle().await;
    assert_eq!(world.view(&access.id).await.version, 1);
}
