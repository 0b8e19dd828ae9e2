//! What others do while a process waits for an answer: one that was held up for long and comes back, hosts that come and
//! go, a campaign that is stopped, a server that leaves. What was decided before is not done any more.

use super::hosts::add;
use super::management_keys::managed;
use super::world::{World, answer, operator, person, reason};
use crate::model::{Management, ManagementState, ManagementStep, Origin, Release, ReleaseState};
use crate::store;
use crate::worker::LEASE;
use keywright_domain::caller::{Caller, Role, ServiceName};
use keywright_domain::ids::{CampaignId, ManagementId, RevocationId, ServerId, TenantId};
use keywright_domain::key::{GenerateSpec, PrivateKey, PublicKey};
use keywright_domain::reason::Reason;
use keywright_proto::credential as vault;
use keywright_proto::credential::custody_service_server::CustodyService;
use keywright_proto::credential::directory_service_server::DirectoryService;
use keywright_proto::lifecycle as proto;
use keywright_storage::lease;
use std::time::Duration;
use tonic::Request;

fn blob(public_key: &str) -> Vec<u8> {
    PublicKey::parse_openssh(public_key).unwrap().blob().to_vec()
}

async fn revoke(world: &World, access: &str, compromised: bool) -> RevocationId {
    let asked = proto::RevokeSshAccessRequest { compromised, ..world.revoke(access) };
    let begun = answer(world.accesses(&world.owner).revoke_ssh_access(asked).await).unwrap();
    begun.revocation.unwrap().id.try_into().unwrap()
}

/// A rotation of the server's management key that somebody asked for.
async fn begun(world: &World, server: &str) -> ManagementId {
    let known = world.worker.keys.store.server(&ServerId::parse(server).unwrap()).await.unwrap();
    world.worker.keys.begin(&operator(), &known, "").await.unwrap()
}

async fn management(world: &World, id: &ManagementId) -> Management {
    let mut reader = store::reader(&world.db).await.unwrap();
    store::management::find(&mut reader, id).await.unwrap().unwrap()
}

/// The promotion of a management key has begun: credential-store and the server have it already.
async fn begin_promotion(vault: super::vault::Vault, it: &Management) {
    let active = vault::SetVersionStateRequest {
        credential_id: it.credential.to_string(),
        version_id: it.version.to_string(),
        state: vault::VersionState::Active.into(),
        ..Default::default()
    };
    vault.set_version_state(Request::new(active)).await.unwrap();
    let named = vault::SetManagementKeyRequest {
        server_id: it.server.to_string(),
        credential_id: it.credential.to_string(),
        username: it.username.clone(),
    };
    vault.set_management_key(Request::new(named)).await.unwrap();
}

#[tokio::test]
async fn a_held_up_process_cannot_take_back_a_management_key_that_another_promotes() {
    let world = World::new().await;
    let server = managed(&world).await;
    let (keys, id) = (world.worker.keys.clone(), begun(&world, &server).await);
    assert!(keys.once(&id).await.unwrap(), "generated");
    let (other, this, vault, range) = (keys.clone(), id.clone(), world.vault.clone(), world.range.clone());
    let db = world.db.clone();
    world.range.meanwhile.set(async move {
        for _ in 0..2 {
            assert!(other.once(&this).await.unwrap(), "installed, proven");
        }
        let mut reader = store::reader(&db).await.unwrap();
        let it = store::management::find(&mut reader, &this).await.unwrap().unwrap();
        assert_eq!(it.step, ManagementStep::Promote);
        begin_promotion(vault, &it).await;
        // What comes back to the one that was held up.
        range.fail("converge", 1, Reason::HostUnreachable);
    });
    keys.once(&id).await.unwrap();
    assert_eq!(management(&world, &id).await.state, ManagementState::Running);
    world.settle_for(3).await;
    let it = management(&world, &id).await;
    assert_eq!(it.state, ManagementState::Succeeded);
    assert!(!world.vault.version(it.version.as_str()).material_destroyed, "the only key of the server");
}

