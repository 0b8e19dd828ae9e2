//! Disks that are full: the account's, in bytes and in inodes, and Keywright's own. Before the promotion the work fails with
//! its reason and an untouched file; after it, and for a revocation, it goes on once there is room.

use keywright_e2e::access::has_ended;
use keywright_e2e::authorized_keys::{foreign_lines, foreign_on};
use keywright_e2e::world::{manage, register, start_host};
use keywright_e2e::{Access, KeyFile, LIMIT, Sshd, Stores, World, text};
use keywright_kit::{KeyType, KeywrightOptions, SmallDisk, TestHost, eventually, keygen, ssh};
use serde_json::{Value, json};

const ACCOUNT: &str = "dora";
const FULL: &str = "HOST_FILE_DISK_FULL";

/// Of what a disk has none left.
#[derive(Debug, Clone, Copy)]
enum Lack {
    Bytes,
    Inodes,
}

#[tokio::test]
async fn a_rotation_on_a_full_disk_leaves_the_file_untouched() {
    Scene::set(Sshd::OpenSsh, Lack::Bytes).await.rotation_fails().await;
}

#[tokio::test]
async fn a_grace_and_a_revocation_on_a_full_disk_end_once_there_is_room() {
    let scene = Scene::set(Sshd::OpenSsh, Lack::Inodes).await;
    scene.ends_once_there_is_room().await;
}

#[tokio::test]
async fn nothing_is_lost_while_keywrights_own_disk_is_full() {
    keywrights_own(Sshd::OpenSsh).await;
}

/// For `tests/run --full` alone.
mod whole_matrix {
    use super::{Lack, Scene, Sshd, keywrights_own};

    #[tokio::test]
    async fn work_on_a_full_disk_fails_untouched_or_waits_for_room() {
        for sshd in [Sshd::OpenSsh, Sshd::Dropbear] {
            for lack in [Lack::Bytes, Lack::Inodes] {
                let scene = Scene::set(sshd, lack).await;
                scene.rotation_fails().await;
                scene.further_host_fails().await;
                scene.ends_once_there_is_room().await;
            }
        }
    }

    #[tokio::test]
    async fn nothing_is_lost_while_keywrights_own_disk_is_full() {
        keywrights_own(Sshd::Dropbear).await;
    }
}

/// A small disk of a host, with the home of an account.
struct Home<'a> {
    host: &'a TestHost,
    foreign: &'a str,
    lack: Lack,
}

impl Home<'_> {
    /// What stands in the account's file.
    async fn make(host: &TestHost, sshd: Sshd) -> String {
        let mount = ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=64,mode=755", "tmpfs", "/srv"];
        host.exec(&mount).await.success();
        host.add_user_on_small_disk(ACCOUNT);
        let friend = keygen(KeyType::Ed25519, "").await.unwrap();
        let foreign = foreign_lines(&friend.public_line(), sshd);
        host.write_authorized_keys(ACCOUNT, &foreign);
        foreign
    }

    async fn is_full(&self) {
        match self.lack {
            Lack::Bytes => self.host.fill_small_disk().await,
            Lack::Inodes => {
                let files =
                    "mkdir /srv/filler; n=0; while : >/srv/filler/$n; do n=$((n + 1)); done 2>/dev/null";
                self.host.exec(&["sh", "-c", files]).await;
            }
        }
    }

    async fn has_room(&self) {
        self.host.exec(&["rm", "-rf", "/srv/filler"]).await.success();
    }

    fn file(&self) -> Vec<u8> {
        self.host.read_authorized_keys(ACCOUNT).unwrap()
    }

    async fn is_opened_by(&self, key: &KeyFile) -> bool {
        let output = ssh(self.host, ACCOUNT, &key.path(), "true").await;
        assert!(output.ok() || output.stderr.contains("Permission denied"), "{output:?}");
        output.ok()
    }

    async fn is_tidy(&self) {
        assert_eq!(foreign_on(self.host, ACCOUNT), self.foreign);
        assert_eq!(self.host.exec(&["ls", "-A", "/srv/dora/.ssh"]).await.stdout, "authorized_keys\n");
    }
}

