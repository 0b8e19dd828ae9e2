//! The connection to the host breaks, at every stage of every connection that a piece of work makes. A rotation: before the
//! promotion that may cost the rotation, and never the key; after it, nothing. A further host: it gets the key, or nothing
//! of ours. A revocation: it is proven in the end. And the server is killed while a login waits for its answer.
//!
//! `KEYWRIGHT_TEST_FULL` goes through the whole matrix, on both SSH servers, and stalls connections too.

use std::cell::RefCell;
use std::time::Duration;

use keywright_e2e::access::has_ended;
use keywright_e2e::authorized_keys::{foreign_lines, foreign_on};
use keywright_e2e::world::{manage, start_host};
use keywright_e2e::{Access, KeyFile, Sshd, Stores, World, text};
use keywright_kit::{Fault, Harm, KeyType, Proxy, Stage, TestHost, eventually, keygen, ssh};
use serde_json::{Value, json};

/// A stalled connection is given up, and what it was for is tried again.
const LIMIT: Duration = Duration::from_secs(240);
const ACCOUNT: &str = "deploy";
/// Connections that a piece of work makes, if nothing happens to them. A rotation makes a sixth where the removal of the
/// key that it drops, which another run drives at the same time, comes between two of its edits.
const ROTATION: usize = 5;
const REVOCATION: usize = 3;
const FURTHER_HOST: usize = 2;

#[tokio::test]
async fn a_rotation_whose_connections_are_cut_leaves_a_working_key() {
    assert_every_stage_was_met(&rotate(Sshd::OpenSsh, &pairwise(ROTATION)).await);
}

/// To edit, to prove by a login and by an offer.
#[tokio::test]
async fn a_rotation_that_is_killed_within_any_login_leaves_a_working_key() {
    let login = |after_connections| Fault { after_connections, stage: Stage::Login, harm: Harm::Stall };
    let faults: Vec<Fault> = (0..ROTATION).map(login).collect();
    assert_every_stage_was_met(&rotate_under(Sshd::OpenSsh, &faults, Then::IsKilled).await);
}

#[tokio::test]
async fn a_revocation_whose_connections_are_cut_is_proven_in_the_end() {
    assert_every_stage_was_met(&revoke(Sshd::OpenSsh, &pairwise(REVOCATION)).await);
}

/// For `tests/run --full` alone.
mod whole_matrix {
    use super::{
        FURTHER_HOST, Fault, Harm, Met, REVOCATION, ROTATION, Sshd, add_host, assert_every_stage_was_met,
        faults, revoke, rotate,
    };

    /// What waits for stalled connections waits beside others. What was met is judged together: a part alone need not
    /// hold the one connection that comes to a stage.
    async fn in_parts(faults: &[Fault], survive: impl AsyncFn(&[Fault]) -> Vec<Met>) {
        let [a, b, c, d] =
            [0, 1, 2, 3].map(|at| -> Vec<Fault> { faults.iter().skip(at).step_by(4).copied().collect() });
        let (a, b, c, d) = tokio::join!(survive(&a), survive(&b), survive(&c), survive(&d));
        assert_every_stage_was_met(&[a, b, c, d].concat());
    }

    #[tokio::test]
    async fn a_rotation_whose_connections_are_cut_leaves_a_working_key() {
        for sshd in [Sshd::OpenSsh, Sshd::Dropbear] {
            assert_every_stage_was_met(&rotate(sshd, &faults(ROTATION, Harm::Cut)).await);
        }
    }

    #[tokio::test]
    async fn a_rotation_whose_connections_stall_leaves_a_working_key() {
        in_parts(&faults(ROTATION, Harm::Stall), async |some| rotate(Sshd::OpenSsh, some).await).await;
    }

    #[tokio::test]
    async fn a_revocation_whose_connections_are_cut_is_proven_in_the_end() {
        for sshd in [Sshd::OpenSsh, Sshd::Dropbear] {
            assert_every_stage_was_met(&revoke(sshd, &faults(REVOCATION, Harm::Cut)).await);
        }
    }

