//! A management key replaces another: after every failure and repetition the server keeps one that logs in, and the
//! former one stays as long as a restore may need it.

use super::policies::days;
use super::world::{World, answer, operator, person, reason};
use crate::model::{Management, ManagementKind, ManagementState, ManagementStep};
use crate::refusals::SPACING;
use crate::store;
use keywright_domain::caller::Role;
use keywright_domain::ids::{CredentialId, ManagementId, ServerId, VersionId};
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_proto::credential as vault;
use keywright_proto::credential::custody_service_server::CustodyService;
use keywright_proto::lifecycle as proto;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A server whose management key is known, in use and on the host.
pub(super) async fn managed(world: &World) -> String {
    let server = world.server();
    let keys = (CredentialId::random().unwrap(), VersionId::random().unwrap());
    let (id, now) = (ManagementId::random().unwrap(), world.db.now().await.unwrap());
    let parsed = ServerId::parse(&server).unwrap();
    let kind = ManagementKind::Bootstrap;
    let it = Management::new(id, parsed.clone(), keys, "root".to_owned(), kind, now);
    world.vault.state.lock().unwrap().credentials.insert(it.credential.to_string());
    let generate = vault::GenerateVersionRequest {
        credential_id: it.credential.to_string(),
        version_id: it.version.to_string(),
        algorithm: "ssh-ed25519".to_owned(),
    };
    let made = world.vault.generate_version(tonic::Request::new(generate)).await.unwrap().into_inner();
    let key = PublicKey::parse_openssh(&made.version.unwrap().public_key).unwrap();
    let mut tx = world.db.begin_internal("a test's installation").await.unwrap();
    store::management::insert(&mut tx, &it, now).await.unwrap();
    store::management::generated(&mut tx, &it.id, &key).await.unwrap();
    store::management::counts(&mut tx, &it.id, &parsed, now).await.unwrap();
    tx.commit().await.unwrap();
    let mut state = world.vault.state.lock().unwrap();
    let found = state.servers.get_mut(&server).unwrap();
    found.management_key_id = it.credential.to_string();
    state.versions.get_mut(it.version.as_str()).unwrap().1.state = vault::VersionState::Active.into();
    drop(state);
    let mut range = world.range.state.lock().unwrap();
    range
        .files
        .entry((server.clone(), "root".to_owned()))
        .or_default()
        .keys
        .insert(key.blob().to_vec(), None);
    drop(range);
    world.pass(Duration::from_secs(1));
    server
}

fn asked(server: &str) -> proto::RotateManagementKeyRequest {
    let confirmation = Some(proto::ServerConfirmation { server_id: server.to_owned() });
    proto::RotateManagementKeyRequest { server_id: server.to_owned(), confirmation, ..Default::default() }
}

async fn rotate(world: &World, server: &str) -> Result<proto::ServerManagement, Reason> {
    let done = world.management(&operator()).rotate_management_key(asked(server)).await;
    answer(done).map(|done| done.management.unwrap()).map_err(|failure| failure.reason)
}

async fn view(world: &World, server: &str) -> proto::ServerManagement {
    let asked = proto::GetServerManagementRequest { server_id: server.to_owned() };
    answer(world.management(&operator()).get_server_management(asked).await).unwrap().management.unwrap()
}

async fn rows(world: &World, server: &str) -> Vec<Management> {
    let mut reader = store::reader(&world.db).await.unwrap();
    store::management::of(&mut reader, &ServerId::parse(server).unwrap()).await.unwrap()
}

fn on_host(world: &World, server: &str, key: &Management) -> bool {
    let blob = key.public_key.as_ref().unwrap().blob().to_vec();
    world.range.file(server, "root").keys.contains_key(&blob)
}

/// The server's key is on the host, is not destroyed, and is the only one in use.
async fn assert_one_way_in(world: &World, server: &str) -> Management {
    let named = world.vault.state.lock().unwrap().servers[server].management_key_id.clone();
    let rows = rows(world, server).await;
    let key = rows.iter().find(|key| key.credential.as_str() == named).unwrap().clone();
    assert!(on_host(world, server, &key), "the key in use is on the host");
    assert!(!world.vault.version(key.version.as_str()).material_destroyed);
    assert_eq!(key.state, ManagementState::Succeeded);
    key
}

