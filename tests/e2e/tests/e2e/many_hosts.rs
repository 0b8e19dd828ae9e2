//! One key on three real hosts, one of which is down for a while: all of them or none by default, left behind by policy;
//! hosts that come and go; the end of an access. By the shipped command.

use keywright_e2e::world::{manage, register, start_host};
use keywright_e2e::{Access, KeyFile, LIMIT, Sshd, World, text};
use keywright_kit::{TestHost, ssh};
use reqwest::Method;
use serde_json::{Value, json};

struct Three {
    world: World,
    /// Beside the world's own OpenSSH: another, and Dropbear.
    others: [TestHost; 2],
    /// Of the world's own and of the others.
    servers: [String; 3],
}

impl Three {
    async fn new() -> Self {
        let world = World::embedded().await;
        let others = [start_host(Sshd::OpenSsh).await, start_host(Sshd::Dropbear).await];
        let mut servers = vec![world.server.clone()];
        for (host, name) in others.iter().zip(["web-2", "web-3"]) {
            host.write_authorized_keys("root", format!("{}\n", world.bootstrap.public_line()));
            let server = register(&world.keywright, &world.tenant, host, name).await;
            manage(&world.keywright, &server, &world.bootstrap).await;
            servers.push(server);
        }
        Self { world, others, servers: servers.try_into().unwrap() }
    }

    async fn provision(&self, servers: &[String]) -> Access<'_> {
        let path = format!("/api/tenants/{}/ssh-access", self.world.tenant);
        let body = json!({"serverIds": servers, "createAccount": true});
        let started = self.world.keywright.post(&path, body).await.success();
        let access = Access::new(&self.world, &started);
        access.finished(&text(&started, "/recentRotations/0/id")).await;
        access
    }

    fn hosts(&self) -> [&TestHost; 3] {
        [&self.world.host, &self.others[0], &self.others[1]]
    }

    /// On which of the hosts the key opens the account.
    async fn opened_by(&self, account: &str, key: &KeyFile) -> [bool; 3] {
        let [a, b, c] = self.hosts().map(async |host| {
            let output = ssh(host, account, &key.path(), "id -un").await;
            assert!(output.ok() || output.stderr.contains("Permission denied"), "{output:?}");
            output.ok()
        });
        tokio::join!(a, b, c).into()
    }

    async fn becomes(&self, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.world.keywright.wait_for(path, LIMIT, holds).await
    }

    /// `keywright access …` of the operator, as JSON.
    async fn command(&self, verb: &str, access: &Access<'_>, rest: &[&str]) -> Value {
        let mut arguments = vec!["access", verb, &access.id, "--tenant", &self.world.tenant, "-o", "json"];
        arguments.extend(rest);
        serde_json::from_str(&self.world.keywright.cli(&arguments).await.success()).unwrap()
    }
}

#[tokio::test]
async fn by_default_a_host_that_is_down_leaves_the_old_key_everywhere() {
    let it = Three::new().await;
    let access = it.provision(&it.servers).await;
    let key = access.download().await;
    it.others[0].stop_server().await;

    let rotation = access.start_rotation(json!({"gracePeriod": "3600s"})).await;
    let ended = it.becomes(&format!("/api/rotations/{rotation}"), |it| it["state"] == "failed").await;

    assert_eq!(ended["reason"], "HOST_UNREACHABLE", "{ended}");
    it.others[0].start_server().await;
    assert_eq!(it.opened_by(&access.account, &key).await, [true; 3]);
    assert_eq!(access.show().await["version"], 1);
}

#[tokio::test]
async fn by_policy_a_host_that_is_down_is_left_behind_with_its_key_and_catches_up() {
    let it = Three::new().await;
    let access = it.provision(&it.servers).await;
    let old = access.download().await;
    let policy = format!("/api/policies/tenants/{}", it.world.tenant);
    let body = json!({"policy": {"promoteWithOutstanding": true}});
    it.world.keywright.operator().send(Method::PUT, &policy, Some(body), &[]).await.success();
    it.others[0].stop_server().await;

    let rotation = format!("/api/rotations/{}", access.start_rotation(json!({"gracePeriod": "5s"})).await);
    let converging = it.becomes(&rotation, |it| it["state"] == "converging").await;

    assert_eq!(converging["outstandingServerIds"], json!([it.servers[1]]), "{converging}");
    let new = access.download().await;
    // The grace ends where it can, long before the host comes back.
    let ended = |it: &Value| {
        let lines = [0, 2].map(|host| it["hosts"][host]["lines"][1]["state"] == "removed_proven");
        lines == [true; 2]
    };
    it.becomes(&access.path(""), ended).await;
    it.others[0].start_server().await;
    assert!(ssh(&it.others[0], &access.account, &old.path(), "true").await.ok(), "its holder was locked out");

    it.becomes(&rotation, |it| it["state"] == "succeeded" && it["graceEndedAt"].is_string()).await;
    assert_eq!(it.opened_by(&access.account, &new).await, [true; 3]);
    assert_eq!(it.opened_by(&access.account, &old).await, [false; 3]);
}

#[tokio::test]
async fn hosts_come_and_go_and_the_access_ends() {
    let it = Three::new().await;
    let access = it.provision(&it.servers[..1]).await;
    let old = access.download().await;
    access.rotate("3600s").await;
    let key = access.download().await;

    let added = it.command("add-host", &access, &["--server", &it.servers[2], "--create-account"]).await;
    assert_eq!((&added["kind"], &added["state"]), (&json!("add_host"), &json!("succeeded")), "{added}");
    assert_eq!(it.opened_by(&access.account, &key).await, [true, false, true]);
    assert_eq!(it.opened_by(&access.account, &old).await, [true, false, true], "the grace holds there too");

    let confirm = ["--confirm", access.id.as_str()];
    let removal = [&["--server", it.servers[0].as_str()], &confirm[..]].concat();
    let removed = it.command("remove-host", &access, &removal).await;
    assert_eq!(
        (&removed["kind"], &removed["state"]),
        (&json!("remove_host"), &json!("succeeded")),
        "{removed}"
    );
    assert_eq!(it.opened_by(&access.account, &key).await, [false, false, true]);
    let last = [
        &["access", "remove-host", &access.id, "--tenant", &it.world.tenant, "--server", &it.servers[2]],
        &confirm[..],
    ]
    .concat();
    let refused = it.world.keywright.cli(&last).await;
    assert!(!refused.ok() && refused.stderr.contains("LAST_HOST"), "{refused:?}");

    let path = format!("/api/tenants/{}/ssh-access", it.world.tenant);
    let same = json!({"serverIds": [it.servers[2]], "account": access.account});
    assert_eq!(it.world.keywright.post(&path, same.clone()).await.reason(), "ACCOUNT_NOT_ALLOWED");
    let ended = it.command("deprovision", &access, &confirm).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(it.opened_by(&access.account, &key).await, [false; 3]);
    let shown = access.show().await;
    assert!(shown["deprovisionedAt"].is_string() && shown["status"] == "revoked", "{shown}");
    let again = it.command("deprovision", &access, &confirm).await;
    assert_eq!(again["id"], ended["id"]);
    it.world.keywright.post(&path, same).await.success();
}