#[tokio::test]
async fn a_management_key_in_use_is_not_destroyed_though_it_is_called_failed() {
    let world = World::new().await;
    let server = managed(&world).await;
    let (keys, id) = (world.worker.keys.clone(), begun(&world, &server).await);
    for _ in 0..3 {
        assert!(keys.once(&id).await.unwrap());
    }
    begin_promotion(world.vault.clone(), &management(&world, &id).await).await;
    let mut tx = world.db.begin_internal("a test's mistake").await.unwrap();
    let now = tx.now().micros();
    sqlx::query("UPDATE management SET state = 'FAILED', next_at = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(now)
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    world.settle().await;
    let it = management(&world, &id).await;
    assert_eq!(it.state, ManagementState::Succeeded);
    assert!(!world.vault.version(it.version.as_str()).material_destroyed);
}

#[tokio::test]
async fn a_freeze_that_comes_while_a_management_key_is_looked_at_stops_its_rotation() {
    let world = World::new().await;
    let server = managed(&world).await;
    let keys = world.worker.keys.clone();
    let known = keys.store.server(&ServerId::parse(&server).unwrap()).await.unwrap();
    let mut operators = world.freezes(&operator());
    world.log.meanwhile.set(async move {
        let asked = proto::SetFreezeRequest { frozen: true, ..Default::default() };
        answer(operators.set_freeze(asked).await).unwrap();
    });
    let itself = Caller::background(ServiceName::KeyLifecycle, "mgt_old");
    assert_eq!(keys.begin(&itself, &known, "").await.unwrap_err().reason, Reason::Frozen);
    keys.begin(&operator(), &known, "").await.unwrap();
}

#[tokio::test]
async fn a_held_up_process_takes_nothing_from_what_another_has_proven_of_a_revocation() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let id = revoke(&world, &access.id, false).await;
    let mine = lease::acquire(&world.db, id.as_str(), "one", LEASE).await.unwrap().unwrap();
    world.pass(LEASE + Duration::from_secs(1));
    let (other, this, db, range) =
        (world.worker.revoker.clone(), id.clone(), world.db.clone(), world.range.clone());
    world.range.meanwhile.set(async move {
        let theirs = lease::acquire(&db, this.as_str(), "two", LEASE).await.unwrap().unwrap();
        other.run(&this, Some(&theirs)).await.unwrap();
        range.fail("converge", 1, Reason::HostUnreachable);
    });
    let late = world.worker.revoker.run(&id, Some(&mine)).await.unwrap_err();
    assert_eq!(late.reason, Reason::RevisionMismatch);
    let done = world.revocation(id.as_str()).await;
    assert_eq!(done.state(), proto::RevocationState::Succeeded);
    assert_eq!((done.hosts[0].state.as_str(), done.hosts[0].reason.as_str()), ("REMOVED_PROVEN", ""));
}

#[tokio::test]
async fn a_second_revocation_proves_anew_what_the_first_has_proven() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    revoke(&world, &access.id, false).await;
    world.settle().await;
    world.pass(Duration::from_secs(60));
    let offers = world.range.done("offer");
    // Somebody puts the key back by hand.
    let key = blob(&access.public_key);
    world
        .range
        .state
        .lock()
        .unwrap()
        .files
        .get_mut(&(server.clone(), access.account.clone()))
        .unwrap()
        .keys
        .insert(key, None);
    let second = revoke(&world, &access.id, true).await;
    world.settle().await;
    assert_eq!(world.range.done("offer"), offers + 1, "proven by an offer after the edit");
    assert_eq!(world.revocation(second.as_str()).await.hosts[0].state, "REMOVED_PROVEN");
    assert!(world.range.file(&server, &access.account).keys.is_empty());
}

