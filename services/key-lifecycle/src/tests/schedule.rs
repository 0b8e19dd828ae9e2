//! What happens to keys because of their age, with a clock that the test moves.

use super::policies::days;
use super::world::{World, answer, operator};
use crate::model::{Evidence, KeyUse, Settings};
use crate::schedule::window::{Lot, openings, planned, zone};
use crate::store;
use jiff::tz::TimeZone;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, ServerId, VersionId};
use keywright_proto::lifecycle as proto;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl World {
    /// One round of the schedule, and what it begins.
    async fn round(&self) {
        self.scheduler.round().await.unwrap();
        self.settle().await;
    }

    async fn now(&self) -> Instant {
        self.db.now().await.unwrap()
    }

    async fn move_to(&self, when: Instant) {
        let span = when.micros() - self.now().await.micros();
        self.pass(Duration::from_micros(u64::try_from(span).unwrap()));
    }

    /// When the key's maximum age ends, and when its rotation is planned without a window.
    async fn times(&self, access: &str) -> (Instant, Instant) {
        let end = self.view(access).await.next_rotation_at.unwrap();
        let end = Instant::from_micros(end.seconds * 1_000_000 + i64::from(end.nanos / 1000));
        (end, planned(end, None, &TimeZone::UTC, Lot::of(access)))
    }

    async fn was_told(&self, event: &str, subject: &str, occasion: &str) -> bool {
        let mut reader = store::reader(&self.db).await.unwrap();
        store::notice::was_told(&mut reader, &format!("{event}/{subject}/{occasion}")).await.unwrap()
    }

    async fn version_id(&self, access: &str, number: u32) -> String {
        let mut reader = store::reader(&self.db).await.unwrap();
        let versions = store::version::of(&mut reader, &AccessId::parse(access).unwrap()).await.unwrap();
        versions.into_iter().find(|version| version.number == number).unwrap().id.to_string()
    }

    async fn rotations_of(&self, access: &str) -> Vec<proto::Rotation> {
        self.view(access).await.recent_rotations
    }

    async fn freeze(&self, frozen: bool) {
        let asked = proto::SetFreezeRequest { frozen, ..Default::default() };
        answer(self.freezes(&operator()).set_freeze(asked).await).unwrap();
    }
}

#[tokio::test]
async fn a_key_is_told_of_a_week_before_it_is_rotated_and_never_gets_too_old() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    let first = world.version_id(&access, 1).await;
    let (end, planned) = world.times(&access).await;
    assert!(end.minus(DAY * 3) <= planned && planned < end);
    world.move_to(planned.minus(DAY * 7 + HOUR)).await;
    world.round().await;
    assert!(!world.was_told("rotation.due", &access, &first).await);
    world.pass(HOUR);
    world.round().await;
    assert!(world.was_told("rotation.due", &access, &first).await);
    world.move_to(planned.minus(HOUR)).await;
    world.round().await;
    assert_eq!(world.view(&access).await.version, 1);
    world.pass(HOUR);
    world.round().await;
    let view = world.view(&access).await;
    assert_eq!((view.version, view.due()), (2, proto::Due::NotDue));
    let rotation = &view.recent_rotations[0];
    assert!(rotation.automatic && rotation.state() == proto::RotationState::Succeeded);
    world.round().await;
    assert_eq!(world.rotations_of(&access).await.len(), 2, "one provisioning, one rotation");
    assert!(!world.was_told("key.expired", &access, &first).await);
}

