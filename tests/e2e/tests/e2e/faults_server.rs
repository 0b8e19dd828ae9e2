//! What is done to a server as a whole is killed in the middle of every transaction that it records: its coming under
//! management, another management key, its release. Afterwards one key of Keywright's is in use or none is left, asked
//! again the same succeeds, and root's own lines and the tenants' keys are as they were.

use keywright_e2e::gates::{Gate, Gates};
use keywright_e2e::world::ROOTS_OWN_LINE;
use keywright_e2e::{Access, LIMIT, Sshd, Stores, World, text};
use keywright_kit::eventually;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

/// A write: its name, what is written, and how the row then is.
type Moment = (&'static str, &'static str, &'static str);

const BEGUN: Moment = ("begun", "INSERT ON management", "TRUE");
const KEY_MADE: Moment = ("key made", "UPDATE OF public_key ON management", "NEW.public_key IS NOT NULL");
const EDIT_BEGINS: Moment = ("edit begins", "UPDATE OF edit_revision ON management", "TRUE");
const INSTALLED: Moment = ("installed", "UPDATE OF step ON management", "NEW.step = 'PROVE'");
const PROVEN: Moment = ("proven", "UPDATE OF receipt ON management", "NEW.receipt IS NOT NULL");
const COUNTS: Moment = ("counts", "UPDATE OF state ON management", "NEW.state = 'SUCCEEDED'");
const RELEASE_BEGUN: Moment = ("release begun", "INSERT ON server_release", "TRUE");
const LINE_GONE: Moment = ("line gone", "UPDATE OF removed_at ON management", "NEW.removed_at IS NOT NULL");
const REFUSED: Moment = ("refused", "UPDATE OF refused ON server_release", "NEW.refused IS NOT NULL");
const RELEASED: Moment = ("released", "UPDATE OF state ON server_release", "NEW.state = 'SUCCEEDED'");

struct Scene {
    world: World,
    gates: Gates,
}

impl Scene {
    async fn set(sshd: Sshd) -> Self {
        let world = World::new(Stores::External, sshd).await;
        let gates = Gates::of(&world).await;
        Self { world, gates }
    }

    fn management(&self) -> String {
        format!("/api/servers/{}/management", self.world.server)
    }

    /// Asks; the server is killed when it comes to the gate, and started again.
    async fn killed_at(&mut self, (name, on, when): Moment, asked: (&str, Value)) {
        let held = self.gates.hold(&self.world.server, &Gate::write(name, on, when)).await;
        let (operator, path, body) = (self.world.keywright.operator(), asked.0.to_owned(), asked.1);
        let request = tokio::spawn(async move { operator.send(Method::POST, &path, Some(body), &[]).await });
        let met = eventually(LIMIT, async || held.is_met().await).await;
        assert!(met, "{name}: it never came there\n{}", self.world.keywright.logs());
        self.world.keywright.kill9().await;
        request.abort();
        held.let_go().await;
        self.world.keywright.restart().await.unwrap();
    }

    /// Whoever was killed may hold it for a moment yet.
    async fn asked_again(&self, path: &str, body: &Value) -> Value {
        let begun = Instant::now();
        loop {
            let answer = self.world.keywright.post(path, body.clone()).await;
            if answer.reason() != "REQUEST_IN_PROGRESS" || begun.elapsed() > LIMIT {
                return answer.success();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Root's lines that are Keywright's; what else he has is as it was.
    fn own_lines(&self) -> usize {
        let file = String::from_utf8(self.world.host.read_authorized_keys("root").unwrap()).unwrap();
        let roots = format!("{ROOTS_OWN_LINE}{}\n", self.world.bootstrap.public_line());
        assert!(file.starts_with(&roots), "{file}");
        file[roots.len()..].lines().filter(|line| line.starts_with("ssh-")).count()
    }

    /// The key in use, and those that it replaced and that still stand.
    async fn assert_what_is_shown_stands(&self, when: &str) {
        let agree = eventually(LIMIT, async || {
            let shown = self.world.keywright.get(&self.management()).await.success();
            let standing = shown["predecessors"].as_array().unwrap().iter();
            let standing = standing.filter(|former| former["removedAt"].is_null()).count();
            self.own_lines() == 1 + standing
        });
        assert!(agree.await, "{when}: {} lines stand\n{}", self.own_lines(), self.world.keywright.logs());
    }
}

async fn management_key_is_replaced(sshd: Sshd, moments: &[Moment]) {
    let mut scene = Scene::set(sshd).await;
    let path = format!("{}/rotate", scene.management());
    let body = json!({"confirmation": {"serverId": scene.world.server}});
    for moment in moments {
        let shown = scene.world.keywright.get(&scene.management()).await.success();
        let before = text(&shown, "/managementKeyId");
        scene.killed_at(*moment, (&path, body.clone())).await;
        if *moment != BEGUN {
            // Nobody has to ask again.
            let other = |it: &Value| text(it, "/managementKeyId") != before;
            scene.world.keywright.wait_for(&scene.management(), LIMIT, other).await;
        }
        scene.assert_what_is_shown_stands(moment.0).await;
    }
    scene.asked_again(&path, &body).await;
    scene.assert_what_is_shown_stands("at the end").await;
    let access = scene.world.provision().await;
    assert!(access.opens(&access.download().await).await, "the key in use manages");
}

async fn server_is_released(sshd: Sshd, moments: &[Moment]) {
    let mut scene = Scene::set(sshd).await;
    let operator = scene.world.keywright.operator();
    let saved = json!({
        "tenantId": scene.world.tenant, "name": "root of web-1", "username": "root",
        "privateKey": scene.world.bootstrap.private_text(),
    });
    let credential = text(&operator.post("/api/credentials/ssh", saved).await.success(), "/id");
    let bind = json!({"credentialId": credential, "skipTest": true});
    operator.post(&format!("/api/servers/{}/credentials", scene.world.server), bind).await.success();
    let path = format!("/api/servers/{}/release", scene.world.server);
    let body = json!({"confirmation": {"serverId": scene.world.server}});
    for moment in moments {
        let access = scene.world.provision().await;
        let key = access.download().await;
        let shown = access.show().await;
        scene.killed_at(*moment, (&path, body.clone())).await;
        if *moment != RELEASE_BEGUN {
            let released = eventually(LIMIT, async || {
                scene.world.keywright.get(&scene.management()).await.reason() == "SERVER_NOT_MANAGED"
            });
            assert!(released.await, "{}: {}", moment.0, scene.world.keywright.logs());
        }
        let told = scene.asked_again(&path, &body).await;
        assert_eq!(scene.own_lines(), 0, "{}: {told}", moment.0);
        assert!(
            Access::new(&scene.world, &shown).opens(&key).await,
            "{}: the tenant's key goes on working",
            moment.0
        );
        keywright_e2e::world::manage(&scene.world.keywright, &scene.world.server, &scene.world.bootstrap)
            .await;
    }
}

async fn server_comes_under_management(sshd: Sshd, moments: &[Moment]) {
    let mut scene = Scene::set(sshd).await;
    let path = scene.management();
    let bootstrap = json!({"bootstrapCredential": {"privateKey": scene.world.bootstrap.private_text(), "username": "root"}});
    for moment in moments {
        scene.killed_at(*moment, (&path, bootstrap.clone())).await;
        // Its request would have ended long ago.
        scene.gates.make_due(&scene.world.server).await;
        scene.asked_again(&path, &bootstrap).await;
        scene.assert_what_is_shown_stands(moment.0).await;
    }
    let access = scene.world.provision().await;
    assert!(access.opens(&access.download().await).await, "the key in use manages");
}

#[tokio::test]
async fn a_management_key_whose_rotation_is_killed_is_replaced() {
    management_key_is_replaced(Sshd::OpenSsh, &[EDIT_BEGINS, PROVEN, COUNTS]).await;
}

#[tokio::test]
async fn a_release_that_is_killed_leaves_the_tenants_keys_alone() {
    server_is_released(Sshd::OpenSsh, &[LINE_GONE, RELEASED]).await;
}

#[tokio::test]
async fn a_server_whose_first_key_is_killed_comes_under_management() {
    server_comes_under_management(Sshd::OpenSsh, &[KEY_MADE, COUNTS]).await;
}

mod whole_matrix {
    use super::*;

    const BOTH: [Sshd; 2] = [Sshd::OpenSsh, Sshd::Dropbear];

    #[tokio::test]
    async fn a_management_key_whose_rotation_is_killed_is_replaced() {
        for sshd in BOTH {
            let moments = [BEGUN, KEY_MADE, EDIT_BEGINS, INSTALLED, PROVEN, COUNTS];
            management_key_is_replaced(sshd, &moments).await;
        }
    }

    #[tokio::test]
    async fn a_release_that_is_killed_leaves_the_tenants_keys_alone() {
        for sshd in BOTH {
            server_is_released(sshd, &[RELEASE_BEGUN, EDIT_BEGINS, LINE_GONE, REFUSED, RELEASED]).await;
        }
    }

    #[tokio::test]
    async fn a_server_whose_first_key_is_killed_comes_under_management() {
        for sshd in BOTH {
            server_comes_under_management(sshd, &[BEGUN, KEY_MADE, COUNTS]).await;
        }
    }
}
