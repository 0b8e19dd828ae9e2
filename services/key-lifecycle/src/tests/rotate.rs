//! Graceful rotations over simulated hosts: what each host holds after success, after every failure, after repetition.

use super::world::{World, answer};
use crate::model::{StepName, StepState};
use crate::store;
use keywright_domain::ids::RotationId;
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::{HostLineState, RotationState};
use std::time::Duration;
use tokio_stream::StreamExt;

const DAY: Duration = Duration::from_secs(86400);

fn blob(access: &proto::SshAccess) -> Vec<u8> {
    PublicKey::parse_openssh(&access.public_key).unwrap().blob().to_vec()
}

fn version_of(
    access: &proto::SshAccess,
    rotation: &proto::Rotation,
    world: &World,
) -> keywright_proto::credential::CredentialVersion {
    let state = world.vault.state.lock().unwrap();
    let mut versions = state.versions.values().filter(|(credential, _)| *credential == access.credential_id);
    versions.find(|(_, version)| version.fingerprint == rotation.new_fingerprint).unwrap().1.clone()
}

#[tokio::test]
async fn both_keys_work_until_the_grace_ends_and_then_the_old_one_is_proven_refused() {
    let world = World::new().await;
    let server = world.server();
    world.range.state.lock().unwrap().enforcing = true;
    let before = world.access(std::slice::from_ref(&server)).await;
    let rotation = world.start(&before.id).await;
    world.settle().await;
    let during = world.view(&before.id).await;
    assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Succeeded);
    assert_eq!((during.activity(), during.version), (proto::AccessActivity::Grace, 2));
    assert_eq!(during.download(), proto::DownloadState::Available);
    let file = world.range.file(&server, &before.account);
    assert_eq!(file.keys.len(), 2);
    assert!(file.keys[&blob(&before)].is_some() && file.keys[&blob(&during)].is_none());
    let old = &during.hosts[0].lines[1];
    assert_eq!((old.state(), old.grace_enforced_by.as_str()), (HostLineState::Expiring, "SSHD"));
    world.pass(DAY);
    world.settle().await;
    let after = world.view(&before.id).await;
    assert_eq!(after.activity(), proto::AccessActivity::None);
    assert_eq!(after.hosts[0].lines[1].state(), HostLineState::RemovedProven);
    assert!(!after.hosts[0].lines[1].receipt.as_ref().unwrap().accepted);
    assert_eq!(world.range.file(&server, &before.account).keys.len(), 1);
    assert!(world.rotation(&rotation.id).await.grace_ended_at.is_some());
    let first = version_of(&after, &before.recent_rotations[0], &world);
    assert_eq!(first.state(), keywright_proto::credential::VersionState::Retired);
    assert!(first.material_destroyed);
}

#[tokio::test]
async fn a_host_that_refuses_a_key_with_an_end_gets_it_back_without() {
    let world = World::new().await;
    let server = world.server();
    let before = world.access(std::slice::from_ref(&server)).await;
    {
        let mut state = world.range.state.lock().unwrap();
        (state.enforcing, state.refuses_ends) = (true, true);
    }
    world.start(&before.id).await;
    world.settle().await;
    let during = world.view(&before.id).await;
    let old = &during.hosts[0].lines[1];
    assert_eq!((old.state(), old.grace_enforced_by.as_str()), (HostLineState::Installed, "KEYWRIGHT"));
    assert!(old.receipt.as_ref().unwrap().accepted);
    assert_eq!(world.range.file(&server, &before.account).keys[&blob(&before)], None);
}

#[tokio::test]
async fn no_grace_ends_the_old_key_at_once() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let mut asked = world.rotate(&access.id);
    asked.grace_period = Some(prost_types::Duration { seconds: 0, nanos: 0 });
    answer(world.accesses(&world.owner).rotate_ssh_key(asked).await).unwrap();
    world.settle().await;
    let after = world.view(&access.id).await;
    assert_eq!(world.range.file(&server, &access.account).keys.keys().collect::<Vec<_>>(), [&blob(&after)]);
    assert_eq!(after.activity(), proto::AccessActivity::None);
}

/// Every way in which one action on one of two hosts fails for good before the promotion.
#[tokio::test]
async fn a_failure_before_the_promotion_leaves_every_host_as_it_was() {
    for (action, reason) in [("converge", Reason::HostFileReadOnly), ("login", Reason::HostKeyMismatch)] {
        let world = World::new().await;
        let servers = [world.server(), world.server()];
        let access = world.access(&servers).await;
        world.range.fail(&format!("{action} {}", servers[1]), 1, reason);
        let rotation = world.start(&access.id).await;
        world.settle_for(3).await;
        let rotation = world.rotation(&rotation.id).await;
        assert_eq!((rotation.state(), rotation.reason.as_str()), (RotationState::Failed, reason.as_str()));
        for server in &servers {
            let file = world.range.file(server, &access.account);
            assert_eq!(file.keys.keys().collect::<Vec<_>>(), [&blob(&access)], "{action}");
        }
        let failed = version_of(&access, &rotation, &world);
        assert_eq!(failed.state(), keywright_proto::credential::VersionState::Failed);
        assert!(failed.material_destroyed);
        assert_eq!(world.view(&access.id).await.version, 1);
        world.start(&access.id).await;
        world.settle().await;
        assert_eq!(world.view(&access.id).await.version, 3, "the next one goes through");
    }
}