#[tokio::test]
async fn a_host_that_came_while_a_rotation_was_asked_for_gets_the_new_key_too() {
    let world = World::new().await;
    let (first, second) = (world.server(), world.server());
    let access = world.access(std::slice::from_ref(&first)).await;
    let (mut operators, worker) = (world.accesses(&operator()), world.worker.clone());
    let added = add(&world, &access.id, &second);
    world.log.meanwhile.set(async move {
        answer(operators.add_access_host(added).await).unwrap();
        worker.settle().await;
    });
    let asked = proto::RotateSshKeyRequest {
        grace_period: Some(prost_types::Duration { seconds: 0, nanos: 0 }),
        ..world.rotate(&access.id)
    };
    answer(world.accesses(&world.owner).rotate_ssh_key(asked).await).unwrap();
    world.settle_for(3).await;
    let new = blob(&world.view(&access.id).await.public_key);
    assert_ne!(new, blob(&access.public_key));
    for server in [&first, &second] {
        let keys = world.range.file(server, &access.account).keys;
        assert!(keys.into_keys().eq([new.clone()]), "{server}");
    }
}

#[tokio::test]
async fn a_campaign_that_was_stopped_meanwhile_begins_nothing_more() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let asked = proto::CreateCampaignRequest {
        selector: Some(proto::CampaignSelector { all: true, ..Default::default() }),
        confirmation: Some(proto::CampaignConfirmation { target_count: 1 }),
        ..Default::default()
    };
    let campaign =
        answer(world.campaigns(&operator()).create_campaign(asked).await).unwrap().campaign.unwrap();
    let mut operators = world.campaigns(&operator());
    let cancelled = proto::CancelCampaignRequest { campaign_id: campaign.id.clone() };
    world.log.meanwhile.set(async move {
        answer(operators.cancel_campaign(cancelled).await).unwrap();
    });
    let origin = Origin::Campaign(CampaignId::parse(&campaign.id).unwrap());
    let begun = world.rotate_by_itself(&access.id.clone().try_into().unwrap(), &origin).await;
    assert_eq!(begun.unwrap_err().reason, Reason::RequestInProgress);
    world.settle_for(3).await;
    assert_eq!(world.view(&access.id).await.version, 1);
}

