//! Scans, repairs and evidence over simulated hosts: what is recorded, told and put back.

use super::world::{World, answer, operator, person, reason};
use crate::model::LogLines;
use crate::store;
use keywright_domain::caller::Role;
use keywright_domain::ids::TenantId;
use keywright_domain::key::{GenerateSpec, PrivateKey, PublicKey};
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(6 * 3600);

fn key() -> PublicKey {
    PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().clone()
}

async fn scan(world: &World, server: &str) -> proto::ServerKeys {
    let asked = proto::ScanServerKeysRequest { server_id: server.to_owned() };
    answer(world.server_keys(&world.owner).scan_server_keys(asked).await).unwrap().keys.unwrap()
}

async fn keys(world: &World, server: &str) -> proto::ServerKeys {
    let asked = proto::GetServerKeysRequest { server_id: server.to_owned() };
    answer(world.server_keys(&world.owner).get_server_keys(asked).await).unwrap().keys.unwrap()
}

fn put(world: &World, server: &str, account: &str, key: &PublicKey) {
    let mut state = world.range.state.lock().unwrap();
    let file = state.files.entry((server.to_owned(), account.to_owned())).or_default();
    file.keys.insert(key.blob().to_vec(), None);
}

fn lose(world: &World, server: &str, account: &str) {
    let mut state = world.range.state.lock().unwrap();
    state.files.get_mut(&(server.to_owned(), account.to_owned())).unwrap().keys.clear();
}

async fn notices(world: &World) -> i64 {
    let mut reader = store::reader(&world.db).await.unwrap();
    sqlx::query_scalar("SELECT COUNT(*) FROM notice WHERE event = 'drift.found'")
        .fetch_one(&mut *reader)
        .await
        .unwrap()
}

/// The server is one that was taken under management here.
async fn managed(world: &World, server: &str) {
    let mut tx = world.db.begin_internal("a test").await.unwrap();
    sqlx::query(
        "INSERT INTO management (id, server_id, credential_id, version_id, username, state, reason, created_at)
         VALUES ('mgt_test', $1, 'x', 'y', 'root', 'SUCCEEDED', '', 0)",
    )
    .bind(server)
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_scan_judges_records_and_tells_once() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    assert!(keys(&world, &server).await.scanned_at.is_none());
    let clean = scan(&world, &server).await;
    assert_eq!((clean.keys.len(), clean.drift), (1, 0));
    assert_eq!(clean.keys[0].class(), proto::ServerKeyClass::Managed);
    assert_eq!((clean.keys[0].access_id.as_str(), clean.keys[0].version), (access.id.as_str(), 1));

    lose(&world, &server, &access.account);
    world.pass(Duration::from_secs(60));
    for _ in 0..2 {
        let found = scan(&world, &server).await;
        assert_eq!((found.drift, found.keys[0].class()), (1, proto::ServerKeyClass::Missing));
    }
    assert_eq!(notices(&world).await, 1);
    put(&world, &server, &access.account, &PublicKey::parse_openssh(&access.public_key).unwrap());
    world.pass(Duration::from_secs(60));
    assert_eq!(scan(&world, &server).await.drift, 0);
    lose(&world, &server, &access.account);
    for told in [2, 2] {
        world.pass(Duration::from_secs(60));
        assert_eq!((scan(&world, &server).await.drift, notices(&world).await), (1, told), "it came again");
    }
    assert_eq!(keys(&world, &server).await.keys, scan(&world, &server).await.keys);
    assert!(world.range.done("converge") == 1, "a scan repaired something");
}

#[tokio::test]
async fn a_compromised_key_that_is_put_back_stands_in_the_log_once() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let asked = proto::RevokeSshAccessRequest { compromised: true, ..world.revoke(&access.id) };
    answer(world.accesses(&world.owner).revoke_ssh_access(asked).await).unwrap();
    world.settle_for(3).await;
    let found = || {
        let intents = world.log.intents.lock().unwrap();
        intents.iter().filter(|it| it.action == "server.revoked_key_found").cloned().collect::<Vec<_>>()
    };
    scan(&world, &server).await;
    assert_eq!(found(), [], "it was removed");
    let revoked = PublicKey::parse_openssh(&access.public_key).unwrap();
    put(&world, &server, &access.account, &revoked);
    for _ in 0..2 {
        world.pass(Duration::from_secs(60));
        scan(&world, &server).await;
        let logged = found();
        assert_eq!((logged.len(), logged[0].target.as_str()), (1, server.as_str()));
        assert_eq!(logged[0].details["fingerprint"], revoked.fingerprint().to_string());
        assert_eq!(
            (logged[0].tenant_id.as_str(), logged[0].actor.as_str()),
            (access.tenant_id.as_str(), "key-lifecycle")
        );
    }
}

#[tokio::test]
async fn a_key_is_seen_first_when_it_was_seen_first() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    put(&world, &server, &access.account, &key());
    let first = scan(&world, &server).await;
    world.pass(Duration::from_secs(3600));
    let second = scan(&world, &server).await;
    assert_ne!(first.scanned_at, second.scanned_at);
    let seen = |keys: &proto::ServerKeys| keys.keys.iter().map(|key| key.first_seen_at).collect::<Vec<_>>();
    assert_eq!(seen(&first), seen(&second));
}

