//! Keywright's own key on a server is replaced: by command, while the server is killed, and its predecessor leaves when a
//! backup holds the new one.

use keywright_e2e::backup::{Place, Vault, succeeded};
use keywright_e2e::{LIMIT, Sshd, Stores, World, text};
use keywright_kit::eventually;
use serde_json::{Value, json};

/// Root's key lines that are not root's own.
fn own_lines(world: &World) -> usize {
    let file = String::from_utf8(world.host.read_authorized_keys("root").unwrap()).unwrap();
    file.lines().filter(|line| line.starts_with("ssh-")).count() - 1
}

fn path(world: &World) -> String {
    format!("/api/servers/{}/management", world.server)
}

async fn shown(world: &World) -> Value {
    world.keywright.get(&path(world)).await.success()
}

async fn leaves_after_a_backup(world: World) {
    let before = text(&shown(&world).await, "/fingerprint");
    let rotate = ["server", "rotate-management", &world.server, "--confirm", &world.server];
    let rotated = world.keywright.cli(&rotate).await;
    assert!(rotated.ok() && rotated.stdout.contains("LOGIN accepted"), "{rotated:?}");
    let after = shown(&world).await;
    assert_ne!(text(&after, "/fingerprint"), before);
    assert_eq!(after["predecessors"][0]["fingerprint"], before.as_str());
    assert_eq!(own_lines(&world), 2, "both stand");

    let vault = Vault::new();
    succeeded(&vault.backup(&Place::of(&world.keywright, world.database.as_deref()), "one"));
    let gone = |it: &Value| !it["predecessors"][0]["removedAt"].is_null();
    world.keywright.wait_for(&path(&world), LIMIT, gone).await;
    assert_eq!(own_lines(&world), 1);
    let told = world.keywright.cli(&["server", "management", &world.server]).await;
    assert!(told.ok() && told.stdout.contains("Keys that it replaced"), "{told:?}");
    // The key in use manages: an access comes and works.
    let access = world.provision().await;
    assert!(access.opens(&access.download().await).await);
}

#[tokio::test]
async fn a_predecessor_leaves_an_openssh_host_after_a_backup() {
    leaves_after_a_backup(World::new(Stores::Embedded, Sshd::OpenSsh).await).await;
}

#[tokio::test]
async fn a_predecessor_leaves_a_dropbear_host_after_a_backup() {
    leaves_after_a_backup(World::new(Stores::Embedded, Sshd::Dropbear).await).await;
}

#[tokio::test]
async fn a_killed_rotation_ends_with_one_key_in_use() {
    let mut world = World::embedded().await;
    let mut lines = own_lines(&world);
    for promoted in [false, true] {
        let before = text(&shown(&world).await, "/managementKeyId");
        let body = json!({"confirmation": {"serverId": world.server}});
        let rotate = format!("{}/rotate", path(&world));
        let operator = world.keywright.operator();
        let asked =
            tokio::spawn(async move { operator.send(reqwest::Method::POST, &rotate, Some(body), &[]).await });
        let reached = if promoted {
            eventually(LIMIT, async || text(&shown(&world).await, "/managementKeyId") != before).await
        } else {
            eventually(LIMIT, async || own_lines(&world) > lines).await
        };
        assert!(reached, "{}", world.keywright.logs());
        world.keywright.kill9().await;
        asked.abort();
        world.keywright.restart().await.unwrap();
        let other = |it: &Value| text(it, "/managementKeyId") != before;
        world.keywright.wait_for(&path(&world), LIMIT, other).await;
        lines += 1;
        assert_eq!(own_lines(&world), lines, "the new one, and every predecessor");
    }
    let access = world.provision().await;
    assert!(access.opens(&access.download().await).await, "the key in use manages");
}
