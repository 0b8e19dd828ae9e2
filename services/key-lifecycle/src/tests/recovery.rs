//! After a restore: nothing is written, what the hosts have is found out, and nothing comes back by itself.

use super::world::{World, answer, operator, reason};
use crate::recovery::enter;
use crate::refusals::SPACING;
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::{HostLineState, RecoveryFinding, RotationState};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn blob(access: &proto::SshAccess) -> Vec<u8> {
    PublicKey::parse_openssh(&access.public_key).unwrap().blob().to_vec()
}

/// As if the database had just been restored.
async fn restored(world: &World) {
    let now = world.db.now().await.unwrap();
    enter(&world.db, now).await.unwrap();
    world.pass(HOUR);
}

async fn probed(world: &World) -> proto::Recovery {
    let mut recoveries = world.recoveries(&operator());
    answer(recoveries.probe_recovery(proto::ProbeRecoveryRequest {}).await).unwrap().recovery.unwrap()
}

fn completion(count: i32, restore_lines: &[String]) -> proto::CompleteRecoveryRequest {
    proto::CompleteRecoveryRequest {
        confirmation: Some(proto::RecoveryConfirmation { target_count: count }),
        restore_lines: restore_lines.to_vec(),
    }
}

async fn completed(world: &World, count: i32, restore_lines: &[String]) -> proto::Recovery {
    let asked = completion(count, restore_lines);
    let recovery = answer(world.recoveries(&operator()).complete_recovery(asked).await).unwrap().recovery;
    world.pass(Duration::from_secs(1));
    world.settle().await;
    recovery.unwrap()
}

/// What the host says to the key of this version.
fn finding(recovery: &proto::Recovery, version: i32) -> RecoveryFinding {
    recovery.lines.iter().find(|line| line.version == version).unwrap().finding()
}

fn take(world: &World, server: &str, access: &proto::SshAccess) {
    let mut state = world.range.state.lock().unwrap();
    let file = state.files.get_mut(&(server.to_owned(), access.account.clone())).unwrap();
    assert!(file.keys.remove(&blob(access)).is_some());
    // Its edits went on after the backup.
    file.revision += 5;
}

fn line(access: &proto::SshAccess, version: i32) -> HostLineState {
    access.hosts[0].lines.iter().find(|line| line.version == version).unwrap().state()
}

#[tokio::test]
async fn nothing_is_written_and_nothing_downloaded_but_a_revocation_is_accepted() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    restored(&world).await;
    let edits = world.range.done("converge");
    let (owner, operator) = (world.owner.clone(), operator());
    let tenants = || world.accesses(&owner);
    assert_eq!(reason(tenants().rotate_ssh_key(world.rotate(&access.id)).await), Reason::RecoveryMode);
    assert_eq!(
        reason(tenants().regenerate_ssh_key(world.regenerate(&access.id)).await),
        Reason::RecoveryMode
    );
    assert_eq!(reason(tenants().download_ssh_key(world.download(&access.id)).await), Reason::RecoveryMode);
    let provisioning = world.provisioning(&[world.server()]);
    let provisioned = world.accesses(&operator).provision_ssh_access(provisioning).await;
    assert_eq!(reason(provisioned), Reason::RecoveryMode);
    let managed = proto::ManageServerRequest { server_id: server.clone(), ..Default::default() };
    assert_eq!(reason(world.management(&operator).manage_server(managed).await), Reason::RecoveryMode);

    let revoked = answer(tenants().revoke_ssh_access(world.revoke(&access.id)).await).unwrap();
    world.settle().await;

    assert_eq!(world.range.done("converge"), edits, "a host was written to");
    let destroyed = |world: &World| {
        let state = world.vault.state.lock().unwrap();
        state.versions.values().all(|(_, version)| version.material_destroyed)
    };
    assert!(destroyed(&world));
    let recovery = probed(&world).await;
    assert_eq!((recovery.as_recorded, recovery.missing), (1, 0), "{recovery:?}");
    completed(&world, 0, &[]).await;
    let id = revoked.revocation.unwrap().id;
    assert_eq!(world.revocation(&id).await.state(), proto::RevocationState::Succeeded);
    assert!(world.range.file(&server, &access.account).keys.is_empty());
}

