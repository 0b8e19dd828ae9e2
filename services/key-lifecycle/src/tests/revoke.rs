//! A revocation is always accepted, wins over everything, and is not called done before every host says so.

use super::world::{World, answer, operator, reason};
use crate::store;
use keywright_domain::ids::{RevocationId, ServerId};
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_proto::credential::VersionState;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::{RevocationState, RotationState};
use keywright_storage::lease;
use std::sync::atomic::Ordering;
use std::time::Duration;

async fn revoke(world: &World, access: &str) -> proto::Revocation {
    let begun = world.accesses(&world.owner).revoke_ssh_access(world.revoke(access)).await;
    answer(begun).unwrap().revocation.unwrap()
}

fn states(world: &World) -> Vec<VersionState> {
    world.vault.state.lock().unwrap().versions.values().map(|(_, version)| version.state()).collect()
}

#[tokio::test]
async fn active_and_grace_keys_end_everywhere_and_their_material_is_destroyed() {
    let world = World::new().await;
    let servers = [world.server(), world.server()];
    let access = world.access(&servers).await;
    world.start(&access.id).await;
    world.settle().await;
    let begun = revoke(&world, &access.id).await;
    assert_eq!(world.view(&access.id).await.status(), proto::AccessStatus::Revoked);
    assert!(
        states(&world).iter().all(|state| *state == VersionState::Revoked),
        "credential-store knows it before the caller does"
    );
    assert_eq!(revoke(&world, &access.id).await.id, begun.id, "a repetition answers the running one");
    // The rotation has offered its old key too, so the last of three waits for its turn.
    world.settle_for(20).await;
    let done = world.revocation(&begun.id).await;
    assert_eq!(done.state(), RevocationState::Succeeded);
    for host in &done.hosts {
        assert_eq!((host.state.as_str(), host.sessions_ended.as_str()), ("REMOVED_PROVEN", "1"));
    }
    for server in &servers {
        assert!(world.range.file(server, &access.account).keys.is_empty());
    }
    assert!(states(&world).iter().all(|state| *state == VersionState::Revoked));
}

#[tokio::test]
async fn one_that_is_asked_for_when_the_last_has_ended_looks_at_the_hosts_again() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let first = revoke(&world, &access.id).await;
    world.settle().await;
    assert_eq!(world.revocation(&first.id).await.state(), RevocationState::Succeeded);
    let blob = PublicKey::parse_openssh(&access.public_key).unwrap().blob().to_vec();
    let place = (server.clone(), access.account.clone());
    world.range.state.lock().unwrap().files.get_mut(&place).unwrap().keys.insert(blob, None);
    world.pass(Duration::from_secs(60));

    let second = revoke(&world, &access.id).await;

    assert_ne!(second.id, first.id);
    world.settle().await;
    let ended = world.revocation(&second.id).await;
    assert_eq!(
        (ended.state(), ended.hosts[0].state.as_str()),
        (RevocationState::Succeeded, "REMOVED_PROVEN")
    );
    assert!(world.range.file(&server, &access.account).keys.is_empty());
}

#[tokio::test]
async fn nothing_holds_it_back() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.vault.seal(true);
    world.log.down.store(true, Ordering::SeqCst);
    let inactive = keywright_proto::credential::ServerLifecycle::Inactive;
    world.vault.state.lock().unwrap().servers.get_mut(&server).unwrap().lifecycle_status = inactive.into();
    let begun = revoke(&world, &access.id).await;
    world.settle().await;
    assert_eq!(world.revocation(&begun.id).await.state(), RevocationState::Succeeded);
    assert_ne!(states(&world), [VersionState::Revoked], "the store cannot hear it yet");
    world.vault.seal(false);
    world.settle().await;
    assert_eq!(states(&world), [VersionState::Revoked]);
    assert!(
        world.vault.state.lock().unwrap().versions.values().all(|(_, version)| version.material_destroyed)
    );
    let spooled = keywright_storage::outbox::oldest(&world.db, 100).await.unwrap();
    assert!(spooled.iter().any(|entry| matches!(entry.owed, keywright_storage::outbox::Owed::Intent(_))));
}