async fn backup(world: &World) {
    world.pass(Duration::from_secs(1));
    crate::record_backup(&world.db, world.db.now().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn the_new_key_is_proven_before_it_counts_and_the_former_stays_until_a_backup() {
    let world = World::new().await;
    let server = managed(&world).await;
    let before = view(&world, &server).await;
    backup(&world).await;
    world.pass(DAY);
    let after = rotate(&world, &server).await.unwrap();
    assert_ne!(before.fingerprint, after.fingerprint);
    let receipt = after.receipt.unwrap();
    assert!(receipt.accepted && receipt.method == "LOGIN");
    let former = &after.predecessors[0];
    assert_eq!(former.fingerprint, before.fingerprint);
    assert!(former.removed_at.is_none() && former.stays_for.contains("backup"), "{former:?}");
    world.pass(DAY);
    world.settle().await;
    let [new, old] = rows(&world, &server).await.try_into().unwrap();
    assert!(on_host(&world, &server, &old), "the backup is older than the successor");
    assert!(!world.vault.version(old.version.as_str()).material_destroyed);
    backup(&world).await;
    assert_eq!(world.turns_ahead(&server).await, Duration::ZERO);
    world.settle().await;
    assert!(!on_host(&world, &server, &old) && on_host(&world, &server, &new));
    assert_eq!(world.turns_ahead(&server).await, SPACING, "the former key was offered in its turn");
    assert!(world.vault.version(old.version.as_str()).material_destroyed);
    let former = view(&world, &server).await.predecessors.remove(0);
    assert!(former.removed_at.is_some() && former.stays_for.is_empty(), "{former:?}");
    assert_one_way_in(&world, &server).await;
}

#[tokio::test]
async fn without_a_backup_the_former_key_goes_after_seven_days() {
    let world = World::new().await;
    let server = managed(&world).await;
    rotate(&world, &server).await.unwrap();
    let [_, old] = rows(&world, &server).await.try_into().unwrap();
    world.pass(7 * DAY - Duration::from_secs(1));
    world.settle().await;
    assert!(on_host(&world, &server, &old));
    world.pass(Duration::from_secs(2));
    world.settle().await;
    assert!(!on_host(&world, &server, &old));
    let old = rows(&world, &server).await.pop().unwrap();
    let refused = old.refused.unwrap();
    assert!(!refused.accepted && refused.method == "OFFER");
}

#[tokio::test]
async fn no_line_leaves_unless_the_key_in_use_has_just_logged_in() {
    let world = World::new().await;
    let server = managed(&world).await;
    rotate(&world, &server).await.unwrap();
    backup(&world).await;
    let [new, old] = rows(&world, &server).await.try_into().unwrap();
    let blob = new.public_key.as_ref().unwrap().blob().to_vec();
    let take = |present: bool| {
        let mut state = world.range.state.lock().unwrap();
        let file = state.files.get_mut(&(server.clone(), "root".to_owned())).unwrap();
        if present {
            file.keys.insert(blob.clone(), None).is_none()
        } else {
            file.keys.remove(&blob).is_some()
        }
    };
    // Somebody removed the key in use by hand.
    assert!(take(false));
    for _ in 0..3 {
        world.settle().await;
        world.pass(Duration::from_secs(3600));
        assert!(on_host(&world, &server, &old), "the last way in stays");
    }
    assert!(!world.vault.version(old.version.as_str()).material_destroyed);
    assert!(take(true));
    world.pass(Duration::from_secs(3600));
    world.settle().await;
    assert!(!on_host(&world, &server, &old));
}

#[tokio::test]
async fn what_fails_before_the_promotion_leaves_the_former_key_and_nothing_else() {
    for (action, reason) in [
        ("converge", Reason::HostUnreachable),
        ("converge", Reason::HostKeyMismatch),
        ("login", Reason::HostUnreachable),
        ("login", Reason::HostKeyMismatch),
    ] {
        let world = World::new().await;
        let server = managed(&world).await;
        let before = view(&world, &server).await.fingerprint;
        world.range.fail(action, 1, reason);
        assert_eq!(rotate(&world, &server).await.unwrap_err(), reason, "{action}");
        world.settle_for(3).await;
        assert_eq!(view(&world, &server).await.fingerprint, before);
        let [failed, old] = rows(&world, &server).await.try_into().unwrap();
        assert_eq!(failed.state, ManagementState::Failed);
        assert!(world.vault.version(failed.version.as_str()).material_destroyed);
        assert!(!on_host(&world, &server, &failed) && on_host(&world, &server, &old), "{action}");
        assert!(failed.removed_at.is_some() && failed.next_at.is_none());
        assert_one_way_in(&world, &server).await;
        rotate(&world, &server).await.unwrap();
        assert_one_way_in(&world, &server).await;
    }
}

#[tokio::test]
async fn a_sealed_store_refuses_at_once_and_a_host_that_stays_down_is_cleaned_up_when_it_is_back() {
    let world = World::new().await;
    let server = managed(&world).await;
    world.vault.seal(true);
    assert_eq!(rotate(&world, &server).await.unwrap_err(), Reason::SecretStoreSealed);
    world.vault.seal(false);
    world.settle_for(2).await;
    world.range.fail("login", 1000, Reason::HostUnreachable);
    assert_eq!(rotate(&world, &server).await.unwrap_err(), Reason::HostUnreachable);
    world.settle_for(20).await;
    let failed = rows(&world, &server).await.remove(0);
    assert!(
        world.vault.version(failed.version.as_str()).material_destroyed,
        "what stands there opens nothing"
    );
    assert!(failed.next_at.is_some() && failed.removed_at.is_none());
    world.range.fail("login", 0, Reason::HostUnreachable);
    world.pass(Duration::from_secs(3600));
    world.settle().await;
    assert!(!on_host(&world, &server, &failed));
    assert_one_way_in(&world, &server).await;
}

/// The process is gone after each recorded step, and before the outcome of what followed was recorded.
#[tokio::test]
async fn a_rotation_that_was_cut_off_goes_on_from_every_step() {
    for steps in 0..4 {
        for repeat in [false, true] {
            let world = World::new().await;
            let server = managed(&world).await;
            let keys = &world.worker.keys;
            let known = keys.store.server(&ServerId::parse(&server).unwrap()).await.unwrap();
            let id = keys.begin(&operator(), &known, "").await.unwrap();
            for _ in 0..steps {
                assert!(keys.once(&id).await.unwrap());
            }
            if repeat {
                rewind(&world, &id).await;
            }
            assert_one_way_in(&world, &server).await;
            world.settle().await;
            let new = assert_one_way_in(&world, &server).await;
            assert_eq!((new.id, new.step), (id, ManagementStep::Promote), "after {steps} steps");
            backup(&world).await;
            world.settle().await;
            let blobs = world.range.file(&server, "root").keys.len();
            assert_eq!(blobs, 1, "after {steps} steps, repeated: {repeat}");
        }
    }
}

/// As if the outcome of the last step had never been recorded.
async fn rewind(world: &World, id: &ManagementId) {
    let mut tx = world.db.begin_internal("a test's rewind").await.unwrap();
    let now = store::management::find(tx.conn(), id).await.unwrap().unwrap();
    if now.state != ManagementState::Running {
        return;
    }
    let before = match now.step {
        ManagementStep::Generate | ManagementStep::Install => ManagementStep::Generate,
        ManagementStep::Prove => ManagementStep::Install,
        ManagementStep::Promote => ManagementStep::Prove,
    };
    store::management::begin_step(&mut tx, id, now.step, before).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn from_the_promotion_on_only_forward() {
    let world = World::new().await;
    let server = managed(&world).await;
    for call in ["set_state", "manage"] {
        world.vault.state.lock().unwrap().failing.insert(call, 1);
        let keys = &world.worker.keys;
        let known = keys.store.server(&ServerId::parse(&server).unwrap()).await.unwrap();
        let id = keys.begin(&operator(), &known, "").await.unwrap();
        assert!(keys.run(&id).await.is_err(), "{call}");
        assert_one_way_in(&world, &server).await;
        world.settle_for(3).await;
        assert_eq!(assert_one_way_in(&world, &server).await.id, id);
        let version = world.vault.version(rows(&world, &server).await[0].version.as_str());
        assert_eq!(version.state(), vault::VersionState::Active);
    }
}

#[tokio::test]
async fn two_replicas_make_one_key_and_a_second_click_is_answered() {
    let world = World::new().await;
    let server = managed(&world).await;
    let keys = &world.worker.keys;
    let known = keys.store.server(&ServerId::parse(&server).unwrap()).await.unwrap();
    let first = keys.begin(&operator(), &known, "").await.unwrap();
    assert_eq!(keys.begin(&operator(), &known, "").await.unwrap(), first);
    let (one, two) = tokio::join!(keys.run(&first), keys.run(&first));
    assert!(one.is_ok() || two.is_ok());
    world.settle_for(3).await;
    assert_one_way_in(&world, &server).await;
    assert_eq!(world.range.file(&server, "root").keys.len(), 2, "the new one and its predecessor");
}

#[tokio::test]
async fn keys_rotate_by_themselves_before_their_maximum_age_unless_frozen() {
    let world = World::new().await;
    let server = managed(&world).await;
    let keys = &world.worker.keys;
    world.pass(80 * DAY);
    assert_eq!(keys.rotate_aged().await.unwrap(), 0);
    world.pass(10 * DAY);
    freeze(&world, true).await;
    assert_eq!(keys.rotate_aged().await.unwrap(), 0, "frozen");
    freeze(&world, false).await;
    world.range.fail("login", 1, Reason::HostUnreachable);
    assert_eq!(keys.rotate_aged().await.unwrap(), 1);
    world.settle_for(3).await;
    assert_eq!(keys.rotate_aged().await.unwrap(), 0, "after a failure it is left alone for hours");
    world.pass(Duration::from_secs(7 * 3600));
    assert_eq!(keys.rotate_aged().await.unwrap(), 1);
    world.settle().await;
    assert_eq!(assert_one_way_in(&world, &server).await.kind, ManagementKind::Rotate);
    assert_eq!(keys.rotate_aged().await.unwrap(), 0);
}

#[tokio::test]
async fn a_tenants_policy_says_nothing_of_the_platforms_keys() {
    let world = World::new().await;
    managed(&world).await;
    let policy =
        proto::Policy { maximum_age: days(30), automatic_rotation: Some(false), ..Default::default() };
    world.tenant_policy(policy).await;
    world.pass(40 * DAY);
    assert_eq!(world.worker.keys.rotate_aged().await.unwrap(), 0, "thirty days are the tenant's keys'");
    world.pass(50 * DAY);
    assert_eq!(world.worker.keys.rotate_aged().await.unwrap(), 1, "off is for the tenant's keys");
}

async fn freeze(world: &World, frozen: bool) {
    let mut tx = world.db.begin_internal("a test's brake").await.unwrap();
    let text = if frozen {
        "INSERT INTO automation_freeze (tenant_id, frozen_at, frozen_by, comment) VALUES ('', 1, 'x', '')"
    } else {
        "DELETE FROM automation_freeze"
    };
    sqlx::query(text).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_gates() {
    let world = World::new().await;
    let server = managed(&world).await;
    let ask = async |caller, request| reason(world.management(&caller).rotate_management_key(request).await);
    assert_eq!(ask(world.owner.clone(), asked(&server)).await, Reason::PermissionDenied);
    let elsewhere = person(Role::TenantOwner, Some(&keywright_domain::ids::TenantId::random().unwrap()));
    assert_eq!(ask(elsewhere, asked(&server)).await, Reason::ServerNotFound);
    let none = proto::RotateManagementKeyRequest { confirmation: None, ..asked(&server) };
    assert_eq!(ask(operator(), none).await, Reason::ConfirmationRequired);
    let other =
        proto::RotateManagementKeyRequest { confirmation: asked("srv_x").confirmation, ..asked(&server) };
    assert_eq!(ask(operator(), other).await, Reason::ConfirmationMismatch);
    let long = proto::RotateManagementKeyRequest { reason: "x".repeat(501), ..asked(&server) };
    assert_eq!(ask(operator(), long).await, Reason::ValidationFailed);
    world.vault.state.lock().unwrap().servers.get_mut(&server).unwrap().management_key_id.clear();
    assert_eq!(ask(operator(), asked(&server)).await, Reason::ServerNotManaged);
    let missing = asked(ServerId::random().unwrap().as_str());
    assert_eq!(ask(operator(), missing).await, Reason::ServerNotFound);
    world.log.down.store(true, std::sync::atomic::Ordering::SeqCst);
    let again = managed(&world).await;
    assert_eq!(ask(operator(), asked(&again)).await, Reason::AuditUnavailable);
}
