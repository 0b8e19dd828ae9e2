//! SIGKILL at recorded steps of everything that has steps: a first key, a rotation, a regeneration, a revocation, the
//! end of a grace period. Afterwards exactly one key is in use and logs in, and nothing lies about.
//!
//! The moments are drawn by a seed, which is printed; `KEYWRIGHT_FAULTS_SEED` draws them again, `KEYWRIGHT_TEST_FULL`
//! takes them all, on every pair of stores and SSH servers.

use std::time::Duration;

use keywright_e2e::access::{has_ended, step_state};
use keywright_e2e::authorized_keys::{foreign_lines, without_ours};
use keywright_e2e::world::files_below;
use keywright_e2e::{Access, KeyFile, LIMIT, Sshd, Stores, World, text};
use keywright_kit::{KeyType, eventually, keygen};
use serde_json::{Value, json};

/// A step, and how far it has come when the server dies.
type Moment = (&'static str, &'static str);

const STEPS: [&str; 6] = ["generate", "install", "prove", "promote", "destroy_old", "expire_old"];
const ACCOUNT: &str = "deploy";

#[tokio::test]
async fn what_is_killed_at_drawn_steps_ends_with_one_working_key() {
    kill(Stores::Embedded, Sshd::OpenSsh, 1).await;
}

/// For `tests/run --full` alone.
mod whole_matrix {
    use super::{Sshd, Stores, kill};

    #[tokio::test]
    async fn what_is_killed_at_any_step_ends_with_one_working_key() {
        for (stores, sshd) in [
            (Stores::Embedded, Sshd::OpenSsh),
            (Stores::Embedded, Sshd::Dropbear),
            (Stores::External, Sshd::OpenSsh),
            (Stores::External, Sshd::Dropbear),
        ] {
            kill(stores, sshd, usize::MAX).await;
        }
    }
}

fn is_full() -> bool {
    std::env::var_os("KEYWRIGHT_TEST_FULL").is_some()
}

/// So many moments, drawn by the seed; all of them in their order where there are no more.
fn moments(most: usize) -> Vec<Moment> {
    let all: Vec<Moment> = STEPS.iter().flat_map(|step| [(*step, "started"), (*step, "done")]).collect();
    if most >= all.len() {
        return all;
    }
    let mut seed: usize = std::env::var("KEYWRIGHT_FAULTS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| usize::try_from(std::process::id()).unwrap());
    println!("KEYWRIGHT_FAULTS_SEED={seed}");
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        all[(seed >> 33) % all.len()]
    };
    (0..most).map(|_| next()).collect()
}

/// How long the server lives before each kill, in milliseconds.
fn lives(all: [u64; 3]) -> impl Iterator<Item = u64> {
    all.into_iter().take(if is_full() { 3 } else { 1 })
}

struct Scene {
    world: World,
    foreign: String,
    /// The answer that the access was provisioned with.
    provisioned: Value,
}

async fn kill(stores: Stores, sshd: Sshd, most: usize) {
    let (mut scene, mut key) = Scene::set(stores, sshd, most).await;
    scene.holds(&[&key]).await;
    for moment in moments(most) {
        key = scene.rotate(moment, &key).await;
    }
    for moment in moments(most) {
        key = scene.regenerate(moment, &key).await;
    }
    scene.end_of_grace(key).await;
    scene.revoke().await;
}

impl Scene {
    /// A first key, killed at each moment, each with an account of its own; the last is what follows uses.
    async fn set(stores: Stores, sshd: Sshd, most: usize) -> (Self, KeyFile) {
        let world = World::new(stores, sshd).await;
        let friend = keygen(KeyType::Ed25519, "").await.unwrap();
        let foreign = foreign_lines(&friend.public_line(), sshd);
        let mut scene = Self { world, foreign, provisioned: Value::Null };
        for (index, moment) in moments(most).into_iter().filter(|(step, _)| !step.contains("old")).enumerate()
        {
            scene.provision(&format!("early-{index}"), Some(moment)).await;
        }
        let key = scene.provision(ACCOUNT, None).await;
        (scene, key)
    }