#[tokio::test]
async fn somebody_answers_for_a_foreign_key_and_no_longer() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let foreign = key();
    put(&world, &server, &access.account, &foreign);
    let adopt = |owner: &str, key: &PublicKey| proto::AdoptServerKeyRequest {
        server_id: server.clone(),
        account: access.account.clone(),
        fingerprint: key.fingerprint().to_string(),
        owner: owner.to_owned(),
        note: "until June".to_owned(),
    };
    let operator = operator();
    let try_adopt = async |asked| world.server_keys(&operator).adopt_server_key(asked).await;
    assert_eq!(
        reason(try_adopt(adopt("bob", &foreign)).await),
        Reason::KeyNotFound,
        "nothing was scanned yet"
    );
    scan(&world, &server).await;
    assert_eq!(reason(try_adopt(adopt("", &foreign)).await), Reason::ValidationFailed);
    assert_eq!(reason(try_adopt(adopt("bob", &key())).await), Reason::KeyNotFound);
    let managed = PublicKey::parse_openssh(&access.public_key).unwrap();
    assert_eq!(reason(try_adopt(adopt("bob", &managed)).await), Reason::KeyNotFound, "ours is nobody's");
    let own = world.server_keys(&world.owner).adopt_server_key(adopt("bob", &foreign)).await;
    assert_eq!(reason(own), Reason::PermissionDenied, "an operator's");
    for owner in ["bob", "carol"] {
        let adopted = answer(try_adopt(adopt(owner, &foreign)).await).unwrap().key.unwrap();
        assert_eq!((adopted.class(), adopted.owner.as_str()), (proto::ServerKeyClass::Tracked, owner));
    }
    let again = scan(&world, &server).await;
    let tracked: Vec<_> =
        again.keys.iter().filter(|key| key.class() == proto::ServerKeyClass::Tracked).collect();
    assert_eq!(
        (tracked.len(), tracked[0].owner.as_str(), tracked[0].note.as_str()),
        (1, "carol", "until June")
    );
    for _ in 0..2 {
        let asked = proto::ForgetServerKeyRequest {
            server_id: server.clone(),
            account: access.account.clone(),
            fingerprint: foreign.fingerprint().to_string(),
        };
        answer(world.server_keys(&operator).forget_server_key(asked).await).unwrap();
    }
    let left = keys(&world, &server).await;
    assert!(
        left.keys.iter().all(|key| key.class() != proto::ServerKeyClass::Tracked && key.owner.is_empty())
    );
}

#[tokio::test]
async fn strangers_see_no_server_and_one_without_a_key_is_not_scanned() {
    let world = World::new().await;
    let server = world.server();
    let stranger = person(Role::TenantOwner, Some(&TenantId::random().unwrap()));
    let get = || proto::GetServerKeysRequest { server_id: server.clone() };
    let look = || proto::ScanServerKeysRequest { server_id: server.clone() };
    assert_eq!(reason(world.server_keys(&stranger).get_server_keys(get()).await), Reason::ServerNotFound);
    assert_eq!(reason(world.server_keys(&stranger).scan_server_keys(look()).await), Reason::ServerNotFound);
    world.vault.state.lock().unwrap().servers.get_mut(&server).unwrap().management_key_id.clear();
    assert_eq!(
        reason(world.server_keys(&world.owner).scan_server_keys(look()).await),
        Reason::ServerNotManaged
    );
    assert_eq!(world.range.done("scan "), 0);
}

#[tokio::test]
async fn without_a_log_nothing_is_scanned_and_a_failed_look_keeps_the_last_one() {
    let world = World::new().await;
    let server = world.server();
    world.access(std::slice::from_ref(&server)).await;
    let before = scan(&world, &server).await;
    let look = || proto::ScanServerKeysRequest { server_id: server.clone() };
    world.range.fail("scan", 1, Reason::HostUnreachable);
    assert_eq!(
        reason(world.server_keys(&world.owner).scan_server_keys(look()).await),
        Reason::HostUnreachable
    );
    world.log.down.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(
        reason(world.server_keys(&world.owner).scan_server_keys(look()).await),
        Reason::AuditUnavailable
    );
    assert_eq!(world.range.done("scan "), 2);
    assert_eq!(keys(&world, &server).await, before);
}

#[tokio::test]
async fn the_watch_looks_at_each_server_once_an_interval() {
    let world = World::new().await;
    let server = world.server();
    world.access(std::slice::from_ref(&server)).await;
    managed(&world, &server).await;
    world.watch.round().await.unwrap();
    assert_eq!(world.range.done("scan "), 0, "its time is spread");
    world.pass(INTERVAL);
    for _ in 0..3 {
        world.watch.round().await.unwrap();
    }
    assert_eq!(world.range.done("scan "), 1);
    world.pass(INTERVAL);
    world.range.fail("scan", 1, Reason::HostUnreachable);
    world.watch.round().await.unwrap();
    world.watch.round().await.unwrap();
    assert_eq!(world.range.done("scan "), 2, "a failure is put off");
    world.pass(Duration::from_secs(300));
    let (one, other) = (world.watch.clone(), world.watch.clone());
    let (one, other) = tokio::join!(one.round(), other.round());
    one.and(other).unwrap();
    assert_eq!(world.range.done("scan "), 3, "two replicas look once");
}