#[tokio::test]
async fn a_file_that_nobody_can_edit_needs_no_way_back_when_the_host_refuses_the_new_key() {
    for cut_off in [false, true] {
        let world = World::new().await;
        let server = world.server();
        let access = world.access(std::slice::from_ref(&server)).await;
        let rotation = world.start(&access.id).await;
        world.range.fail("converge", usize::MAX, Reason::HostFileSymlink);
        if cut_off {
            // Killed within the install: nobody knows what it did.
            let mut tx = world.db.begin_internal("a kill").await.unwrap();
            let id = RotationId::parse(&rotation.id).unwrap();
            let mut steps = store::step::of(tx.conn(), &id).await.unwrap();
            let install = steps.iter_mut().find(|step| step.name == StepName::Install).unwrap();
            install.state = StepState::Started;
            store::step::update(&mut tx, &id, install).await.unwrap();
            tx.commit().await.unwrap();
        }
        world.settle_for(2).await;
        let ended = world.rotation(&rotation.id).await;
        assert_eq!((ended.state(), ended.reason.as_str()), (RotationState::Failed, "HOST_FILE_SYMLINK"));
        let offered = world.range.done(&format!("offer {server}")) > 0;
        assert_eq!(world.turns_ahead(&server).await.is_zero(), !offered, "the way back takes its turn");
        assert!(offered || !cut_off);
        assert!(ended.message.contains(Reason::HostFileSymlink.remedy()));
    }
}

#[tokio::test]
async fn a_new_key_that_stands_where_nobody_can_edit_is_stuck() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let rotation = world.start(&access.id).await;
    world.range.fail("login", 1, Reason::HostKeyMismatch);
    world.worker.drive.once(&RotationId::parse(&rotation.id).unwrap(), None).await.unwrap();
    world.range.fail("converge", usize::MAX, Reason::HostFileReadOnly);
    world.settle_for(300).await;
    assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Stuck);
}

#[tokio::test]
async fn passing_faults_before_the_promotion_are_tried_again() {
    for action in ["converge", "login"] {
        let world = World::new().await;
        let server = world.server();
        let access = world.access(std::slice::from_ref(&server)).await;
        world.range.fail(action, 2, Reason::HostUnreachable);
        let rotation = world.start(&access.id).await;
        world.settle_for(8).await;
        assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Succeeded, "{action}");
    }
}

#[tokio::test]
async fn after_the_promotion_it_only_goes_forward() {
    let world = World::new().await;
    let servers = [world.server(), world.server()];
    let access = world.access(&servers).await;
    let rotation = world.start(&access.id).await;
    loop {
        assert!(world.worker.drive.once(&rotation.id.clone().try_into().unwrap(), None).await.unwrap());
        if world.rotation(&rotation.id).await.promoted_at.is_some() {
            break;
        }
    }
    world.range.fail(&format!("any {}", servers[0]), 5, Reason::HostUnreachable);
    world.settle().await;
    let now = world.rotation(&rotation.id).await;
    assert_eq!(now.state(), RotationState::Converging);
    let expired =
        now.steps.iter().filter(|step| step.name == "expire_old" && step.state() == proto::StepState::Done);
    assert_eq!(expired.count(), 1, "the other host is not held up");
    world.settle_for(60).await;
    assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Succeeded);
}

/// Killed after each step: whoever goes on gets to the same end, and the steps that were cut off run twice.
#[tokio::test]
async fn every_step_may_be_cut_off_and_repeated() {
    let world = World::new().await;
    let server = world.server();
    world.range.state.lock().unwrap().enforcing = true;
    let access = world.access(std::slice::from_ref(&server)).await;
    let rotation = world.start(&access.id).await;
    let id = RotationId::parse(&rotation.id).unwrap();
    for call in ["set_state", "server"] {
        world.vault.state.lock().unwrap().failing.insert(call, 1);
    }
    for _ in 0..60 {
        // What was done is forgotten: the row says "started", as after a kill between the act and its record.
        let rows = world.rotation(&rotation.id).await.steps;
        if let Some(done) = rows.iter().rposition(|step| step.state() == proto::StepState::Done) {
            let mut tx = world.db.begin_internal("a kill").await.unwrap();
            let mut steps = crate::store::step::of(tx.conn(), &id).await.unwrap();
            if steps[done].attempts < 2 {
                steps[done].state = crate::model::StepState::Started;
                crate::store::step::update(&mut tx, &id, &steps[done]).await.unwrap();
            }
            tx.commit().await.unwrap();
        }
        let _more = world.worker.drive.once(&id, None).await.unwrap();
        world.pass(Duration::from_secs(1));
    }
    world.pass(DAY);
    world.settle().await;
    let after = world.view(&access.id).await;
    assert_eq!((after.version, after.activity()), (2, proto::AccessActivity::None));
    assert_eq!(world.range.file(&server, &access.account).keys.keys().collect::<Vec<_>>(), [&blob(&after)]);
}