/// Recorded, and waiting for its host.
async fn begin_release(world: &World, server: &str) {
    let release = Release {
        id: ManagementId::random().unwrap(),
        server: ServerId::parse(server).unwrap(),
        tenant: world.tenant.clone(),
        state: ReleaseState::Running,
        other: None,
        may_stay: false,
        staying: Vec::new(),
        comment: String::new(),
        other_path: None,
        refused: None,
        requested_at: world.db.now().await.unwrap(),
        finished_at: None,
        attempts: 0,
    };
    let mut tx = world.db.begin_internal("a test's release").await.unwrap();
    let later = tx.now().plus(Duration::from_secs(3600));
    store::release::insert(&mut tx, &release, later).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn nothing_comes_to_a_server_that_is_being_released() {
    let world = World::new().await;
    let (leaving, other) = (managed(&world).await, world.server());
    let access = world.access(std::slice::from_ref(&other)).await;
    begin_release(&world, &leaving).await;
    let provisioned = world
        .accesses(&operator())
        .provision_ssh_access(world.provisioning(std::slice::from_ref(&leaving)))
        .await;
    assert_eq!(reason(provisioned), Reason::ServerNotManaged);
    let added = world.accesses(&operator()).add_access_host(add(&world, &access.id, &leaving)).await;
    assert_eq!(reason(added), Reason::ServerNotManaged);
    let rotated = proto::RotateManagementKeyRequest {
        server_id: leaving.clone(),
        confirmation: Some(proto::ServerConfirmation { server_id: leaving.clone() }),
        ..Default::default()
    };
    let rotated = world.management(&operator()).rotate_management_key(rotated).await;
    assert_eq!(reason(rotated), Reason::ServerNotManaged);
}

async fn listed(world: &World, group: &str) -> Vec<String> {
    let asked = proto::GetKrlTextRequest { group: group.to_owned(), ..Default::default() };
    let file = answer(world.krls(&operator()).get_krl_text(asked).await).unwrap().file.unwrap();
    let text = String::from_utf8(file.data).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn in_group(world: &World, group: &str) -> String {
    let id = world.server();
    world.vault.state.lock().unwrap().servers.get_mut(&id).unwrap().group = group.to_owned();
    id
}

#[tokio::test]
async fn a_revoked_key_stays_in_a_groups_list_when_its_access_loses_the_server() {
    for removed_first in [false, true] {
        let world = World::new().await;
        let (web, db) = (in_group(&world, "web"), in_group(&world, "db"));
        let access = world.access(&[web.clone(), db.clone()]).await;
        if removed_first {
            world.remove_host(&access.id, &db).await;
            world.settle().await;
        }
        revoke(&world, &access.id, false).await;
        world.settle().await;
        assert_eq!(listed(&world, "db").await, std::slice::from_ref(&access.public_key));
        if !removed_first {
            world.remove_host(&access.id, &db).await;
            world.settle().await;
        }
        assert_eq!(world.view(&access.id).await.hosts.len(), 1);
        assert_eq!(listed(&world, "db").await, [access.public_key], "removed first: {removed_first}");
    }
}

#[tokio::test]
async fn an_older_list_that_comes_late_to_a_host_is_overtaken_at_once() {
    let world = World::new().await;
    let server = in_group(&world, "web");
    let access = world.access(std::slice::from_ref(&server)).await;
    world.range.state.lock().unwrap().lists.insert(server.clone(), Vec::new());
    world.lists.once().await.unwrap();
    let older = world.range.state.lock().unwrap().lists[&server].clone();
    revoke(&world, &access.id, false).await;
    world.settle().await;
    let newer = world.range.state.lock().unwrap().lists[&server].clone();
    assert_ne!(older, newer);
    // The background read it before the revocation, and wrote it after the revocation had written its own.
    world.range.state.lock().unwrap().lists.insert(server.clone(), older);
    world.lists.once().await.unwrap();
    assert_eq!(world.range.state.lock().unwrap().lists[&server], newer);
}

#[tokio::test]
async fn whose_key_it_is_that_stands_on_his_server_does_not_exist_for_another_tenant() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let stranger = person(Role::TenantOwner, Some(&TenantId::random().unwrap()));
    let tenant = stranger.principal.tenant.clone().unwrap();
    let theirs = world.server();
    world.vault.state.lock().unwrap().servers.get_mut(&theirs).unwrap().tenant_id = tenant.to_string();
    let asked = proto::ProvisionSshAccessRequest {
        tenant_id: tenant.to_string(),
        ..world.provisioning(std::slice::from_ref(&theirs))
    };
    let own = answer(world.accesses(&operator()).provision_ssh_access(asked).await).unwrap().access.unwrap();
    world.settle().await;
    let unknown = PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().openssh();
    {
        let mut state = world.range.state.lock().unwrap();
        let file = state.files.get_mut(&(theirs.clone(), own.account.clone())).unwrap();
        file.keys.extend([(blob(&access.public_key), None), (blob(&unknown), None)]);
    }
    revoke(&world, &access.id, true).await;
    let scan = proto::ScanServerKeysRequest { server_id: theirs.clone() };
    let seen =
        answer(world.server_keys(&operator()).scan_server_keys(scan.clone()).await).unwrap().keys.unwrap();
    let orphan = seen.keys.iter().find(|key| key.access_id == access.id).unwrap();
    assert_eq!(
        (orphan.class(), orphan.flags.as_slice()),
        (proto::ServerKeyClass::Orphan, &["COMPROMISED".to_owned()][..])
    );
    let get = proto::GetServerKeysRequest { server_id: theirs };
    for seen in [
        answer(world.server_keys(&stranger).get_server_keys(get).await).unwrap().keys.unwrap(),
        answer(world.server_keys(&stranger).scan_server_keys(scan).await).unwrap().keys.unwrap(),
    ] {
        let of = |key: &str| {
            let print = PublicKey::parse_openssh(key).unwrap().fingerprint().to_string();
            seen.keys.iter().find(|found| found.fingerprint == print).unwrap().clone()
        };
        let (known, unknown) = (of(&access.public_key), of(&unknown));
        let told =
            |key: &proto::ServerKey| (key.class(), key.access_id.clone(), key.version, key.flags.clone());
        assert_eq!(told(&known), told(&unknown));
        assert_eq!((seen.drift, seen.keys.len()), (0, 3));
        assert_eq!(seen.keys.iter().filter(|key| key.access_id == own.id).count(), 1);
    }
}

#[tokio::test]
async fn an_offboarding_that_waits_for_a_dead_host_does_not_fill_the_log() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.range.fail(&format!("any {server}"), 1_000_000, Reason::HostUnreachable);
    let asked = proto::OffboardTenantRequest {
        tenant_id: world.tenant.to_string(),
        confirmation: Some(proto::TenantConfirmation { tenant_id: world.tenant.to_string() }),
        ..Default::default()
    };
    answer(world.offboarding(&operator()).offboard_tenant(asked).await).unwrap();
    for _ in 0..10 {
        world.settle().await;
        world.pass(Duration::from_secs(61));
    }
    let revoked = world.log.actions().iter().filter(|action| *action == "access.revoke").count();
    assert_eq!(revoked, 1);
    let get = proto::GetOffboardingRequest { tenant_id: world.tenant.to_string() };
    let now = answer(world.offboarding(&operator()).get_offboarding(get).await).unwrap().offboarding.unwrap();
    assert!(now.waits_for.iter().any(|what| what.contains(&access.id)), "{now:?}");
}