    fn access(&self) -> Access<'_> {
        Access::new(&self.world, &self.provisioned)
    }

    async fn provision(&mut self, account: &str, moment: Option<Moment>) -> KeyFile {
        self.world.host.add_user(account);
        self.world.host.write_authorized_keys(account, &self.foreign);
        let path = format!("/api/tenants/{}/ssh-access", self.world.tenant);
        let body = json!({"serverIds": [self.world.server], "account": account});
        self.provisioned = self.world.keywright.post(&path, body).await.success();
        let rotation = text(&self.provisioned, "/recentRotations/0/id");
        if let Some(moment) = moment {
            self.kill_at(&rotation, moment).await;
        }
        self.access().finished(&rotation).await;
        let key = self.access().download().await;
        assert!(self.access().opens(&key).await, "{account} after a kill at {moment:?}");
        assert_eq!(without_ours(&self.world, account), self.foreign, "after a kill at {moment:?}");
        key
    }

    /// Waits for the moment, or for the end where the work is quicker, and kills; the server comes back.
    async fn kill_at(&mut self, rotation: &str, (step, state): Moment) {
        let path = format!("/api/rotations/{rotation}");
        let reached = |it: &Value| {
            let now = step_state(it, step);
            now == state || now == "done" || has_ended(it)
        };
        self.world.keywright.wait_for(&path, LIMIT, reached).await;
        self.world.keywright.kill9().await;
        self.world.keywright.restart().await.unwrap();
    }

    async fn rotate(&mut self, moment: Moment, old: &KeyFile) -> KeyFile {
        let asked = json!({"gracePeriod": "3600s", "dropGraceKey": true});
        let rotation = self.access().start_rotation(asked).await;
        self.kill_at(&rotation, moment).await;
        let path = format!("/api/rotations/{rotation}");
        let mut last = Value::Null;
        let ended = eventually(LIMIT, async || {
            assert!(self.access().opens(old).await, "locked out by a kill at {moment:?} while {last}");
            last = self.world.keywright.get(&path).await.success();
            has_ended(&last)
        });
        assert!(ended.await, "never ended after a kill at {moment:?}: {last}");
        assert_eq!(last["state"], "succeeded", "after a kill at {moment:?}: {last}");
        let new = self.access().download().await;
        self.holds(&[&new, old]).await;
        new
    }

    async fn regenerate(&mut self, moment: Moment, old: &KeyFile) -> KeyFile {
        self.access().revoke(json!({})).await;
        assert!(!self.access().opens(old).await);
        let body = json!({"confirmation": {"accessId": self.access().id}});
        let started = self.world.owner().post(&self.access().path("/regenerate"), body).await.success();
        let rotation = text(&started, "/id");
        self.kill_at(&rotation, moment).await;
        self.access().finished(&rotation).await;
        let new = self.access().download().await;
        assert!(!self.access().opens(old).await, "a revoked key came back by a kill at {moment:?}");
        self.holds(&[&new]).await;
        new
    }

    /// The server dies over and over while an old key comes to its end.
    async fn end_of_grace(&mut self, old: KeyFile) {
        let rotation = text(&self.access().rotate("3s").await, "/id");
        let new = self.access().download().await;
        for life in lives([600, 200, 1_200]) {
            let path = format!("/api/rotations/{rotation}");
            let over = async || self.world.keywright.get(&path).await.json["graceEndedAt"].is_string();
            eventually(Duration::from_millis(life), over).await;
            self.world.keywright.kill9().await;
            self.world.keywright.restart().await.unwrap();
        }
        let path = format!("/api/rotations/{rotation}");
        self.world.keywright.wait_for(&path, LIMIT, |it| it["graceEndedAt"].is_string()).await;
        assert!(!self.access().opens(&old).await, "the old key still logs in after its grace");
        self.holds(&[&new]).await;
    }

    async fn revoke(&mut self) {
        let key = self.access().try_download().await;
        assert_eq!(key.reason(), "KEY_ALREADY_DOWNLOADED", "{}", key.json);
        let body = json!({"confirmation": {"accessId": self.access().id}});
        let started = self.world.owner().post(&self.access().path("/revoke"), body).await.success();
        for life in lives([50, 0, 150]) {
            let path = format!("/api/revocations/{}", text(&started, "/id"));
            let over = async || self.world.keywright.get(&path).await.json["state"] == "succeeded";
            eventually(Duration::from_millis(life), over).await;
            self.world.keywright.kill9().await;
            self.world.keywright.restart().await.unwrap();
        }
        let path = format!("/api/revocations/{}", text(&started, "/id"));
        let ended = self.world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;
        assert_eq!(ended["hosts"][0]["state"], "REMOVED_PROVEN", "{ended}");
        self.holds(&[]).await;
    }

    /// These keys log in, one version is in use at most, and nothing lies about.
    async fn holds(&self, keys: &[&KeyFile]) {
        for key in keys {
            assert!(self.access().opens(key).await);
        }
        let show = self.access().show().await;
        let lines = show["hosts"][0]["lines"].as_array().unwrap();
        let newest = |line: &&Value| line["version"] == show["version"];
        let in_use: Vec<&Value> =
            lines.iter().filter(newest).filter(|line| line["state"] == "installed").collect();
        assert_eq!(in_use.len(), usize::from(!keys.is_empty()), "{show}");
        assert_eq!(without_ours(&self.world, ACCOUNT), self.foreign);
        let folder = self.world.host.outside("/home").join(ACCOUNT).join(".ssh");
        let beside = files_below(&folder).into_iter().filter(|file| !file.ends_with("authorized_keys"));
        assert_eq!(beside.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
        let private = b"OPENSSH PRIVATE KEY";
        for file in files_below(&self.world.keywright.data_dir()) {
            let bytes = std::fs::read(&file).unwrap_or_default();
            assert!(!bytes.windows(private.len()).any(|at| at == private), "{}", file.display());
        }
    }
}