#[tokio::test]
async fn a_downloaded_key_keeps_its_grace_when_the_older_one_is_dropped() {
    let world = World::new().await;
    let server = world.server();
    let first = world.access(std::slice::from_ref(&server)).await;
    world.start(&first.id).await;
    world.settle().await;
    let second = world.view(&first.id).await;
    answer(world.accesses(&world.owner).download_ssh_key(world.download(&first.id)).await).unwrap();
    let asked = proto::RotateSshKeyRequest { drop_grace_key: true, ..world.rotate(&first.id) };
    answer(world.accesses(&world.owner).rotate_ssh_key(asked).await).unwrap();
    world.settle().await;
    let third = world.view(&first.id).await;
    let file = world.range.file(&server, &first.account);
    assert!(!file.keys.contains_key(&blob(&first)), "the older one ended");
    assert!(file.keys.contains_key(&blob(&second)) && file.keys.contains_key(&blob(&third)));
}

#[tokio::test]
async fn a_key_that_nobody_has_is_dropped_itself_and_the_older_one_keeps_its_time() {
    let world = World::new().await;
    let server = world.server();
    let first = world.access(std::slice::from_ref(&server)).await;
    world.start(&first.id).await;
    world.settle().await;
    let second = world.view(&first.id).await;
    let asked = proto::RotateSshKeyRequest { drop_grace_key: true, ..world.rotate(&first.id) };
    answer(world.accesses(&world.owner).rotate_ssh_key(asked).await).unwrap();
    world.settle().await;
    let third = world.view(&first.id).await;
    assert_eq!(third.grace_ends_at, second.grace_ends_at);
    let file = world.range.file(&server, &first.account);
    assert!(!file.keys.contains_key(&blob(&second)));
    assert!(file.keys.contains_key(&blob(&first)) && file.keys.contains_key(&blob(&third)));
    world.pass(DAY);
    world.settle().await;
    assert_eq!(world.range.file(&server, &first.account).keys.len(), 1);
}

#[tokio::test]
async fn a_host_that_is_down_at_grace_end_shows_what_is_owed_and_a_new_rotation_may_begin() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let first = world.start(&access.id).await;
    world.settle().await;
    world.range.fail("converge", 3, Reason::HostUnreachable);
    world.pass(DAY);
    world.settle().await;
    let now = world.view(&access.id).await;
    assert_eq!(now.hosts[0].lines[1].state(), HostLineState::RemovalPending);
    assert_eq!(now.activity(), proto::AccessActivity::Converging);
    world.start(&access.id).await;
    world.settle_for(30).await;
    assert_eq!(world.view(&access.id).await.version, 3);
    assert!(world.rotation(&first.id).await.grace_ended_at.is_some());
}

#[tokio::test]
async fn a_forged_marker_holds_nothing_back() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let key = (server.clone(), access.account.clone());
    world.range.state.lock().unwrap().files.get_mut(&key).unwrap().revision = 1 << 60;
    world.start(&access.id).await;
    world.settle().await;
    assert_eq!(world.view(&access.id).await.version, 2);
}

#[tokio::test]
async fn a_watch_tells_every_change_and_ends() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let rotation = world.start(&access.id).await;
    let asked = proto::WatchRotationRequest { rotation_id: rotation.id.clone() };
    let mut watched = world.rotations(&world.owner).watch_rotation(asked).await.unwrap().into_inner();
    let first = watched.next().await.unwrap().unwrap().rotation.unwrap();
    assert_eq!(first.state(), RotationState::Running);
    world.settle().await;
    // A look may fall between any two steps: what comes before the end is still running.
    let mut last = first;
    while let Some(next) = watched.next().await {
        assert_eq!(last.state(), RotationState::Running);
        last = next.unwrap().rotation.unwrap();
    }
    assert_eq!(last.state(), RotationState::Succeeded);
}

#[tokio::test]
async fn a_rotation_is_open_work_until_its_grace_has_ended() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let rotation = world.start(&access.id).await;
    world.settle().await;
    let open = async |work: &str, credential: &str, server: &str| {
        let asked = proto::CheckWorkRequest {
            work: work.to_owned(),
            credential_id: credential.to_owned(),
            server_id: server.to_owned(),
        };
        answer(world.works().check_work(asked).await).unwrap().open
    };
    assert!(open(&rotation.id, &access.credential_id, &server).await);
    assert!(!open(&rotation.id, &access.credential_id, &world.server()).await);
    assert!(!open(&rotation.id, "sshcred_aaaaaaaaaaaaaaaaaaaaaaaaaa", &server).await);
    assert!(!open("rot_aaaaaaaaaaaaaaaaaaaaaaaaaa", &access.credential_id, &server).await);
    world.pass(DAY);
    world.settle().await;
    assert!(!open(&rotation.id, &access.credential_id, &server).await);
}