#[tokio::test]
async fn a_driver_that_another_has_replaced_records_nothing() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let begun = revoke(&world, &access.id).await;
    let (id, span) = (RevocationId::parse(&begun.id).unwrap(), Duration::from_secs(4));
    let old = lease::acquire(&world.db, id.as_str(), "old", span).await.unwrap().unwrap();
    world.pass(Duration::from_secs(5));
    lease::acquire(&world.db, id.as_str(), "new", span).await.unwrap().unwrap();

    let refused = world.worker.revoker.run(&id, Some(&old)).await.unwrap_err();

    assert_eq!(refused.reason, Reason::RevisionMismatch);
    assert_eq!(world.revocation(&begun.id).await.hosts[0].state, "REMOVAL_PENDING");
    world.pass(Duration::from_secs(5));
    world.settle().await;
    assert_eq!(world.revocation(&begun.id).await.state(), RevocationState::Succeeded);
}

#[tokio::test]
async fn a_host_is_tried_again_though_the_clock_went_back() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.range.fail(&format!("any {server}"), 1, Reason::HostUnreachable);
    let begun = revoke(&world, &access.id).await;
    world.settle().await;
    assert_eq!(world.revocation(&begun.id).await.state(), RevocationState::Running);
    world.go_back(Duration::from_secs(7_200));
    world.settle().await;
    assert_eq!(world.revocation(&begun.id).await.state(), RevocationState::Succeeded);
}

#[tokio::test]
async fn a_host_that_is_down_is_exposed_and_tried_for_ever() {
    let world = World::new().await;
    let servers = [world.server(), world.server()];
    let access = world.access(&servers).await;
    world.range.fail(&format!("any {}", servers[0]), 20, Reason::HostUnreachable);
    let begun = revoke(&world, &access.id).await;
    world.settle().await;
    world.pass(Duration::from_secs(119));
    let now = world.revocation(&begun.id).await;
    assert_eq!(now.state(), RevocationState::Running);
    let down = &now.hosts[0];
    assert_eq!(
        (down.state.as_str(), down.exposed_minutes, down.reason.as_str()),
        ("REMOVAL_PENDING", 2, "HOST_UNREACHABLE")
    );
    assert_eq!(now.hosts[1].state, "REMOVED_PROVEN");
    assert_eq!(world.view(&access.id).await.activity(), proto::AccessActivity::Revoking);
    for _ in 0..30 {
        world.pass(Duration::from_secs(300));
        world.settle().await;
    }
    let done = world.revocation(&begun.id).await;
    assert_eq!(done.state(), RevocationState::Succeeded);
    assert!(done.hosts[0].exposed_minutes > 60);
}

#[tokio::test]
async fn it_wins_over_a_rotation_at_every_step() {
    for turns in 0..8 {
        let world = World::new().await;
        let server = world.server();
        let access = world.access(std::slice::from_ref(&server)).await;
        let rotation = world.start(&access.id).await;
        let id = rotation.id.clone().try_into().unwrap();
        for _ in 0..turns {
            let _more = world.worker.drive.once(&id, None).await.unwrap();
        }
        let before = world.rotation(&rotation.id).await.state();
        let begun = revoke(&world, &access.id).await;
        world.settle_for(20).await;
        let rotation = world.rotation(&rotation.id).await;
        let expected = if before == RotationState::Succeeded { before } else { RotationState::Superseded };
        assert_eq!(rotation.state(), expected, "after {turns} turns");
        assert!(!world.worker.drive.once(&id, None).await.unwrap());
        assert_eq!(world.revocation(&begun.id).await.state(), RevocationState::Succeeded);
        assert!(world.range.file(&server, &access.account).keys.is_empty(), "after {turns} turns");
        assert!(states(&world).iter().all(|state| *state == VersionState::Revoked), "after {turns} turns");
    }
}

#[tokio::test]
async fn an_edit_from_before_the_revocation_comes_too_late() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let late = world.range.file(&server, &access.account).revision;
    revoke(&world, &access.id).await;
    world.settle().await;
    assert!(world.range.file(&server, &access.account).revision > late, "the marker stops the older script");
}