    #[tokio::test]
    async fn a_revocation_whose_connections_stall_is_proven_in_the_end() {
        in_parts(&faults(REVOCATION, Harm::Stall), async |some| revoke(Sshd::Dropbear, some).await).await;
    }

    #[tokio::test]
    async fn a_further_host_whose_connections_are_cut_gets_the_key_or_nothing_of_ours() {
        for sshd in [Sshd::OpenSsh, Sshd::Dropbear] {
            assert_every_stage_was_met(&add_host(sshd, &faults(FURTHER_HOST, Harm::Cut)).await);
        }
    }

    #[tokio::test]
    async fn a_further_host_whose_connections_stall_gets_the_key_or_nothing_of_ours() {
        in_parts(&faults(FURTHER_HOST, Harm::Stall), async |some| add_host(Sshd::OpenSsh, some).await).await;
    }
}

/// Every stage of so many connections.
fn faults(connections: usize, harm: Harm) -> Vec<Fault> {
    let all = (0..connections).flat_map(|connection| Stage::ALL.map(|stage| (connection, stage)));
    all.map(|(after_connections, stage)| Fault { after_connections, stage, harm }).collect()
}

/// Of those, every connection and every stage at least once: the last stage, to which not every connection comes, of the
/// first connection.
fn pairwise(connections: usize) -> Vec<Fault> {
    let last = Stage::ALL.len() - 1;
    let each =
        (0..connections.max(last + 1)).map(|at| (at % connections, Stage::ALL[last - at % (last + 1)]));
    each.map(|(after_connections, stage)| Fault { after_connections, stage, harm: Harm::Cut }).collect()
}

/// What becomes of the server when the fault has met a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoesOn,
    IsKilled,
}

/// A fault, and whether it has met a connection at its stage.
type Met = (Fault, bool);

/// A world, and a host behind the proxy whose account has its user's own file.
struct Scene {
    world: World,
    far: TestHost,
    proxy: Proxy,
    /// Of the far host: `srv_…`
    server: String,
    foreign: String,
    met: RefCell<Vec<Met>>,
}

impl Scene {
    async fn set(sshd: Sshd) -> Self {
        let (world, far) = tokio::join!(World::new(Stores::Embedded, sshd), start_host(sshd));
        far.write_authorized_keys("root", format!("{}\n", world.bootstrap.public_line()));
        let proxy = Proxy::before(far.port()).await.unwrap();
        let server = behind(&world, &proxy).await;
        let friend = keygen(KeyType::Ed25519, "").await.unwrap();
        let foreign = foreign_lines(&friend.public_line(), sshd);
        far.add_user(ACCOUNT);
        far.write_authorized_keys(ACCOUNT, &foreign);
        Self { world, far, proxy, server, foreign, met: RefCell::default() }
    }

    async fn provision(&self, server: &str) -> Access<'_> {
        let path = format!("/api/tenants/{}/ssh-access", self.world.tenant);
        let body = json!({"serverIds": [server], "account": ACCOUNT});
        let started = self.world.keywright.post(&path, body).await.success();
        let access = Access::new(&self.world, &started);
        access.finished(&text(&started, "/recentRotations/0/id")).await;
        access
    }

    async fn is_opened_by(&self, key: &KeyFile) -> bool {
        let output = ssh(&self.far, ACCOUNT, &key.path(), "id -un").await;
        assert!(output.ok() || output.stderr.contains("Permission denied"), "{output:?}");
        output.ok()
    }

    async fn becomes(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.world.keywright.wait_for(path, LIMIT, holds).await
    }

    /// SIGKILL while the connection stalls; then that ends, and another process begins.
    async fn is_killed(&mut self, fault: Fault) {
        let met = eventually(LIMIT, async || self.proxy.is_met()).await;
        assert!(met, "no connection came to {fault:?}");
        self.world.keywright.kill9().await;
        self.heals(fault);
        self.world.keywright.restart().await.unwrap();
    }

    /// The fault is over; whatever it met, nothing lies about on the host once no edit is under way any more.
    async fn is_over(&mut self, fault: Fault) {
        self.heals(fault);
        assert_eq!(foreign_on(&self.far, ACCOUNT), self.foreign, "after {fault:?}");
        let tidy = eventually(LIMIT, async || self.beside_the_file().is_empty()).await;
        assert!(tidy, "after {fault:?}: {:?}", self.beside_the_file());
        assert_eq!(foreign_on(&self.far, ACCOUNT), self.foreign, "after {fault:?}");
    }

    /// What lies in the account's `.ssh` beside its file.
    fn beside_the_file(&self) -> Vec<String> {
        let folder = self.far.outside("/home").join(ACCOUNT).join(".ssh");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name != "authorized_keys").collect()
    }

    fn heals(&self, fault: Fault) {
        let (is_met, mut met) = (self.proxy.heals(), self.met.borrow_mut());
        if met.last().is_none_or(|(last, _)| *last != fault) {
            println!("{fault:?}: {}", if is_met { "met" } else { "no connection came there" });
            met.push((fault, is_met));
        }
    }
}

