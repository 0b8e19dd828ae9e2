//! Many hosts for one key: all of them or none, hosts that are left behind and catch up, hosts that come and go.

use super::world::{World, answer, confirm, operator, reason};
use crate::model::{Origin, OwnSettings, StepState};
use crate::store;
use keywright_domain::ids::{CampaignId, RotationId};
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::{AccessActivity, HostLineState, RotationState};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86400);
const FOR_LONG: usize = 1_000_000;

fn blob(access: &proto::SshAccess) -> Vec<u8> {
    PublicKey::parse_openssh(&access.public_key).unwrap().blob().to_vec()
}

/// The keys that stand on the host, as many as the versions asked about.
fn stand(world: &World, server: &str, of: &[&proto::SshAccess]) -> Vec<bool> {
    let file = world.range.file(server, &of[0].account);
    of.iter().map(|access| file.keys.contains_key(&blob(access))).collect()
}

pub(super) fn down(world: &World, server: &str) {
    world.range.fail(&format!("any {server}"), FOR_LONG, Reason::HostUnreachable);
}

pub(super) fn up(world: &World, server: &str) {
    world.range.fail(&format!("any {server}"), 0, Reason::HostUnreachable);
}

pub(super) fn holds(world: &World, access: &proto::SshAccess, server: &str) -> bool {
    world.vault.state.lock().unwrap().references.contains(&format!("{} {server}", access.id))
}

pub(super) fn add(world: &World, access: &str, server: &str) -> proto::AddAccessHostRequest {
    proto::AddAccessHostRequest {
        tenant_id: world.tenant.to_string(),
        access_id: access.to_owned(),
        server_id: server.to_owned(),
        ..Default::default()
    }
}

fn remove(world: &World, access: &str, server: &str) -> proto::RemoveAccessHostRequest {
    proto::RemoveAccessHostRequest {
        tenant_id: world.tenant.to_string(),
        access_id: access.to_owned(),
        server_id: server.to_owned(),
        confirmation: Some(confirm(access)),
        ..Default::default()
    }
}

impl World {
    pub(super) async fn add_host(&self, access: &str, server: &str) -> proto::Rotation {
        let answered = self.accesses(&operator()).add_access_host(add(self, access, server)).await;
        answer(answered).unwrap().rotation.unwrap()
    }

    pub(super) async fn remove_host(&self, access: &str, server: &str) -> proto::Rotation {
        let answered = self.accesses(&operator()).remove_access_host(remove(self, access, server)).await;
        answer(answered).unwrap().rotation.unwrap()
    }

    /// Hosts that cannot be reached are left behind.
    async fn leave_behind(&self) {
        let own = OwnSettings { promote_with_outstanding: Some(true), ..OwnSettings::default() };
        let mut tx = self.db.begin_internal("test").await.unwrap();
        store::policy::put(&mut tx, Some(&self.tenant), None, &own, "test").await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Every step that is done is done again, as after a kill between the act and its record.
    async fn drive_all_twice(&self, rotation: &str) {
        let id: RotationId = rotation.to_owned().try_into().unwrap();
        for _ in 0..40 {
            let mut tx = self.db.begin_internal("a kill").await.unwrap();
            let mut steps = store::step::of(tx.conn(), &id).await.unwrap();
            for step in steps.iter_mut().filter(|step| step.is_done() && step.attempts < 2) {
                step.state = StepState::Started;
                store::step::update(&mut tx, &id, step).await.unwrap();
            }
            tx.commit().await.unwrap();
            let _more = self.worker.drive.once(&id, None).await.unwrap();
            self.pass(Duration::from_secs(1));
        }
    }
}

#[tokio::test]
async fn one_host_of_four_that_fails_takes_the_new_key_off_the_others() {
    for (action, why) in [("converge", Reason::HostFileReadOnly), ("login", Reason::HostKeyMismatch)] {
        let world = World::new().await;
        let servers: Vec<String> = (0..4).map(|_| world.server()).collect();
        let access = world.access(&servers).await;
        world.range.fail(&format!("{action} {}", servers[2]), 1, why);
        let rotation = world.start(&access.id).await;
        world.settle_for(3).await;
        let ended = world.rotation(&rotation.id).await;
        assert_eq!((ended.state(), ended.reason.as_str()), (RotationState::Failed, why.as_str()));
        for server in &servers {
            let file = world.range.file(server, &access.account);
            assert_eq!(file.keys.keys().collect::<Vec<_>>(), [&blob(&access)], "{action}");
        }
    }
}

#[tokio::test]
async fn by_default_a_host_that_is_away_leads_back() {
    let world = World::new().await;
    let servers = [world.server(), world.server()];
    let access = world.access(&servers).await;
    down(&world, &servers[1]);
    let rotation = world.start(&access.id).await;
    world.settle_for(20).await;
    up(&world, &servers[1]);
    world.settle_for(60).await;
    assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Failed);
    assert_eq!(world.view(&access.id).await.version, 1);
    assert_eq!(world.range.file(&servers[0], &access.account).keys.len(), 1);
}