#[tokio::test]
async fn what_is_asked_with_every_edit_is_found_by_an_index() {
    let world = World::new().await;
    let mut reader = store::reader(&world.db).await.unwrap();
    for asked in [
        "SELECT revocation_id FROM revocation_host WHERE server_id = 'x' AND proven_at IS NULL",
        "SELECT access_id FROM access_host WHERE server_id = 'x' AND left_at IS NULL",
        "SELECT id FROM rotation WHERE state = 'RUNNING' AND automatic_at IS NOT NULL",
        "SELECT id FROM rotation WHERE access_id = 'x' AND state IN ('RUNNING', 'CONVERGING')",
        "SELECT state FROM host_line WHERE access_id = 'x'",
    ] {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {asked}")))
                .fetch_all(&mut *reader)
                .await
                .unwrap();
        assert!(plan.iter().all(|(.., step)| !step.starts_with("SCAN")), "{asked}: {plan:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_made_after_its_version_has_ended_is_destroyed_too() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let credential = world.vault.state.lock().unwrap().credentials.iter().next().unwrap().clone();
    world.vault.seal(true);
    let refused = world.accesses(&world.owner).rotate_ssh_key(world.rotate(&access.id)).await;
    assert!(refused.is_err());
    world.vault.seal(false);
    world.settle().await;
    let mut reader = store::reader(&world.db).await.unwrap();
    let versions = store::version::of(&mut reader, &access.id.clone().try_into().unwrap()).await.unwrap();
    drop(reader);
    let failed = versions.last().unwrap();
    assert_eq!(failed.state, crate::model::VersionState::Failed);
    // The answer that nobody waited for any more.
    let late = vault::GenerateVersionRequest {
        credential_id: credential,
        version_id: failed.id.to_string(),
        algorithm: "ssh-ed25519".to_owned(),
    };
    world.vault.generate_version(Request::new(late)).await.unwrap();
    world.settle().await;
    let made = world.vault.version(failed.id.as_str());
    assert_eq!((made.state(), made.material_destroyed), (vault::VersionState::Failed, true));
}