#[tokio::test]
async fn the_grace_of_a_key_that_nobody_fetched_is_extended_once() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    let (_, planned) = world.times(&access).await;
    world.move_to(planned).await;
    world.round().await;
    let rotation = world.rotations_of(&access).await[0].clone();
    let at = |view: &proto::Rotation| Instant::from_secs(view.grace_ends_at.unwrap().seconds);
    let promoted = Instant::from_secs(rotation.promoted_at.unwrap().seconds);
    world.move_to(at(&rotation).minus(HOUR * 4 + HOUR)).await;
    world.round().await;
    assert!(world.rotation(&rotation.id).await.grace_extended_at.is_none());
    world.pass(HOUR);
    world.round().await;
    let extended = world.rotation(&rotation.id).await;
    assert!(extended.grace_extended_at.is_some());
    assert!(at(&extended) >= promoted.plus(DAY * 7) && at(&extended) <= promoted.plus(DAY * 7 + HOUR));
    let occasion = at(&extended).rfc3339();
    assert!(world.was_told("grace.extended", &rotation.id, &occasion).await);
    assert!(world.log.actions().iter().any(|action| action == "rotation.extend_grace"));
    world.move_to(at(&extended).minus(HOUR * 3)).await;
    world.round().await;
    assert_eq!(at(&world.rotation(&rotation.id).await), at(&extended), "once");
    assert!(world.was_told("grace.ending", &rotation.id, &occasion).await);
    world.pass(HOUR * 4);
    world.round().await;
    assert!(world.rotation(&rotation.id).await.grace_ended_at.is_some());
}

#[tokio::test]
async fn a_key_that_was_fetched_in_time_and_one_that_a_person_rotated_keep_their_grace() {
    let world = World::new().await;
    let (fetched, asked) =
        (world.access(&[world.server()]).await.id, world.access(&[world.server()]).await.id);
    let (end, _) = world.times(&fetched).await;
    world
        .access_policy(&asked, proto::Policy { automatic_rotation: Some(false), ..Default::default() })
        .await;
    world.move_to(end).await;
    world.round().await;
    answer(world.accesses(&world.owner).download_ssh_key(world.download(&fetched)).await).unwrap();
    world.start(&asked).await;
    world.settle().await;
    world.pass(HOUR * 21);
    world.round().await;
    for access in [&fetched, &asked] {
        let rotation = world.rotations_of(access).await[0].clone();
        assert!(rotation.grace_extended_at.is_none());
        let occasion = Instant::from_secs(rotation.grace_ends_at.unwrap().seconds).rfc3339();
        assert!(world.was_told("grace.ending", &rotation.id, &occasion).await);
    }
}

#[tokio::test]
async fn the_notice_before_the_end_waits_for_the_hosts_logs_and_not_for_ever() {
    let world = World::new().await;
    let server = world.server();
    let (read, unread) =
        (world.access(std::slice::from_ref(&server)).await.id, world.access(&[world.server()]).await.id);
    let mut ends = Vec::new();
    for access in [&read, &unread] {
        let rotation = world.start(access).await.id;
        world.settle().await;
        let view = world.rotation(&rotation).await;
        ends.push((rotation, Instant::from_secs(view.grace_ends_at.unwrap().seconds)));
    }
    let [(first, end), (second, last)] = [ends[0].clone(), ends[1].clone()];
    world.move_to(last.minus(HOUR * 4)).await;
    world.round().await;
    let told = async |rotation: &str, end: Instant| {
        let mut reader = store::reader(&world.db).await.unwrap();
        let dedup = format!("grace.ending/{rotation}/{}", end.rfc3339());
        store::notice::find_untold(&mut reader, &dedup).await.unwrap().map(|notice| notice.details)
    };
    assert_eq!((told(&first, end).await, told(&second, last).await), (None, None));
    let used = KeyUse {
        server: ServerId::parse(&server).unwrap(),
        version: VersionId::parse(&world.version_id(&read, 1).await).unwrap(),
        access: AccessId::parse(&read).unwrap(),
        evidence: Evidence::Used,
        last_used_at: Some(world.now().await.minus(HOUR)),
        source_address: "198.51.100.4".to_owned(),
        read_at: world.now().await,
        log_since: None,
    };
    let mut tx = world.db.begin_internal("what a log said").await.unwrap();
    store::key_use::save(&mut tx, &used).await.unwrap();
    tx.commit().await.unwrap();
    world.round().await;
    let said = told(&first, end).await.unwrap();
    assert_eq!((said["oldKeyUse"].as_str(), said["oldKeyLastUsedFrom"].as_str()), ("USED", "198.51.100.4"));
    assert_eq!((&said["oldKeyLastUsedOn"], said.get("oldKeyUnknownHosts")), (&server, None));
    assert_eq!(told(&second, last).await, None);
    world.pass(Duration::from_secs(600));
    world.round().await;
    let said = told(&second, last).await.unwrap();
    assert_eq!((said["oldKeyUse"].as_str(), said["oldKeyUnknownHosts"].as_str()), ("UNKNOWN", "1"));
}

