//! Of two replicas one is stopped while its edit of a host is under way, with the script on the host held up at a stage. The
//! other takes the work over and ends it, or revokes; then everything old wakes up, and changes nothing.

use keywright_e2e::access::has_ended;
use keywright_e2e::authorized_keys::{foreign_lines, without_ours};
use keywright_e2e::drawn::Drawn;
use keywright_e2e::held_script::{HeldScript, STAGES, Stage};
use keywright_e2e::world::options;
use keywright_e2e::{Access, KeyFile, LIMIT, Sshd, Stores, World, text};
use keywright_kit::{KeyType, Keywright, eventually, keygen};
use serde_json::{Value, json};

const ACCOUNT: &str = "deploy";

/// At one stage, which a seed draws.
#[tokio::test]
async fn a_replica_that_wakes_up_within_its_script_changes_nothing() {
    let stage = Drawn::new().of(&STAGES, 1)[0];
    println!("held up at {}", stage.name);
    let mut scene = Scene::set(Sshd::OpenSsh).await;
    scene.rotation_taken_over(stage).await;
    scene.revoked_meanwhile(stage).await;
}

/// For `tests/run --full` alone.
mod whole_matrix {
    use super::{STAGES, Scene, Sshd};

    #[tokio::test]
    async fn a_replica_that_wakes_up_at_any_stage_of_its_script_changes_nothing() {
        for sshd in [Sshd::OpenSsh, Sshd::Dropbear] {
            let mut scene = Scene::set(sshd).await;
            for stage in STAGES {
                scene.rotation_taken_over(stage).await;
                scene.revoked_meanwhile(stage).await;
            }
        }
    }
}

/// A file without comments of ours: a replica that does its work again writes a marker at most.
fn keys(file: &str) -> Vec<&str> {
    file.lines().filter(|line| !line.starts_with("# keywright:")).collect()
}

struct Scene {
    /// With the replica that stays.
    world: World,
    /// The one that is held up.
    old: Keywright,
    _folder: tempfile::TempDir,
    foreign: String,
    provisioned: Value,
    key: KeyFile,
}

impl Scene {
    async fn set(sshd: Sshd) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (options, database) = options(Stores::External).await;
        let options = options.data_dir(&folder.path().join("data"));
        let world = World::with(options.clone(), database, sshd).await;
        let old = Keywright::start(options).await.unwrap();
        let friend = keygen(KeyType::Ed25519, "").await.unwrap();
        let foreign = foreign_lines(&friend.public_line(), sshd);
        let provisioned = world.provision_existing(ACCOUNT, &foreign).await.show().await;
        let key = Access::new(&world, &provisioned).download().await;
        HeldScript::on(&world.host).await;
        Self { world, old, _folder: folder, foreign, provisioned, key }
    }

    fn access(&self) -> Access<'_> {
        Access::new(&self.world, &self.provisioned)
    }

    fn file(&self) -> String {
        String::from_utf8(self.world.host.read_authorized_keys(ACCOUNT).unwrap()).unwrap()
    }

    /// A rotation that the old replica drives, until its edit of the host is held up there; then the replica is stopped too.
    async fn held_at(&self, held: &HeldScript<'_>, stage: Stage) -> String {
        self.world.keywright.pause().await;
        held.stops_at(stage).await;
        let body = json!({
            "confirmation": {"accessId": self.access().id}, "gracePeriod": "3600s", "dropGraceKey": true
        });
        let owner = self.old.caller(&self.world.owner_token);
        // Where the replica that stays was stopped within a transaction, its locks last as long as the database lets them.
        let (path, mut started) = (self.access().path("/rotate"), Value::Null);
        let accepted = eventually(LIMIT, async || {
            let answer = owner.post(&path, body.clone()).await;
            let waits = answer.status == 503;
            if !waits {
                started = answer.success();
            }
            !waits
        });
        assert!(accepted.await, "{}: the log never answered", stage.name);
        held.has_stopped().await;
        held.hours_go_by().await;
        self.old.pause().await;
        self.world.keywright.resume().await;
        text(&started, "/id")
    }

    /// Everything old goes on, and is seen to have come to an end.
    async fn wakes_up(&self, held: &HeldScript<'_>, stage: Stage) {
        let (file, shown) = (self.file(), self.access().show().await);
        held.goes_on().await;
        assert_eq!(self.file(), file, "{}: the old script changed it", stage.name);
        let noticed = || {
            let log = self.old.logs();
            log.matches("the lease was lost").count() + log.matches("a step failed").count()
        };
        let before = noticed();
        self.old.resume().await;
        let told = eventually(LIMIT, async || noticed() > before).await;
        assert!(told, "{}: it never noticed: {}", stage.name, self.old.logs());
        held.is_over().await;
        assert_eq!(keys(&self.file()), keys(&file), "{}", stage.name);
        assert_eq!(without_ours(&self.world, ACCOUNT), self.foreign, "{}", stage.name);
        let now = self.access().show().await;
        assert_eq!((&now["hosts"], &now["status"]), (&shown["hosts"], &shown["status"]), "{}", stage.name);
        let beside = self.world.host.exec(&["ls", "-A", "/home/deploy/.ssh"]).await.success();
        assert_eq!(beside, "authorized_keys\n", "{}", stage.name);
    }

    async fn rotation_taken_over(&mut self, stage: Stage) {
        let held = HeldScript::of(&self.world.host);
        let rotation = self.held_at(&held, stage).await;
        let path = format!("/api/rotations/{rotation}");
        let ended = self.world.keywright.wait_for(&path, LIMIT, has_ended).await;
        assert_eq!(ended["state"], "succeeded", "{}: {ended}", stage.name);
        let new = self.access().download().await;

        self.wakes_up(&held, stage).await;

        assert!(self.access().opens(&new).await && self.access().opens(&self.key).await, "{}", stage.name);
        self.key = new;
    }

    async fn revoked_meanwhile(&mut self, stage: Stage) {
        let held = HeldScript::of(&self.world.host);
        let rotation = self.held_at(&held, stage).await;
        let revocation = self.access().revoke(json!({})).await;
        assert_eq!(revocation["hosts"][0]["state"], "REMOVED_PROVEN", "{}: {revocation}", stage.name);

        self.wakes_up(&held, stage).await;

        let path = format!("/api/rotations/{rotation}");
        self.world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "superseded").await;
        let ours = |line: &&str| line.contains("keywright:acc_") && !line.starts_with('#');
        assert_eq!(self.file().lines().find(ours), None, "{}", stage.name);
        assert!(!self.access().opens(&self.key).await, "{}", stage.name);
        self.access().regenerate().await;
        self.key = self.access().download().await;
        assert!(self.access().opens(&self.key).await, "{}", stage.name);
    }
}
