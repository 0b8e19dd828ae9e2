//! A tenant leaves: nothing is deleted before every host has refused its keys, and every part may fail and be repeated.

use super::world::{World, answer, operator, reason};
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_proto::credential as vault;
use keywright_proto::lifecycle as proto;
use std::time::Duration;

fn asked(tenant: &TenantId) -> proto::OffboardTenantRequest {
    let confirmation = Some(proto::TenantConfirmation { tenant_id: tenant.to_string() });
    proto::OffboardTenantRequest { tenant_id: tenant.to_string(), confirmation, ..Default::default() }
}

async fn begin(world: &World) -> proto::Offboarding {
    let begun = world.offboarding(&operator()).offboard_tenant(asked(&world.tenant)).await;
    answer(begun).unwrap().offboarding.unwrap()
}

async fn view(world: &World) -> proto::Offboarding {
    let asked = proto::GetOffboardingRequest { tenant_id: world.tenant.to_string() };
    answer(world.offboarding(&operator()).get_offboarding(asked).await).unwrap().offboarding.unwrap()
}

/// Passes follow one another while the clock goes on.
async fn drive(world: &World) -> proto::Offboarding {
    for _ in 0..40 {
        world.settle().await;
        if view(world).await.state() == proto::OffboardingState::Succeeded {
            break;
        }
        world.pass(Duration::from_secs(61));
    }
    view(world).await
}

/// A server that Keywright does not log in to any more: the fakes have no other way in.
fn unmanage(world: &World, server: &str) {
    let mut state = world.vault.state.lock().unwrap();
    state.servers.get_mut(server).unwrap().management_key_id.clear();
}

fn tenant_state(world: &World) -> vault::TenantState {
    let state = world.vault.state.lock().unwrap();
    let found = state.tenants.iter().find(|tenant| tenant.id == world.tenant.as_str());
    found.map_or(vault::TenantState::Active, |tenant| tenant.state())
}

#[tokio::test]
async fn its_accesses_end_everywhere_and_what_is_kept_says_so() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let begun = begin(&world).await;
    assert_eq!((begun.state(), begun.accesses), (proto::OffboardingState::Running, 1));
    assert_eq!(tenant_state(&world), vault::TenantState::Suspended, "its people are turned away at once");
    world.settle().await;
    unmanage(&world, &server);
    let done = drive(&world).await;
    assert_eq!(done.state(), proto::OffboardingState::Succeeded, "{done:?}");
    assert!(done.export_ready && done.waits_for.is_empty() && done.finished_at.is_some());
    assert_eq!(tenant_state(&world), vault::TenantState::Deleted);
    {
        let state = world.vault.state.lock().unwrap();
        assert!(state.references.is_empty(), "{:?}", state.references);
        assert!(state.versions.values().all(|(_, version)| version.material_destroyed));
    }
    let asked = proto::GetOffboardingExportRequest { tenant_id: world.tenant.to_string() };
    let file =
        answer(world.offboarding(&operator()).get_offboarding_export(asked).await).unwrap().file.unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&file.data).unwrap();
    assert_eq!(kept["tenant"]["id"], world.tenant.as_str());
    assert_eq!(kept["accesses"][0]["id"], access.id);
    assert_eq!(kept["accesses"][0]["revocation"]["hosts"][0]["serverId"], server);
    assert!(kept["accesses"][0]["revocation"]["hosts"][0]["refusedAt"].is_string());
    assert!(kept["accesses"][0]["versions"][0]["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
    assert!(!kept["auditEvents"].as_array().unwrap().is_empty());
    assert_eq!(begin(&world).await, view(&world).await, "asked again, the same is answered");
}

#[tokio::test]
async fn a_dead_host_is_waited_for_and_named() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.range.fail(&format!("any {server}"), 10_000, Reason::HostUnreachable);
    begin(&world).await;
    for _ in 0..5 {
        world.settle().await;
        world.pass(Duration::from_secs(61));
    }
    let waiting = view(&world).await;
    assert_eq!((waiting.state(), waiting.outstanding_hosts), (proto::OffboardingState::Running, 1));
    assert!(
        waiting.waits_for[0].contains(&server) && waiting.waits_for[0].contains(&access.id),
        "{waiting:?}"
    );
    assert!(!waiting.export_ready);
    assert_eq!(tenant_state(&world), vault::TenantState::Suspended);
    world.range.fail(&format!("any {server}"), 0, Reason::HostUnreachable);
    world.pass(Duration::from_secs(600));
    world.settle().await;
    unmanage(&world, &server);
    assert_eq!(drive(&world).await.state(), proto::OffboardingState::Succeeded);
}

#[tokio::test]
async fn every_part_may_fail_and_be_repeated() {
    for call in ["suspend_tenant", "delete_tenant", "let_go", "set_state", "servers", "tenants"] {
        let world = World::new().await;
        let server = world.server();
        world.access(std::slice::from_ref(&server)).await;
        world.vault.state.lock().unwrap().failing.insert(call, 3);
        begin(&world).await;
        world.settle().await;
        let managed = drive_until_servers(&world).await;
        assert!(managed, "{call}: {:?}", view(&world).await);
        unmanage(&world, &server);
        let done = drive(&world).await;
        assert_eq!(done.state(), proto::OffboardingState::Succeeded, "{call}: {done:?}");
        assert!(world.vault.state.lock().unwrap().references.is_empty(), "{call}");
    }
}

/// Until only Keywright's own key holds it back.
async fn drive_until_servers(world: &World) -> bool {
    for _ in 0..40 {
        world.settle().await;
        if view(world).await.waits_for.iter().any(|what| what.contains("management key")) {
            return true;
        }
        world.pass(Duration::from_secs(61));
    }
    false
}

#[tokio::test]
async fn the_gates() {
    let world = World::new().await;
    world.server();
    let ask = async |caller, request| reason(world.offboarding(&caller).offboard_tenant(request).await);
    assert_eq!(ask(world.owner.clone(), asked(&world.tenant)).await, Reason::PermissionDenied);
    assert_eq!(ask(operator(), asked(&TenantId::random().unwrap())).await, Reason::TenantNotFound);
    let none = proto::OffboardTenantRequest { confirmation: None, ..asked(&world.tenant) };
    assert_eq!(ask(operator(), none).await, Reason::ConfirmationRequired);
    let other = asked(&TenantId::random().unwrap()).confirmation;
    let other = proto::OffboardTenantRequest { confirmation: other, ..asked(&world.tenant) };
    assert_eq!(ask(operator(), other).await, Reason::ConfirmationMismatch);
    let unknown = proto::GetOffboardingRequest { tenant_id: world.tenant.to_string() };
    let before = world.offboarding(&operator()).get_offboarding(unknown).await;
    assert_eq!(reason(before), Reason::TenantNotFound);
    world.log.down.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(begin(&world).await.state(), proto::OffboardingState::Running, "accepted with the log down");
}