#[tokio::test]
async fn a_host_that_is_left_behind_keeps_its_key_past_the_grace_and_catches_up() {
    let world = World::new().await;
    world.range.state.lock().unwrap().enforcing = true;
    world.leave_behind().await;
    let servers = [world.server(), world.server(), world.server()];
    let old = world.access(&servers).await;
    down(&world, &servers[1]);
    let rotation = world.start(&old.id).await;
    world.settle_for(20).await;
    let new = world.view(&old.id).await;
    let now = world.rotation(&rotation.id).await;
    assert_eq!((now.state(), new.version), (RotationState::Converging, 2));
    assert_eq!(now.outstanding_server_ids, [servers[1].clone()]);
    assert_eq!(new.activity(), AccessActivity::Converging);
    assert_eq!(stand(&world, &servers[0], &[&old, &new]), [true, true]);

    world.pass(DAY);
    world.settle_for(2).await;
    assert_eq!(stand(&world, &servers[0], &[&old, &new]), [false, true], "the grace ended where it could");
    let left = world.range.file(&servers[1], &old.account);
    assert_eq!(left.keys.get(&blob(&old)), Some(&None), "no end, and it stands");

    up(&world, &servers[1]);
    world.settle_for(310).await;
    let ended = world.rotation(&rotation.id).await;
    assert_eq!(ended.state(), RotationState::Succeeded);
    assert!(ended.outstanding_server_ids.is_empty() && ended.grace_ended_at.is_some());
    for server in &servers {
        assert_eq!(stand(&world, server, &[&old, &new]), [false, true]);
    }
    let lines = &world.view(&old.id).await.hosts[1].lines;
    assert_eq!(lines[1].state(), HostLineState::RemovedProven);
}

#[tokio::test]
async fn a_host_that_is_left_behind_holds_up_no_further_rotation_and_no_further_host() {
    for within_the_grace in [false, true] {
        let world = World::new().await;
        world.range.state.lock().unwrap().enforcing = true;
        world.leave_behind().await;
        let servers = [world.server(), world.server(), world.server()];
        let first = world.access(&servers[..2]).await;
        down(&world, &servers[1]);
        let one = world.start(&first.id).await;
        world.settle_for(20).await;
        let second = world.view(&first.id).await;
        if !within_the_grace {
            world.pass(DAY);
            world.settle_for(2).await;
        }
        let asked =
            proto::RotateSshKeyRequest { drop_grace_key: within_the_grace, ..world.rotate(&first.id) };
        let two = answer(world.accesses(&world.owner).rotate_ssh_key(asked).await).unwrap().rotation.unwrap();
        world.settle_for(20).await;
        let third = world.view(&first.id).await;
        assert_eq!((third.version, third.activity()), (3, AccessActivity::Converging));
        let keys = [&first, &second, &third];
        assert_eq!(stand(&world, &servers[1], &keys), [true, false, false], "its holder has the old one");
        world.pass(DAY);
        world.settle_for(2).await;
        assert_eq!(stand(&world, &servers[0], &keys), [false, false, true]);

        let added = world.add_host(&first.id, &servers[2]).await;
        world.settle_for(2).await;
        assert_eq!(world.rotation(&added.id).await.state(), RotationState::Succeeded);
        assert_eq!(stand(&world, &servers[2], &keys), [false, false, true], "no key that has ended");

        up(&world, &servers[1]);
        for _ in 0..620 {
            world.settle_for(1).await;
            assert!(stand(&world, &servers[1], &keys).contains(&true), "never without a key");
        }
        for rotation in [&one, &two] {
            let ended = world.rotation(&rotation.id).await;
            assert_eq!(ended.state(), RotationState::Succeeded);
            assert!(ended.outstanding_server_ids.is_empty() && ended.grace_ended_at.is_some());
        }
        for server in &servers {
            assert_eq!(stand(&world, server, &keys), [false, false, true]);
        }
        assert_eq!(world.view(&first.id).await.activity(), AccessActivity::None);
    }
}