#[tokio::test]
async fn a_drift_that_somebody_finds_waits_for_no_interval_to_be_repaired() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    managed(&world, &server).await;
    let repair = Some(proto::DriftAction::Repair.into());
    world.access_policy(&access.id, proto::Policy { drift_action: repair, ..Default::default() }).await;
    lose(&world, &server, &access.account);
    assert_eq!(scan(&world, &server).await.drift, 1);
    world.watch.round().await.unwrap();
    assert_eq!(keys(&world, &server).await.drift, 0);
    world.watch.round().await.unwrap();
    assert_eq!(world.range.done("scan "), 3, "asked for, before the repair, after it");
}

#[tokio::test]
async fn the_log_tells_who_uses_a_key_and_not_that_we_proved_it() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.pass(Duration::from_secs(600));
    let fingerprint = PublicKey::parse_openssh(&access.public_key).unwrap().fingerprint();
    let now = world.db.now().await.unwrap().secs();
    let line = |ago: i64, user: &str, address: &str| {
        let at = now - ago;
        format!(
            "{at}.0 web sshd[1]: Accepted publickey for {user} from {address} port 7 ssh2: ED25519 {fingerprint}"
        )
    };
    let heard = vec![line(1, "root", "192.0.2.1")];
    let read = async |lines: LogLines| {
        world.range.state.lock().unwrap().logs.insert(server.clone(), lines);
        let asked =
            proto::ReadKeyUseRequest { tenant_id: world.tenant.to_string(), access_id: access.id.clone() };
        answer(world.accesses(&world.owner).read_key_use(asked).await).unwrap().items
    };
    let silent = read(LogLines::default()).await;
    assert_eq!(silent[0].evidence(), proto::KeyUseEvidence::Unreadable);
    let unseen = read(LogLines { own: heard.clone(), ..LogLines::default() }).await;
    assert_eq!(unseen[0].evidence(), proto::KeyUseEvidence::NotSeen);
    let proof = line(600, &access.account, "192.0.2.1");
    let unseen = read(LogLines { own: heard.clone(), keys: vec![proof], ..LogLines::default() }).await;
    assert_eq!(unseen[0].evidence(), proto::KeyUseEvidence::NotSeen, "our own proof is no use");
    let keys = vec![line(200, &access.account, "198.51.100.4"), line(100, "bob", "192.0.2.9")];
    let used = read(LogLines { own: heard, keys, ..LogLines::default() }).await;
    assert_eq!(used[0].evidence(), proto::KeyUseEvidence::Used);
    assert_eq!(used[0].source_address, "198.51.100.4");
    assert_eq!(world.view(&access.id).await.uses, used);
    // The log was rotated away since, then nothing can be read, then the key is used again.
    let last = |one: &proto::KeyUse| (one.last_used_at, one.source_address.clone());
    world.pass(Duration::from_secs(60));
    let now = now + 60;
    let heard = |at: i64| {
        vec![format!(
            "{at}.0 web sshd[1]: Accepted publickey for root from 192.0.2.1 port 7 ssh2: ED25519 {fingerprint}"
        )]
    };
    let rotated = read(LogLines { own: heard(now - 1), ..LogLines::default() }).await;
    assert_eq!((rotated[0].evidence(), last(&rotated[0])), (proto::KeyUseEvidence::Used, last(&used[0])));
    assert_ne!(rotated[0].read_at, used[0].read_at);
    world.range.fail("log", 1, Reason::HostUnreachable);
    let down = read(LogLines::default()).await;
    assert_eq!((down[0].evidence(), last(&down[0])), (proto::KeyUseEvidence::Unreadable, last(&used[0])));
    assert_eq!(world.view(&access.id).await.uses, down);
    let again = vec![format!(
        "{}.0 web sshd[1]: Accepted publickey for {} from 203.0.113.5 port 7 ssh2: ED25519 {fingerprint}",
        now - 2,
        access.account
    )];
    let again = read(LogLines { own: heard(now - 1), keys: again, ..LogLines::default() }).await;
    assert_eq!(again[0].source_address, "203.0.113.5");
    assert_ne!(again[0].last_used_at, used[0].last_used_at);
}

#[tokio::test]
async fn before_a_grace_ends_the_log_is_read_once() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let rotation = world.start(&access.id).await;
    world.settle().await;
    world.before.round().await.unwrap();
    assert_eq!(world.range.done("log "), 0, "it is early");
    world.pass(Duration::from_secs(20 * 3600 + 60));
    for _ in 0..3 {
        world.before.round().await.unwrap();
    }
    assert_eq!(world.range.done("log "), 1);
    let seen = world.rotation(&rotation.id).await;
    assert_eq!(seen.old_key_uses.len(), 1);
    assert_eq!(seen.old_key_uses[0].version, 1);
}