struct Scene {
    world: World,
    lack: Lack,
    foreign: String,
    provisioned: Value,
    key: KeyFile,
}

impl Scene {
    async fn set(sshd: Sshd, lack: Lack) -> Self {
        let world = World::new(Stores::Embedded, sshd).await;
        let foreign = Home::make(&world.host, sshd).await;
        let path = format!("/api/tenants/{}/ssh-access", world.tenant);
        let body = json!({"serverIds": [world.server], "account": ACCOUNT});
        let provisioned = world.keywright.post(&path, body).await.success();
        let access = Access::new(&world, &provisioned);
        access.finished(&text(&provisioned, "/recentRotations/0/id")).await;
        let key = access.download().await;
        Self { lack, foreign, provisioned, key, world }
    }

    fn access(&self) -> Access<'_> {
        Access::new(&self.world, &self.provisioned)
    }

    fn home(&self) -> Home<'_> {
        Home { host: &self.world.host, foreign: &self.foreign, lack: self.lack }
    }

    /// What is started fails with its reason, and the file is what it was.
    async fn fails_untouched(&self, home: &Home<'_>, start: impl AsyncFn() -> String) {
        let before = home.file();
        home.is_full().await;
        let path = format!("/api/rotations/{}", start().await);
        let ended = self.world.keywright.wait_for(&path, LIMIT, has_ended).await;
        assert_eq!((&ended["state"], &ended["reason"]), (&json!("failed"), &json!(FULL)), "{ended}");
        assert_eq!(home.file(), before, "{ended}");
        home.has_room().await;
        home.is_tidy().await;
        let show = self.access().show().await;
        assert_eq!((&show["activity"], &show["version"]), (&json!("none"), &json!(1)), "{show}");
    }

    async fn rotation_fails(&self) {
        let home = self.home();
        let start = async || self.access().start_rotation(json!({"gracePeriod": "3600s"})).await;
        self.fails_untouched(&home, start).await;
        assert!(home.is_opened_by(&self.key).await);
    }

    async fn further_host_fails(&self) {
        let further = start_host(self.world.sshd).await;
        further.write_authorized_keys("root", format!("{}\n", self.world.bootstrap.public_line()));
        let keywright = &self.world.keywright;
        let server = register(keywright, &self.world.tenant, &further, "web-2").await;
        manage(keywright, &server, &self.world.bootstrap).await;
        let foreign = Home::make(&further, self.world.sshd).await;
        let home = Home { host: &further, foreign: &foreign, lack: self.lack };
        let start = async || {
            let body = json!({"serverId": server});
            text(&keywright.post(&self.access().path("/hosts"), body).await.success(), "/id")
        };
        self.fails_untouched(&home, start).await;
        assert!(!home.is_opened_by(&self.key).await && self.home().is_opened_by(&self.key).await);
    }

    async fn ends_once_there_is_room(&self) {
        let (home, keywright) = (self.home(), &self.world.keywright);
        let path = format!("/api/rotations/{}", text(&self.access().rotate("8s").await, "/id"));
        let new = self.access().download().await;
        home.is_full().await;
        let waits = |it: &Value| {
            let steps = it["steps"].as_array().unwrap();
            steps.iter().any(|step| step["name"] == "remove_old" && step["reason"] == FULL)
        };
        let waiting = keywright.wait_for(&path, LIMIT, waits).await;
        assert!(waiting["graceEndedAt"].is_null() && home.is_opened_by(&new).await, "{waiting}");
        home.has_room().await;
        keywright.wait_for(&path, LIMIT, |it| it["graceEndedAt"].is_string()).await;
        assert!(!home.is_opened_by(&self.key).await);
        home.is_tidy().await;

        home.is_full().await;
        let before = home.file();
        let body = json!({"confirmation": {"accessId": self.access().id}});
        let started = self.world.owner().post(&self.access().path("/revoke"), body).await.success();
        let path = format!("/api/revocations/{}", text(&started, "/id"));
        let tried = |it: &Value| it["hosts"][0]["attempts"].as_i64() > Some(1);
        let waiting = keywright.wait_for(&path, LIMIT, tried).await;
        let host = &waiting["hosts"][0];
        assert_eq!((&host["state"], &host["reason"]), (&json!("REMOVAL_PENDING"), &json!(FULL)), "{waiting}");
        assert!(host["exposedMinutes"].as_i64() > Some(0), "{waiting}");
        assert_eq!(home.file(), before, "{waiting}");
        home.has_room().await;
        let ended = keywright.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;
        assert_eq!(ended["hosts"][0]["state"], "REMOVED_PROVEN", "{ended}");
        assert!(!home.is_opened_by(&new).await);
        home.is_tidy().await;
    }
}