#[tokio::test]
async fn a_host_that_is_left_behind_holds_up_no_automatic_rotation() {
    let world = World::new().await;
    world.leave_behind().await;
    let servers = [world.server(), world.server()];
    let access = world.access(&servers).await;
    down(&world, &servers[1]);
    world.start(&access.id).await;
    world.settle_for(20).await;
    for version in 3..5 {
        world.pass(90 * DAY);
        world.scheduler.round().await.unwrap();
        world.settle_for(20).await;
        assert_eq!(world.view(&access.id).await.version, version);
    }
}

#[tokio::test]
async fn a_host_that_catches_up_half_never_loses_the_old_key() {
    let world = World::new().await;
    world.range.state.lock().unwrap().enforcing = true;
    world.leave_behind().await;
    let servers = [world.server(), world.server()];
    let old = world.access(&servers).await;
    down(&world, &servers[1]);
    world.start(&old.id).await;
    world.settle_for(10).await;
    let new = world.view(&old.id).await;
    up(&world, &servers[1]);
    // It takes the new line, but nobody can prove it.
    world.range.fail(&format!("login {}", servers[1]), FOR_LONG, Reason::HostUnreachable);
    world.settle_for(30).await;
    assert_eq!(stand(&world, &servers[1], &[&old, &new]), [true, true]);
    world.pass(DAY);
    world.settle_for(2).await;
    let file = world.range.file(&servers[1], &old.account);
    assert_eq!(file.keys.get(&blob(&old)), Some(&None), "the host was told no end");
}

#[tokio::test]
async fn a_revocation_takes_the_old_key_off_a_host_that_was_left_behind() {
    let world = World::new().await;
    world.leave_behind().await;
    let servers = [world.server(), world.server()];
    let old = world.access(&servers).await;
    down(&world, &servers[1]);
    world.start(&old.id).await;
    world.settle_for(10).await;
    world.pass(DAY);
    world.settle_for(2).await;
    assert_eq!(world.range.file(&servers[1], &old.account).keys.len(), 1);
    let asked = world.accesses(&world.owner).revoke_ssh_access(world.revoke(&old.id)).await;
    let revocation = answer(asked).unwrap().revocation.unwrap();
    up(&world, &servers[1]);
    world.settle_for(10).await;
    assert!(world.range.file(&servers[1], &old.account).keys.is_empty());
    assert_eq!(world.revocation(&revocation.id).await.state(), proto::RevocationState::Succeeded);
}

#[tokio::test]
async fn a_host_that_never_comes_back_can_be_taken_off() {
    let world = World::new().await;
    world.leave_behind().await;
    let servers = [world.server(), world.server()];
    let old = world.access(&servers).await;
    down(&world, &servers[1]);
    let rotation = world.start(&old.id).await;
    world.settle_for(10).await;
    assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Converging);
    let removal = world.remove_host(&old.id, &servers[1]).await;
    assert_eq!(
        (removal.kind(), removal.state()),
        (proto::RotationKind::RemoveHost, RotationState::Converging)
    );
    world.settle_for(3).await;
    assert_eq!(world.rotation(&rotation.id).await.state(), RotationState::Succeeded);
    let asked = proto::RotateSshKeyRequest { drop_grace_key: true, ..world.rotate(&old.id) };
    answer(world.accesses(&world.owner).rotate_ssh_key(asked).await).unwrap();
    world.settle_for(3).await;
    assert_eq!(world.view(&old.id).await.version, 3, "it holds up no rotation");
    assert!(holds(&world, &old, &servers[1]), "what may still have a key is held");
    up(&world, &servers[1]);
    world.settle_for(310).await;
    assert_eq!(world.rotation(&removal.id).await.state(), RotationState::Succeeded);
    assert!(world.range.file(&servers[1], &old.account).keys.is_empty());
    assert!(!holds(&world, &old, &servers[1]));
}