#[tokio::test]
async fn what_is_not_rotated_by_itself_becomes_due_and_is_told_of() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    world
        .access_policy(&access, proto::Policy { client_made_required: Some(true), ..Default::default() })
        .await;
    let first = world.version_id(&access, 1).await;
    let (end, _) = world.times(&access).await;
    world.move_to(end.minus(DAY * 7)).await;
    world.round().await;
    assert!(world.was_told("rotation.due", &access, &first).await);
    assert!(!world.was_told("key.expired", &access, &first).await);
    world.move_to(end).await;
    world.round().await;
    let view = world.view(&access).await;
    assert_eq!((view.version, view.status()), (1, proto::AccessStatus::Expired));
    assert!(world.was_told("key.expired", &access, &first).await);
}

#[tokio::test]
async fn a_freeze_holds_and_what_was_held_begins_afterwards() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    let (end, _) = world.times(&access).await;
    world.freeze(true).await;
    world.move_to(end).await;
    for _ in 0..3 {
        world.round().await;
    }
    assert_eq!(world.view(&access).await.version, 1);
    // What people ask for goes on.
    let other = world.access(&[world.server()]).await.id;
    world.start(&other).await;
    world.settle().await;
    assert_eq!(world.view(&other).await.version, 2);
    world.freeze(false).await;
    world.round().await;
    assert_eq!(world.view(&access).await.version, 2);
}

#[tokio::test]
async fn after_a_downtime_not_all_begin_at_once_and_two_replicas_begin_each_once() {
    let world = World::new().await;
    let mut all = Vec::new();
    for _ in 0..8 {
        all.push(world.access(&[world.server()]).await.id);
    }
    let (end, _) = world.times(&all[7]).await;
    world.move_to(end.plus(DAY * 30)).await;
    let begun = async || {
        let mut count = 0;
        for access in &all {
            count += world.rotations_of(access).await.iter().filter(|rotation| rotation.automatic).count();
        }
        count
    };
    world.scheduler.round().await.unwrap();
    assert_eq!(begun().await, 5, "of one tenant");
    world.scheduler.round().await.unwrap();
    assert_eq!(begun().await, 5, "while these run");
    world.settle().await;
    let other = world.scheduler.clone();
    let (one, two) = tokio::join!(world.scheduler.round(), other.round());
    one.unwrap();
    two.unwrap();
    world.settle().await;
    assert_eq!(begun().await, 8, "each once");
}

#[tokio::test]
async fn a_host_carries_few_rotations_at_a_time() {
    let world = World::new().await;
    let server = world.server();
    let mut last = String::new();
    for account in ["red", "green", "blue"] {
        let asked = proto::ProvisionSshAccessRequest {
            account: account.to_owned(),
            ..world.provisioning(std::slice::from_ref(&server))
        };
        let begun = answer(world.accesses(&operator()).provision_ssh_access(asked).await).unwrap();
        last = begun.access.unwrap().id;
        world.settle().await;
    }
    let (end, _) = world.times(&last).await;
    world.move_to(end).await;
    world.scheduler.round().await.unwrap();
    let mut reader = store::reader(&world.db).await.unwrap();
    assert_eq!(store::schedule::running(&mut reader).await.unwrap().len(), 2);
}