/// Nothing can be recorded: what is asked for is refused at once, what is under way waits.
async fn keywrights_own(sshd: Sshd) {
    let disk = SmallDisk::new("24m").unwrap();
    let options = KeywrightOptions::default().data_dir(&disk.path().join("data"));
    let mut world = World::with(options, None, sshd).await;
    let shown = world.provision().await.show().await;
    let access = Access::new(&world, &shown);
    let key = access.download().await;

    disk.fill();
    // What was written before leaves some room in the files that are there.
    let mut refusal = None;
    while refusal.is_none() {
        let answer = world.keywright.post("/api/tenants", json!({"name": "One more"})).await;
        refusal = (answer.status != 200).then_some(answer);
    }
    for refusal in [refusal.unwrap(), access.try_rotate(json!({"gracePeriod": "3600s"})).await] {
        assert_eq!((refusal.status, refusal.reason()), (503, "AUDIT_UNAVAILABLE"), "{}", refusal.json);
        assert!(refusal.headers.contains_key("retry-after"), "{:?}", refusal.headers);
    }
    assert_eq!(access.show().await["status"], "active");
    assert!(access.opens(&key).await);
    // Killed and started over it has lost nothing, whether or not it comes up without room.
    world.keywright.kill9().await;
    disk.free();
    world.keywright.restart().await.unwrap();
    let access = Access::new(&world, &shown);
    let now = access.show().await;
    assert_eq!((&now["version"], &now["status"]), (&shown["version"], &json!("active")), "{now}");

    let new = full_on_the_way(&world, &disk, &access, &key).await;
    let revocation = access.revoke(json!({})).await;
    assert_eq!(revocation["hosts"][0]["state"], "REMOVED_PROVEN", "{revocation}");
    assert!(!access.opens(&new).await);
    let path = format!("/api/audit/events?action=access.revoke&target={}&outcome=succeeded", access.id);
    world
        .keywright
        .wait_for(&path, LIMIT, |log| log["items"].as_array().is_some_and(|it| it.len() == 1))
        .await;
}

/// The disk fills up while a rotation is under way.
async fn full_on_the_way(world: &World, disk: &SmallDisk, access: &Access<'_>, old: &KeyFile) -> KeyFile {
    let rotation = access.start_rotation(json!({"gracePeriod": "3600s"})).await;
    disk.fill();
    let path = format!("/api/rotations/{rotation}");
    let stuck = || world.keywright.logs().matches("the database failed").count();
    let before = stuck();
    // Either it waits by now, or it was quicker than the disk.
    let waits =
        eventually(LIMIT, async || stuck() > before || has_ended(&world.keywright.get(&path).await.json));
    assert!(waits.await, "{}", world.keywright.logs());
    assert!(access.opens(old).await, "locked out by a full disk");
    disk.free();
    let ended = world.keywright.wait_for(&path, LIMIT, has_ended).await;
    assert!(access.opens(old).await, "{ended}");
    if ended["state"] == "failed" {
        assert!(ended["promotedAt"].is_null(), "{ended}");
        access.rotate("3600s").await;
    }
    let new = access.download().await;
    assert!(access.opens(&new).await, "{ended}");
    new
}