#[tokio::test]
async fn a_further_host_gets_every_key_in_use_and_the_old_one_ends_there_too() {
    let world = World::new().await;
    world.range.state.lock().unwrap().enforcing = true;
    let servers = [world.server(), world.server()];
    let old = world.access(&servers[..1]).await;
    let rotation = world.start(&old.id).await;
    world.settle().await;
    let added = world.add_host(&old.id, &servers[1]).await;
    assert_eq!((added.kind(), added.server_id.as_str()), (proto::RotationKind::AddHost, servers[1].as_str()));
    world.settle().await;
    let new = world.view(&old.id).await;
    let done = world.rotation(&added.id).await;
    assert_eq!((done.state(), done.old_version, done.new_version), (RotationState::Succeeded, 2, 2));
    assert_eq!((new.version, new.activity()), (2, AccessActivity::Grace));
    assert!(holds(&world, &new, &servers[1]));
    let file = world.range.file(&servers[1], &old.account);
    assert!(file.keys[&blob(&old)].is_some(), "with its end");
    assert_eq!(file.keys[&blob(&new)], None);
    assert_eq!(new.hosts[1].lines[0].receipt.as_ref().unwrap().method, "LOGIN");
    assert_eq!(new.hosts[1].lines[1].receipt.as_ref().unwrap().method, "OFFER");
    world.pass(DAY);
    world.settle().await;
    for server in &servers {
        assert_eq!(stand(&world, server, &[&old, &new]), [false, true]);
    }
    assert!(world.rotation(&rotation.id).await.grace_ended_at.is_some());
    assert_eq!(world.view(&old.id).await.hosts[1].lines[1].state(), HostLineState::RemovedProven);
}

#[tokio::test]
async fn a_further_host_that_fails_is_left_as_it_was_and_may_be_asked_for_again() {
    for (action, why) in [
        ("account", Reason::AccountNotFound),
        ("converge", Reason::HostFileReadOnly),
        ("login", Reason::HostKeyMismatch),
    ] {
        let world = World::new().await;
        let servers = [world.server(), world.server()];
        let access = world.access(&servers[..1]).await;
        world.range.fail(&format!("{action} {}", servers[1]), 1, why);
        let added = world.add_host(&access.id, &servers[1]).await;
        world.settle_for(3).await;
        let ended = world.rotation(&added.id).await;
        assert_eq!((ended.state(), ended.reason.as_str()), (RotationState::Failed, why.as_str()));
        assert!(world.range.file(&servers[1], &access.account).keys.is_empty(), "{action}");
        assert!(!holds(&world, &access, &servers[1]), "{action}");
        let after = world.view(&access.id).await;
        assert_eq!((after.version, after.hosts.len(), after.activity()), (1, 1, AccessActivity::None));
        let key = after.fingerprint.clone();
        world.add_host(&access.id, &servers[1]).await;
        world.settle().await;
        let after = world.view(&access.id).await;
        assert_eq!((after.hosts.len(), after.fingerprint == key), (2, true), "{action}");
        assert_eq!(stand(&world, &servers[1], &[&after]), [true]);
    }
}

#[tokio::test]
async fn every_step_of_a_coming_and_a_going_may_be_repeated() {
    let world = World::new().await;
    let servers = [world.server(), world.server()];
    let old = world.access(&servers[..1]).await;
    world.start(&old.id).await;
    world.settle().await;
    let added = world.add_host(&old.id, &servers[1]).await;
    world.drive_all_twice(&added.id).await;
    assert_eq!(world.rotation(&added.id).await.state(), RotationState::Succeeded);
    let new = world.view(&old.id).await;
    assert_eq!(stand(&world, &servers[1], &[&old, &new]), [true, true]);
    let removed = world.remove_host(&old.id, &servers[0]).await;
    for action in ["converge", "offer"] {
        world.range.fail(&format!("{action} {}", servers[0]), 1, Reason::HostUnreachable);
    }
    world.drive_all_twice(&removed.id).await;
    assert_eq!(world.rotation(&removed.id).await.state(), RotationState::Succeeded);
    assert!(world.range.file(&servers[0], &old.account).keys.is_empty());
    assert!(!holds(&world, &old, &servers[0]));
    assert_eq!(world.view(&old.id).await.hosts.len(), 1);
    world.pass(DAY);
    world.settle().await;
    assert_eq!(stand(&world, &servers[1], &[&old, &new]), [false, true]);
}