#[tokio::test]
async fn only_an_operator_who_has_probed_and_typed_the_number_ends_it() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let unrestored = world.recoveries(&operator()).probe_recovery(proto::ProbeRecoveryRequest {}).await;
    assert_eq!(reason(unrestored), Reason::ValidationFailed);
    restored(&world).await;
    take(&world, &server, &access);
    let complete = async |asked| reason(world.recoveries(&operator()).complete_recovery(asked).await);
    assert_eq!(complete(completion(0, &[])).await, Reason::ValidationFailed, "not probed");
    let recovery = probed(&world).await;
    assert_eq!((recovery.missing, finding(&recovery, 1)), (1, RecoveryFinding::Missing));
    assert_eq!(complete(proto::CompleteRecoveryRequest::default()).await, Reason::ConfirmationRequired);
    assert_eq!(complete(completion(0, &[])).await, Reason::ConfirmationMismatch);
    assert_eq!(complete(completion(1, &["acc_x:v1@srv_y".to_owned()])).await, Reason::ValidationFailed);
    let by_owner = world.recoveries(&world.owner).complete_recovery(completion(1, &[])).await;
    assert_eq!(reason(by_owner), Reason::PermissionDenied);
    assert!(completed(&world, 1, &[]).await.completed_at.is_some());
    let again = answer(world.recoveries(&operator()).complete_recovery(completion(7, &[])).await).unwrap();
    assert!(!again.recovery.unwrap().active, "repeating it changes nothing");
}

#[tokio::test]
async fn a_key_that_a_host_does_not_have_any_more_stays_away_whatever_follows() {
    let world = World::new().await;
    let server = world.server();
    let before = world.access(std::slice::from_ref(&server)).await;
    restored(&world).await;
    take(&world, &server, &before);
    assert_eq!(finding(&probed(&world).await, 1), RecoveryFinding::Missing);
    let edits = world.range.done("converge");
    completed(&world, 1, &[]).await;
    assert_eq!(line(&world.view(&before.id).await, 1), HostLineState::RemovedProven);
    assert_eq!(world.range.done("converge"), edits, "there was nothing to write");

    let rotation = world.start(&before.id).await;
    world.settle().await;
    assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Succeeded);
    let after = world.view(&before.id).await;
    let file = world.range.file(&server, &before.account);
    assert_eq!(file.keys.keys().collect::<Vec<_>>(), [&blob(&after)], "the old key came back");
    world.settle_for(3).await;
    world.pass(24 * HOUR);
    world.settle().await;
    assert_eq!(world.view(&before.id).await.activity(), proto::AccessActivity::None);
}

#[tokio::test]
async fn an_operator_has_a_missing_key_put_back() {
    let world = World::new().await;
    let (one, other) = (world.server(), world.server());
    let access = world.access(&[one.clone(), other.clone()]).await;
    restored(&world).await;
    take(&world, &one, &access);
    take(&world, &other, &access);
    let recovery = probed(&world).await;
    let named = recovery.lines.iter().find(|line| line.server_id == one).unwrap().line_id.clone();
    assert_eq!(named, format!("{}:v1@{one}", access.id));
    completed(&world, 2, &[named]).await;
    assert!(world.range.file(&one, &access.account).keys.contains_key(&blob(&access)));
    assert!(!world.range.file(&other, &access.account).keys.contains_key(&blob(&access)));
    let states: Vec<_> =
        world.view(&access.id).await.hosts.iter().map(|host| host.lines[0].state()).collect();
    assert_eq!(states, [HostLineState::Installed, HostLineState::RemovedProven]);
}

#[tokio::test]
async fn a_key_that_should_be_gone_is_removed_after_the_completion() {
    let world = World::new().await;
    let server = world.server();
    let before = world.access(std::slice::from_ref(&server)).await;
    let mut asked = world.rotate(&before.id);
    asked.grace_period = Some(prost_types::Duration { seconds: 0, nanos: 0 });
    answer(world.accesses(&world.owner).rotate_ssh_key(asked).await).unwrap();
    world.settle().await;
    restored(&world).await;
    {
        let mut state = world.range.state.lock().unwrap();
        let file = state.files.get_mut(&(server.clone(), before.account.clone())).unwrap();
        file.keys.insert(blob(&before), None);
    }
    let recovery = probed(&world).await;
    assert_eq!(
        (finding(&recovery, 1), finding(&recovery, 2)),
        (RecoveryFinding::Unexpected, RecoveryFinding::AsRecorded)
    );
    assert_eq!(world.turns_ahead(&server).await, SPACING * 2, "each key was offered in its turn");
    world.pass(HOUR);
    world.range.fail("converge", 1, Reason::HostUnreachable);
    completed(&world, 1, &[]).await;
    assert!(
        world.range.file(&server, &before.account).keys.contains_key(&blob(&before)),
        "the host was down"
    );
    world.settle_for(4).await;
    let after = world.view(&before.id).await;
    assert_eq!(world.range.file(&server, &before.account).keys.keys().collect::<Vec<_>>(), [&blob(&after)]);
    assert_eq!(line(&after, 1), HostLineState::RemovedProven);
    assert_ne!(world.turns_ahead(&server).await, Duration::ZERO, "the proof waited for its turn too");
}