#[tokio::test]
async fn a_key_found_to_be_compromised_later_is_marked_by_a_second_revocation() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let first = revoke(&world, &access.id).await;
    world.settle().await;
    let asked = proto::RevokeSshAccessRequest { compromised: true, ..world.revoke(&access.id) };
    let second =
        answer(world.accesses(&world.owner).revoke_ssh_access(asked).await).unwrap().revocation.unwrap();
    assert_ne!(second.id, first.id);
    world.settle().await;
    assert!(world.vault.state.lock().unwrap().versions.values().all(|(_, version)| version.compromised));
    assert_eq!(world.revocation(&second.id).await.state(), RevocationState::Succeeded);
}

#[tokio::test]
async fn only_the_keys_of_the_last_revocation_are_marked() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    revoke(&world, &access.id).await;
    answer(world.accesses(&world.owner).regenerate_ssh_key(world.regenerate(&access.id)).await).unwrap();
    world.settle().await;
    world.pass(Duration::from_secs(1));
    let asked = proto::RevokeSshAccessRequest { compromised: true, ..world.revoke(&access.id) };
    answer(world.accesses(&world.owner).revoke_ssh_access(asked).await).unwrap();
    world.settle().await;
    let state = world.vault.state.lock().unwrap();
    let marked: Vec<i32> = state
        .versions
        .values()
        .filter(|(_, version)| version.compromised)
        .map(|(_, version)| version.number)
        .collect();
    assert_eq!(marked, [2]);
}

#[tokio::test]
async fn a_key_found_to_be_compromised_while_its_successor_is_being_made_is_marked_and_so_is_that() {
    for turns in [1, 3] {
        let world = World::new().await;
        let server = world.server();
        let access = world.access(std::slice::from_ref(&server)).await;
        revoke(&world, &access.id).await;
        world.settle().await;
        world.pass(Duration::from_secs(1));
        let begun = world.accesses(&world.owner).regenerate_ssh_key(world.regenerate(&access.id)).await;
        let rotation = answer(begun).unwrap().rotation.unwrap();
        let id = rotation.id.clone().try_into().unwrap();
        for _ in 0..turns {
            assert!(world.worker.drive.once(&id, None).await.unwrap());
        }

        let asked = proto::RevokeSshAccessRequest { compromised: true, ..world.revoke(&access.id) };
        answer(world.accesses(&world.owner).revoke_ssh_access(asked).await).unwrap();
        world.settle().await;

        assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Superseded);
        assert_eq!(world.view(&access.id).await.status(), proto::AccessStatus::Revoked);
        assert!(world.range.file(&server, &access.account).keys.is_empty());
        let state = world.vault.state.lock().unwrap();
        let marked = state.versions.values().filter(|(_, version)| version.compromised).count();
        assert_eq!(marked, 2, "after {turns} turns");
    }
}

#[tokio::test]
async fn a_new_key_comes_only_after_a_revocation_and_ends_it() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let ask = async || world.accesses(&world.owner).regenerate_ssh_key(world.regenerate(&access.id)).await;
    assert_eq!(reason(ask().await), Reason::AccessNotRevoked);
    revoke(&world, &access.id).await;
    world.settle().await;
    let begun = answer(ask().await).unwrap().rotation.unwrap();
    assert_eq!(begun.kind(), proto::RotationKind::Regenerate);
    assert_eq!(reason(ask().await), Reason::RotationInProgress);
    world.settle().await;
    let after = world.view(&access.id).await;
    assert_eq!((after.status(), after.version), (proto::AccessStatus::Active, 2));
    assert_eq!(after.download(), proto::DownloadState::Available);
    assert_eq!(world.range.file(&server, &access.account).keys.len(), 1);
    let again = revoke(&world, &access.id).await;
    world.settle().await;
    assert_eq!(world.revocation(&again.id).await.state(), RevocationState::Succeeded);
    assert!(world.range.file(&server, &access.account).keys.is_empty());
}

#[tokio::test]
async fn a_failed_regeneration_leaves_the_access_revoked() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    revoke(&world, &access.id).await;
    world.settle().await;
    world.pass(Duration::from_secs(1));
    world.range.fail("login", 1, Reason::HostKeyMismatch);
    answer(world.accesses(&world.owner).regenerate_ssh_key(world.regenerate(&access.id)).await).unwrap();
    world.settle_for(2).await;
    let after = world.view(&access.id).await;
    assert_eq!((after.status(), after.version), (proto::AccessStatus::Revoked, 0));
    assert_eq!(after.recent_rotations[0].state(), RotationState::Failed);
}