#[tokio::test]
async fn a_host_that_left_may_come_again() {
    let world = World::new().await;
    let servers = [world.server(), world.server()];
    let access = world.access(&servers).await;
    world.remove_host(&access.id, &servers[1]).await;
    world.settle().await;
    assert!(world.range.file(&servers[1], &access.account).keys.is_empty());
    let edits = world.range.file(&servers[1], &access.account).revision;
    world.add_host(&access.id, &servers[1]).await;
    world.settle().await;
    assert_eq!(stand(&world, &servers[1], &[&access]), [true]);
    assert!(world.range.file(&servers[1], &access.account).revision > edits, "what is late stays too late");
}

#[tokio::test]
async fn the_last_host_an_unknown_one_and_a_second_click_are_refused() {
    let world = World::new().await;
    let servers = [world.server(), world.server()];
    let access = world.access(&servers).await;
    let operators = operator();
    let mut accesses = world.accesses(&operators);
    let stranger = world.server();
    let asked = accesses.remove_access_host(remove(&world, &access.id, &stranger)).await;
    assert_eq!(reason(asked), Reason::ServerNotFound);
    let asked = accesses.add_access_host(add(&world, &access.id, &servers[0])).await;
    assert_eq!(reason(asked), Reason::AlreadyExists);
    down(&world, &servers[0]);
    world.remove_host(&access.id, &servers[0]).await;
    let again = accesses.remove_access_host(remove(&world, &access.id, &servers[0])).await;
    assert_eq!(reason(again), Reason::RotationInProgress);
    let view = world.view(&access.id).await;
    assert_eq!(view.hosts[0].ssh_command, "", "it leaves");
    assert!(!view.ssh_command.is_empty() && view.ssh_command == view.hosts[1].ssh_command);
    let last = accesses.remove_access_host(remove(&world, &access.id, &servers[1])).await;
    assert_eq!(reason(last), Reason::LastHost);
    let unsaid =
        proto::RemoveAccessHostRequest { confirmation: None, ..remove(&world, &access.id, &servers[1]) };
    assert_eq!(reason(accesses.remove_access_host(unsaid).await), Reason::ConfirmationRequired);
    let owner = world.accesses(&world.owner).add_access_host(add(&world, &access.id, &stranger)).await;
    assert_eq!(reason(owner), Reason::PermissionDenied);
    world.start(&access.id).await;
    let busy = accesses.add_access_host(add(&world, &access.id, &stranger)).await;
    assert_eq!(reason(busy), Reason::RotationInProgress);
}

#[tokio::test]
async fn an_idempotency_key_adds_and_removes_once() {
    let world = World::new().await;
    let servers = [world.server(), world.server()];
    let access = world.access(&servers[..1]).await;
    let operators = operator();
    let mut accesses = world.accesses(&operators);
    let asked = proto::AddAccessHostRequest {
        idempotency_key: "once".to_owned(),
        ..add(&world, &access.id, &servers[1])
    };
    let first = answer(accesses.add_access_host(asked.clone()).await).unwrap().rotation.unwrap();
    world.settle().await;
    let again = answer(accesses.add_access_host(asked).await).unwrap().rotation.unwrap();
    assert_eq!(first.id, again.id);
    let asked = proto::RemoveAccessHostRequest {
        idempotency_key: "off".to_owned(),
        ..remove(&world, &access.id, &servers[1])
    };
    let first = answer(accesses.remove_access_host(asked.clone()).await).unwrap().rotation.unwrap();
    world.settle().await;
    let again = answer(accesses.remove_access_host(asked).await).unwrap().rotation.unwrap();
    assert_eq!((first.id, again.state()), (again.id.clone(), RotationState::Succeeded));
}