/// Every stage and every connection; of each connection all stages, but that a proof ends before a session begins.
fn assert_every_stage_was_met(met: &[Met]) {
    for stage in Stage::ALL {
        let mut of = met.iter().filter(|(fault, _)| fault.stage == stage).peekable();
        assert!(of.peek().is_none() || of.any(|(_, met)| *met), "{stage:?} was never met: {met:?}");
    }
    for connection in met.iter().map(|(fault, _)| fault.after_connections) {
        let came = |(fault, met): &Met| *met && fault.after_connections == connection;
        assert!(met.iter().any(came), "connection {connection} was never made: {met:?}");
        let missed = |(other, met): &&Met| {
            let same = other.after_connections == connection;
            same && other.stage < Stage::Session && !met
        };
        assert_eq!(met.iter().find(missed), None, "{met:?}");
    }
}

/// The host by way of the proxy: `srv_…`.
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

async fn rotate(sshd: Sshd, faults: &[Fault]) -> Vec<Met> {
    rotate_under(sshd, faults, Then::GoesOn).await
}

async fn rotate_under(sshd: Sshd, faults: &[Fault], then: Then) -> Vec<Met> {
    let mut scene = Scene::set(sshd).await;
    let shown = scene.provision(&scene.server).await.show().await;
    let mut old = Access::new(&scene.world, &shown).download().await;
    let asked = json!({"gracePeriod": "3600s", "dropGraceKey": true});
    let mut in_grace: Option<String> = None;
    for fault in faults {
        scene.proxy.hurts(*fault);
        let rotation = Access::new(&scene.world, &shown).start_rotation(asked.clone()).await;
        if then == Then::IsKilled {
            scene.is_killed(*fault).await;
        }
        let access = Access::new(&scene.world, &shown);
        let ended = watched(&scene, &old, &rotation, *fault).await;
        match ended["state"].as_str().unwrap() {
            "succeeded" => {
                let new = access.download().await;
                assert!(scene.is_opened_by(&new).await && scene.is_opened_by(&old).await, "after {fault:?}");
                old = new;
                // The key that it dropped goes by itself, and none of its connections counts for the next fault.
                if let Some(dropped) = in_grace.replace(path(&rotation)) {
                    scene.becomes(&dropped, |it| it["graceEndedAt"].is_string()).await;
                }
            }
            "failed" => {
                assert!(ended["promotedAt"].is_null(), "failed after its promotion by {fault:?}: {ended}");
                let show = scene.becomes(&access.path(""), |it| it["activity"] != "rotating").await;
                assert_eq!(show["status"], "active", "after {fault:?}: {show}");
                assert!(scene.is_opened_by(&old).await, "locked out by {fault:?}");
            }
            other => panic!("{other} after {fault:?}: {ended}"),
        }
        scene.is_over(*fault).await;
    }
    let access = Access::new(&scene.world, &shown);
    access.finished(&access.start_rotation(asked).await).await;
    assert!(scene.is_opened_by(&access.download().await).await);
    scene.met.take()
}

