//! The connection to the host breaks, at every stage of every connection that a rotation makes: before the promotion
//! that may cost the rotation, and never the key; after it, nothing.
//!
//! `KEYWRIGHT_TEST_FULL` goes through the whole matrix, on both SSH servers, and stalls connections too.

use keywright_e2e::access::has_ended;
use keywright_e2e::authorized_keys::{foreign_lines, without_ours};
use keywright_e2e::world::manage;
use keywright_e2e::{Access, KeyFile, LIMIT, Sshd, Stores, World, text};
use keywright_kit::{Fault, Harm, KeyType, Proxy, eventually, keygen};
use serde_json::{Value, json};

/// Of what the host says in one connection: nothing, a part of its banner, of the key exchange, of the login, of what
/// follows.
const STAGES: [usize; 6] = [0, 10, 700, 1_700, 2_300, 3_200];
/// More than a rotation makes.
const CONNECTIONS: usize = 8;

#[tokio::test]
async fn a_rotation_whose_connections_are_cut_leaves_a_working_key_on_an_openssh_host() {
    survive(Sshd::OpenSsh, Harm::Cut).await;
}

/// For `tests/run --full` alone.
mod whole_matrix {
    use super::{Harm, Sshd, survive};

    #[tokio::test]
    async fn a_rotation_whose_connections_are_cut_leaves_a_working_key_on_a_dropbear_host() {
        survive(Sshd::Dropbear, Harm::Cut).await;
    }

    #[tokio::test]
    async fn a_rotation_whose_connections_stall_leaves_a_working_key() {
        survive(Sshd::OpenSsh, Harm::Stall).await;
    }
}

fn is_full() -> bool {
    std::env::var_os("KEYWRIGHT_TEST_FULL").is_some()
}

/// All of them, or every connection and every stage at least once.
fn faults(harm: Harm) -> Vec<Fault> {
    let all = (0..CONNECTIONS).flat_map(|connection| STAGES.map(|bytes| (connection, bytes)));
    let chosen = all
        .enumerate()
        .filter(|(index, (connection, _))| is_full() || index % STAGES.len() == connection % STAGES.len());
    chosen
        .map(|(_, (after_connections, after_bytes))| Fault { after_connections, after_bytes, harm })
        .collect()
}

async fn survive(sshd: Sshd, harm: Harm) {
    let world = World::new(Stores::Embedded, sshd).await;
    let proxy = Proxy::before(world.host.port()).await.unwrap();
    let server = behind(&world, &proxy).await;
    let friend = keygen(KeyType::Ed25519, "").await.unwrap();
    let foreign = foreign_lines(&friend.public_line(), sshd);
    world.host.add_user("deploy");
    world.host.write_authorized_keys("deploy", &foreign);
    let path = format!("/api/tenants/{}/ssh-access", world.tenant);
    let body = json!({"serverIds": [server], "account": "deploy"});
    let started = world.keywright.post(&path, body).await.success();
    let access = Access::new(&world, &started);
    access.finished(&text(&started, "/recentRotations/0/id")).await;
    let mut old = access.download().await;

    let mut met = 0;
    for fault in faults(harm) {
        proxy.hurts(fault);
        let rotation = access.start_rotation(json!({"gracePeriod": "3600s", "dropGraceKey": true})).await;
        let ended = watched(&world, &access, &old, &rotation, fault).await;
        met += usize::from(proxy.heals());
        match ended["state"].as_str().unwrap() {
            "succeeded" => {
                let new = access.download().await;
                assert!(access.opens(&new).await && access.opens(&old).await, "after {fault:?}");
                old = new;
            }
            "failed" => {
                assert!(ended["promotedAt"].is_null(), "failed after its promotion by {fault:?}: {ended}");
                settled(&world, &access, fault).await;
                assert!(access.opens(&old).await, "locked out by {fault:?}");
            }
            other => panic!("{other} after {fault:?}: {ended}"),
        }
        assert_eq!(without_ours(&world, "deploy"), foreign, "after {fault:?}");
        assert_eq!(beside_the_file(&world), Vec::<String>::new(), "after {fault:?}");
    }
    assert!(met * 2 >= CONNECTIONS, "only {met} faults met a connection");

    let asked = json!({"gracePeriod": "3600s", "dropGraceKey": true});
    access.finished(&access.start_rotation(asked).await).await;
    assert!(access.opens(&access.download().await).await);
}

/// The host a second time, by way of the proxy: `srv_…`.
async fn behind(world: &World, proxy: &Proxy) -> String {
    let body =
        json!({"tenantId": world.tenant, "name": "far-away", "host": "127.0.0.1", "port": proxy.port()});
    let server = text(&world.keywright.post("/api/servers", body).await.success(), "/id");
    let keys = format!("/api/servers/{server}/host-keys");
    let scan = world.keywright.post(&format!("{keys}/scan"), json!({})).await.success();
    let prints: Vec<String> =
        scan["items"].as_array().unwrap().iter().map(|item| text(item, "/fingerprint")).collect();
    world.keywright.post(&keys, json!({"action": "approve", "fingerprints": prints})).await.success();
    manage(&world.keywright, &server, &world.bootstrap).await;
    server
}

/// The old key logs in at every look until the rotation has ended.
async fn watched(world: &World, access: &Access<'_>, old: &KeyFile, rotation: &str, fault: Fault) -> Value {
    let path = format!("/api/rotations/{rotation}");
    let mut last = Value::Null;
    let ended = eventually(LIMIT, async || {
        assert!(access.opens(old).await, "locked out by {fault:?} while {last}");
        last = world.keywright.get(&path).await.success();
        has_ended(&last)
    });
    assert!(ended.await, "never ended after {fault:?}: {last}\n{}", world.keywright.logs());
    last
}

/// What a failed rotation had put on the host is taken away.
async fn settled(world: &World, access: &Access<'_>, fault: Fault) {
    let path = access.path("");
    let show = world.keywright.wait_for(&path, LIMIT, |it| it["activity"] != "rotating").await;
    assert_eq!(show["status"], "active", "after {fault:?}: {show}");
}

/// What lies in the account's `.ssh` beside its file.
fn beside_the_file(world: &World) -> Vec<String> {
    let folder = world.host.outside("/home/deploy/.ssh");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "authorized_keys").collect()
}