#[tokio::test]
async fn two_replicas_together_begin_no_more_than_one_may() {
    let world = World::new().await;
    let mut last = String::new();
    for _ in 0..12 {
        last = world.access(&[world.server()]).await.id;
    }
    let shared = world.server();
    for account in ["red", "green", "blue", "grey"] {
        let asked = proto::ProvisionSshAccessRequest {
            account: account.to_owned(),
            ..world.provisioning(std::slice::from_ref(&shared))
        };
        last =
            answer(world.accesses(&operator()).provision_ssh_access(asked).await).unwrap().access.unwrap().id;
        world.settle().await;
    }
    let (end, _) = world.times(&last).await;
    world.move_to(end.plus(DAY * 30)).await;
    for _ in 0..10 {
        let other = world.scheduler.clone();
        // Without the lease that keeps them apart.
        let (one, two) = tokio::join!(world.scheduler.round(), other.round());
        one.and(two).unwrap();
        let mut reader = store::reader(&world.db).await.unwrap();
        let running = store::schedule::running(&mut reader).await.unwrap();
        assert!(running.len() <= 5, "{} of one tenant", running.len());
        let mut here = 0;
        for (_, access) in &running {
            let hosts = store::access::hosts(&mut reader, access).await.unwrap();
            here += hosts.iter().filter(|host| host.server.as_str() == shared).count();
        }
        assert!(here <= 2, "{here} on one host");
        drop(reader);
        world.settle().await;
    }
    assert_eq!(world.view(&last).await.version, 2, "everybody's turn comes");
}

#[tokio::test]
async fn what_fails_is_tried_again_with_growing_pauses() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await.id;
    let (end, _) = world.times(&access).await;
    world.vault.state.lock().unwrap().servers.get_mut(&server).unwrap().host_keys.clear();
    world.move_to(end).await;
    let first = world.version_id(&access, 1).await;
    for (number, pause) in [(1u32, HOUR), (2, HOUR * 2), (3, HOUR * 4)] {
        world.round().await;
        let occasion = format!("{first}/{number}");
        assert!(world.was_told("rotation.failed", &access, &occasion).await, "{number}");
        world.pass(pause - Duration::from_secs(1));
        world.round().await;
        assert!(!world.was_told("rotation.failed", &access, &format!("{first}/{}", number + 1)).await);
        world.pass(Duration::from_secs(1));
    }
    let host_key = keywright_domain::key::PrivateKey::generate(keywright_domain::key::GenerateSpec::Ed25519)
        .unwrap()
        .public()
        .openssh();
    let host_key = keywright_proto::credential::HostKey { public_key: host_key, ..Default::default() };
    world.vault.state.lock().unwrap().servers.get_mut(&server).unwrap().host_keys.push(host_key);
    world.round().await;
    assert_eq!(world.view(&access).await.version, 2);
}

#[tokio::test]
async fn a_window_in_the_tenants_zone_is_kept_and_a_missed_one_is_caught_up() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    let tenant = keywright_proto::credential::Tenant {
        id: world.tenant.to_string(),
        time_zone: "Europe/Berlin".to_owned(),
        state: keywright_proto::credential::TenantState::Active.into(),
        ..Default::default()
    };
    world.vault.state.lock().unwrap().tenants.push(tenant);
    let window = proto::RotationWindow {
        weekdays: vec!["sun".to_owned()],
        start: "03:00".to_owned(),
        length: Some(prost_types::Duration { seconds: 7200, nanos: 0 }),
    };
    let said = proto::Policy { rotation_window: Some(window), maximum_age: days(60), ..Default::default() };
    world.access_policy(&access, said).await;
    let window = {
        let mut reader = store::reader(&world.db).await.unwrap();
        let id = AccessId::parse(&access).unwrap();
        let settings: Settings =
            store::policy::effective(&mut reader, &world.tenant, Some(&id)).await.unwrap();
        settings.rotation_window.unwrap()
    };
    let (end, _) = world.times(&access).await;
    let berlin = zone("Europe/Berlin");
    let own = openings(&window, &berlin, end.minus(DAY * 7), end)[0];
    // Nothing ran while the window was open.
    world.move_to(own.until.plus(HOUR)).await;
    world.round().await;
    assert_eq!(world.view(&access).await.version, 1);
    let next = openings(&window, &berlin, own.until, own.until.plus(DAY * 8))[0];
    world.move_to(next.from.minus(Duration::from_secs(1))).await;
    world.round().await;
    assert_eq!(world.view(&access).await.version, 1);
    world.move_to(next.from.plus(HOUR)).await;
    world.round().await;
    assert_eq!(world.view(&access).await.version, 2);
}