#[tokio::test]
async fn a_revocation_wins_over_a_host_that_comes() {
    for steps in 0..5 {
        let world = World::new().await;
        let servers = [world.server(), world.server()];
        let access = world.access(&servers[..1]).await;
        let added = world.add_host(&access.id, &servers[1]).await;
        let id: RotationId = added.id.clone().try_into().unwrap();
        for _ in 0..steps {
            let _more = world.worker.drive.once(&id, None).await.unwrap();
        }
        answer(world.accesses(&world.owner).revoke_ssh_access(world.revoke(&access.id)).await).unwrap();
        world.settle_for(3).await;
        for server in &servers {
            assert!(world.range.file(server, &access.account).keys.is_empty(), "after {steps} steps");
        }
    }
}

#[tokio::test]
async fn an_extended_grace_reaches_the_hosts_before_the_old_end() {
    let world = World::new().await;
    world.range.state.lock().unwrap().enforcing = true;
    let server = world.server();
    let old = world.access(std::slice::from_ref(&server)).await;
    let rotation = world.start(&old.id).await;
    world.settle().await;
    let end = world.range.file(&server, &old.account).keys[&blob(&old)].unwrap();
    let id: RotationId = rotation.id.clone().try_into().unwrap();
    let extend = async |to| {
        let mut tx = world.db.begin_internal("test").await.unwrap();
        let extended = store::rotation::extend_grace(&mut tx, &id, to).await.unwrap();
        tx.commit().await.unwrap();
        extended
    };
    assert!(extend(end.plus(DAY)).await);
    assert!(!extend(end).await, "never shortened");
    world.settle().await;
    assert_eq!(world.range.file(&server, &old.account).keys[&blob(&old)], Some(end.plus(DAY)));
    assert!(world.rotation(&rotation.id).await.grace_extended_at.is_some());
    world.pass(DAY);
    world.settle().await;
    assert!(world.range.file(&server, &old.account).keys.contains_key(&blob(&old)));
    world.pass(DAY);
    world.settle().await;
    assert!(!world.range.file(&server, &old.account).keys.contains_key(&blob(&old)));
    assert!(!extend(end.plus(DAY * 5)).await, "what has ended stays ended");
}

#[tokio::test]
async fn what_the_service_begins_by_itself_meets_the_same_gates() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let id = access.id.clone().try_into().unwrap();
    let campaign = Origin::Campaign(CampaignId::random().unwrap());
    let first = world.rotate_by_itself(&id, &campaign).await.unwrap();
    let again = world.rotate_by_itself(&id, &campaign).await.unwrap();
    assert_eq!(first, again, "a campaign starts an access once");
    world.settle().await;
    let done = world.rotation(first.as_str()).await;
    assert!(
        done.automatic && done.campaign_id == campaign.work() && done.state() == RotationState::Succeeded
    );
    let in_grace = world.rotate_by_itself(&id, &Origin::Schedule).await.unwrap_err();
    assert_eq!(in_grace.reason, Reason::GraceInProgress);
    world.pass(DAY);
    world.settle().await;
    answer(world.accesses(&world.owner).revoke_ssh_access(world.revoke(&access.id)).await).unwrap();
    let revoked = world.rotate_by_itself(&id, &Origin::Schedule).await.unwrap_err();
    assert_eq!(revoked.reason, Reason::AccessRevoked);
    let intents = world.log.intents.lock().unwrap().clone();
    assert!(intents.iter().any(|intent| intent.action == "access.rotate" && intent.actor == "key-lifecycle"));
}

#[tokio::test]
async fn a_revocation_that_overtakes_the_removal_of_a_host_finishes_it() {
    let world = World::new().await;
    let servers = [world.server(), world.server()];
    let access = world.access(&servers).await;
    down(&world, &servers[1]);
    world.remove_host(&access.id, &servers[1]).await;
    world.settle_for(2).await;
    answer(world.accesses(&world.owner).revoke_ssh_access(world.revoke(&access.id)).await).unwrap();
    up(&world, &servers[1]);
    world.settle_for(5).await;
    let after = world.view(&access.id).await;
    assert_eq!(after.hosts.len(), 1);
    assert!(holds(&world, &access, &servers[0]) && !holds(&world, &access, &servers[1]));
    assert!(after.deprovisioned_at.is_none());
}