#[tokio::test]
async fn its_confirmation_is_typed_like_any_other() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let asked = proto::RevokeSshAccessRequest { confirmation: None, ..world.revoke(&access.id) };
    assert_eq!(
        reason(world.accesses(&world.owner).revoke_ssh_access(asked).await),
        Reason::ConfirmationRequired
    );
    let both = proto::RevokeSshAccessRequest {
        end_all_sessions: true,
        keep_sessions: true,
        ..world.revoke(&access.id)
    };
    assert_eq!(reason(world.accesses(&world.owner).revoke_ssh_access(both).await), Reason::ValidationFailed);
    assert_eq!(world.view(&access.id).await.status(), proto::AccessStatus::Active);
}

#[tokio::test]
async fn a_host_that_answers_to_another_work_is_tried_at_once() {
    let world = World::new().await;
    let server = world.server();
    let first = world.access(std::slice::from_ref(&server)).await;
    let asked = proto::ProvisionSshAccessRequest {
        account: "second".to_owned(),
        ..world.provisioning(std::slice::from_ref(&server))
    };
    answer(world.accesses(&operator()).provision_ssh_access(asked).await).unwrap();
    world.settle().await;
    world.range.fail(&format!("any {server}"), 8, Reason::HostUnreachable);
    let begun = revoke(&world, &first.id).await;
    world.settle_for(150).await;
    assert_eq!(world.revocation(&begun.id).await.state(), RevocationState::Running);
    world.range.state.lock().unwrap().failing.clear();

    let second = proto::ListSshAccessRequest { tenant_id: world.tenant.to_string(), ..Default::default() };
    let all = answer(world.accesses(&world.owner).list_ssh_access(second).await).unwrap().items;
    world.start(&all.iter().find(|access| access.account == "second").unwrap().id).await;
    world.settle().await;

    assert_eq!(world.revocation(&begun.id).await.state(), RevocationState::Succeeded);
}

#[tokio::test]
async fn it_is_told_when_it_happens_and_as_long_as_a_host_is_exposed() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.range.fail(&format!("any {server}"), usize::MAX, Reason::HostUnreachable);
    let begun = revoke(&world, &access.id).await;
    let told = async |event: &str| {
        let mut reader = crate::store::reader(&world.db).await.unwrap();
        let rows = sqlx::query("SELECT dedup FROM notice WHERE event = $1 AND subject = $2")
            .bind(event)
            .bind(&begun.id)
            .fetch_all(&mut *reader)
            .await;
        rows.unwrap().len()
    };
    assert_eq!((told("access.revoked").await, told("access.exposed").await), (1, 0));
    world.settle_for(299).await;
    assert_eq!(told("access.exposed").await, 0);
    world.settle_for(2).await;
    assert_eq!(told("access.exposed").await, 1);
    for _ in 0..12 {
        world.pass(Duration::from_secs(300));
        world.settle().await;
    }
    assert_eq!(told("access.exposed").await, 2);
    world.pass(Duration::from_secs(24 * 3600));
    world.settle().await;
    assert_eq!(told("access.exposed").await, 3);
}

#[tokio::test]
async fn a_revoked_access_signs_nothing_under_its_revocation() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.range.fail(&format!("any {server}"), usize::MAX, Reason::HostUnreachable);
    let begun = revoke(&world, &access.id).await;
    let credential = world.vault.state.lock().unwrap().credentials.iter().next().unwrap().clone();
    let asked =
        proto::CheckWorkRequest { work: begun.id.clone(), credential_id: credential, server_id: server };
    assert!(!answer(world.works().check_work(asked).await).unwrap().open);
}

#[tokio::test]
async fn what_stands_on_a_server_that_was_released_is_nobodys_work() {
    let world = World::new().await;
    let servers = [world.server(), world.server()];
    let access = world.access(&servers).await;
    let mut tx = world.db.begin_internal("a test").await.unwrap();
    store::release::leave(&mut tx, &ServerId::parse(&servers[0]).unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    let revocation = revoke(&world, &access.id).await;
    world.settle().await;
    assert_eq!(world.revocation(&revocation.id).await.hosts.len(), 1);
    assert_eq!(world.view(&access.id).await.activity(), proto::AccessActivity::None);
}