fn path(rotation: &str) -> String {
    format!("/api/rotations/{rotation}")
}

/// The old key logs in whenever something has changed, until the rotation has ended.
async fn watched(scene: &Scene, old: &KeyFile, rotation: &str, fault: Fault) -> Value {
    let path = path(rotation);
    let mut last = Value::Null;
    let ended = eventually(LIMIT, async || {
        let now = scene.world.keywright.get(&path).await.success();
        if now != last {
            assert!(scene.is_opened_by(old).await, "locked out by {fault:?} while {now}");
        }
        last = now;
        has_ended(&last)
    });
    assert!(ended.await, "never ended after {fault:?}: {last}\n{}", scene.world.keywright.logs());
    last
}

async fn revoke(sshd: Sshd, faults: &[Fault]) -> Vec<Met> {
    let mut scene = Scene::set(sshd).await;
    let shown = scene.provision(&scene.server).await.show().await;
    let mut key = Access::new(&scene.world, &shown).download().await;
    for fault in faults {
        scene.proxy.hurts(*fault);
        let access = Access::new(&scene.world, &shown);
        let body = json!({"confirmation": {"accessId": access.id}});
        let started = scene.world.owner().post(&access.path("/revoke"), body).await.success();
        assert_eq!(access.show().await["status"], "revoked", "with {fault:?}");
        let path = format!("/api/revocations/{}", text(&started, "/id"));
        let ended = scene.becomes(&path, |it| it["state"] == "succeeded").await;
        assert_eq!(ended["hosts"][0]["state"], "REMOVED_PROVEN", "after {fault:?}: {ended}");
        assert!(!scene.is_opened_by(&key).await, "after {fault:?}: {ended}");
        scene.is_over(*fault).await;

        let access = Access::new(&scene.world, &shown);
        access.regenerate().await;
        key = access.download().await;
        assert!(scene.is_opened_by(&key).await, "after {fault:?}");
    }
    scene.met.take()
}

async fn add_host(sshd: Sshd, faults: &[Fault]) -> Vec<Met> {
    let mut scene = Scene::set(sshd).await;
    scene.world.host.add_user(ACCOUNT);
    let shown = scene.provision(&scene.world.server).await.show().await;
    let key = Access::new(&scene.world, &shown).download().await;
    for fault in faults {
        scene.proxy.hurts(*fault);
        let access = Access::new(&scene.world, &shown);
        let added = add(&scene, &access).await;
        match added["state"].as_str().unwrap() {
            "succeeded" => {
                assert!(scene.is_opened_by(&key).await, "after {fault:?}: {added}");
                scene.heals(*fault);
                take_away(&scene, &access).await;
            }
            "failed" => {}
            other => panic!("{other} after {fault:?}: {added}"),
        }
        assert!(!scene.is_opened_by(&key).await, "after {fault:?}: {added}");
        assert!(access.opens(&key).await, "locked out by {fault:?}: {added}");
        let show = access.show().await;
        assert_eq!((&show["status"], &show["activity"]), (&json!("active"), &json!("none")), "{show}");
        scene.is_over(*fault).await;
    }
    let access = Access::new(&scene.world, &shown);
    assert_eq!(add(&scene, &access).await["state"], "succeeded");
    assert!(scene.is_opened_by(&key).await);
    scene.met.take()
}

async fn add(scene: &Scene, access: &Access<'_>) -> Value {
    let body = json!({"serverId": scene.server});
    let started = scene.world.keywright.post(&access.path("/hosts"), body).await.success();
    scene.becomes(&format!("/api/rotations/{}", text(&started, "/id")), has_ended).await
}

async fn take_away(scene: &Scene, access: &Access<'_>) {
    let path = access.path(&format!("/hosts/{}", scene.server));
    let body = json!({"confirmation": {"accessId": access.id}});
    let started = scene.world.keywright.delete(&path, body).await.success();
    access.finished(&text(&started, "/id")).await;
}