#[tokio::test]
async fn a_host_that_could_not_be_asked_is_not_written_to_before_it_was() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    restored(&world).await;
    take(&world, &server, &access);
    world.range.fail("offer", 1000, Reason::HostUnreachable);
    let recovery = probed(&world).await;
    assert_eq!((recovery.unreachable, finding(&recovery, 1)), (1, RecoveryFinding::Unreachable));
    assert!(!recovery.lines[0].detail.is_empty());
    completed(&world, 1, &[]).await;

    let rotation = world.start(&access.id).await;
    world.settle_for(40).await;
    assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Failed);
    assert_eq!(world.range.file(&server, &access.account).keys.len(), 0, "the host was written to");

    world.range.fail("offer", 0, Reason::HostUnreachable);
    world.pass(HOUR);
    world.settle().await;
    assert_eq!(line(&world.view(&access.id).await, 1), HostLineState::RemovedProven);
    world.start(&access.id).await;
    world.settle().await;
    let after = world.view(&access.id).await;
    assert_eq!(world.range.file(&server, &access.account).keys.keys().collect::<Vec<_>>(), [&blob(&after)]);
}

/// An access whose rotation has installed its new key and not promoted it.
async fn half_rotated(world: &World, server: &str) -> (proto::SshAccess, proto::Rotation) {
    let access = world.access(&[server.to_owned()]).await;
    world.range.fail("login", 1, Reason::HostUnreachable);
    let rotation = world.start(&access.id).await;
    world.settle().await;
    assert_eq!(world.range.file(server, &access.account).keys.len(), 2);
    assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Running);
    (access, rotation)
}

#[tokio::test]
async fn a_rotation_whose_new_key_every_host_has_goes_on() {
    let world = World::new().await;
    let server = world.server();
    let (access, rotation) = half_rotated(&world, &server).await;
    restored(&world).await;
    world.settle().await;
    assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Running);
    // It went on after the backup, and the old key went.
    take(&world, &server, &access);
    assert_eq!(finding(&probed(&world).await, 2), RecoveryFinding::AsRecorded);
    completed(&world, 1, &[]).await;
    world.settle_for(3).await;
    assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Succeeded);
    let after = world.view(&access.id).await;
    assert_eq!(after.version, 2);
    assert_eq!(world.range.file(&server, &access.account).keys.keys().collect::<Vec<_>>(), [&blob(&after)]);
}

#[tokio::test]
async fn a_rotation_whose_new_key_a_host_refuses_is_undone() {
    let world = World::new().await;
    let server = world.server();
    let (access, rotation) = half_rotated(&world, &server).await;
    restored(&world).await;
    {
        // It was promoted, downloaded and revoked after the backup: it must not come back.
        let mut state = world.range.state.lock().unwrap();
        let file = state.files.get_mut(&(server.clone(), access.account.clone())).unwrap();
        file.keys.retain(|key, _| *key == blob(&access));
    }
    probed(&world).await;
    completed(&world, 1, &[]).await;
    world.settle_for(3).await;
    let ended = world.rotation(&rotation.id).await;
    assert_eq!((ended.state(), ended.reason.as_str()), (RotationState::Failed, "RECOVERY_MODE"), "{ended:?}");
    let after = world.view(&access.id).await;
    assert_eq!(after.version, 1);
    assert_eq!(world.range.file(&server, &access.account).keys.keys().collect::<Vec<_>>(), [&blob(&access)]);
}

/// credential-store was copied after us: there the rotation had been promoted.
#[tokio::test]
async fn credential_store_may_be_ahead() {
    use keywright_proto::credential::VersionState as There;
    let world = World::new().await;
    let server = world.server();
    let (access, rotation) = half_rotated(&world, &server).await;
    {
        let mut state = world.vault.state.lock().unwrap();
        for (_, version) in state.versions.values_mut().filter(|(of, _)| *of == access.credential_id) {
            let is_new = version.state() == There::Staged;
            version.state = if is_new { There::Active } else { There::Retired }.into();
            version.material_destroyed = !is_new;
        }
        let mut hosts = world.range.state.lock().unwrap();
        hosts.files.get_mut(&(server.clone(), access.account.clone())).unwrap().keys.clear();
    }
    restored(&world).await;
    probed(&world).await;
    completed(&world, 2, &[]).await;
    world.settle_for(3).await;
    assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Failed);

    let next = world.start(&access.id).await;
    world.settle().await;
    assert_eq!(world.rotation(&next.id).await.state(), RotationState::Succeeded);
    world.pass(25 * HOUR);
    world.settle().await;
    assert_eq!(world.view(&access.id).await.activity(), proto::AccessActivity::None);
    let state = world.vault.state.lock().unwrap();
    let live = state.versions.values().filter(|(of, version)| {
        *of == access.credential_id && matches!(version.state(), There::Staged | There::Active | There::Grace)
    });
    assert_eq!(live.count(), 1, "one key is in use, the others ended");
}
