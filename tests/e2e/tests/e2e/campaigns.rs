//! Campaigns by the command line over two real hosts: one goes down, one file cannot be written, an operator stops and
//! goes on, the server is killed in the middle.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use keywright_e2e::world::{manage, register, start_host};
use keywright_e2e::{LIMIT, Sshd, World, audit_log, text};
use keywright_kit::{KeyType, TestHost, eventually, keygen};
use serde_json::{Value, json};

/// A second host, and accesses on both.
struct Fleet {
    world: World,
    second: TestHost,
    /// Access ids: first those of the first host.
    accesses: Vec<String>,
}

impl Fleet {
    /// So many accesses on each of two hosts.
    async fn new(each: usize) -> Self {
        Self::of(World::embedded().await, each).await
    }

    async fn of(world: World, each: usize) -> Self {
        let second = start_host(Sshd::OpenSsh).await;
        let bootstrap = keygen(KeyType::Ed25519, "").await.unwrap();
        second.write_authorized_keys("root", format!("{}\n", bootstrap.public_line()));
        let server = register(&world.keywright, &world.tenant, &second, "web-2").await;
        manage(&world.keywright, &server, &bootstrap).await;
        let mut accesses = Vec::new();
        for (host, server) in [(&world.host, &world.server), (&second, &server)] {
            for n in 0..each {
                let account = format!("user{n}");
                host.add_user(&account);
                let body = json!({"serverIds": [server], "account": account});
                let path = format!("/api/tenants/{}/ssh-access", world.tenant);
                let started = world.keywright.post(&path, body).await.success();
                accesses.push(text(&started, "/id"));
            }
        }
        let fleet = Self { world, second, accesses };
        for access in &fleet.accesses {
            let provisioned = |it: &Value| it["version"] == 1 && it["activity"] == "none";
            fleet.world.keywright.wait_for(&fleet.path(access), LIMIT, provisioned).await;
        }
        fleet
    }

    fn path(&self, access: &str) -> String {
        format!("/api/tenants/{}/ssh-access/{access}", self.world.tenant)
    }

    /// The command as the operator, its answer as JSON.
    async fn admin(&self, arguments: &[&str]) -> Value {
        let all: Vec<&str> = ["-o", "json", "admin"].iter().chain(arguments).copied().collect();
        let output = self.world.keywright.cli(&all).await;
        assert!(output.ok(), "{arguments:?}: {output:?}");
        serde_json::from_str(&output.stdout).unwrap()
    }

    async fn start(&self, arguments: &[&str]) -> String {
        let all: Vec<&str> = ["rotate-all"].iter().chain(arguments).copied().collect();
        text(&self.admin(&all).await, "/id")
    }

    async fn reaches(&self, campaign: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/api/admin/campaigns/{campaign}");
        self.world.keywright.wait_for(&path, LIMIT, holds).await
    }

    async fn versions(&self) -> Vec<i64> {
        let mut versions = Vec::new();
        for access in &self.accesses {
            let shown = self.world.keywright.get(&self.path(access)).await.success();
            versions.push(shown["version"].as_i64().unwrap());
        }
        versions
    }
}

#[tokio::test]
async fn a_host_that_is_down_and_a_file_that_cannot_be_written_hold_up_nobody_else() {
    let fleet = Fleet::new(3).await;
    let preview = fleet.admin(&["rotate-all", "--all", "--dry-run", "--canary", "2", "--growth", "2"]).await;
    assert_eq!((&preview["targetCount"], &preview["waves"]), (&json!(6), &json!([2, 4])), "{preview}");
    let refused = fleet.world.keywright.cli(&["admin", "rotate-all", "--all", "--confirm", "5"]).await;
    assert!(!refused.ok() && refused.stderr.contains("CONFIRMATION_MISMATCH"), "{refused:?}");
    let unconfirmed = fleet.world.keywright.cli(&["admin", "rotate-all", "--all"]).await;
    assert!(!unconfirmed.ok() && unconfirmed.stderr.contains("--confirm"), "{unconfirmed:?}");

    fleet.second.stop_server().await;
    let folder = fleet.world.host.home("user0").join(".ssh");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    let plan = ["--all", "--canary", "6", "--parallel", "6", "--failure-budget", "50%", "--confirm", "6"];
    let campaign = fleet.start(&plan).await;
    let rest = fleet.reaches(&campaign, |it| it["catchingUp"] == 3 && it["running"] == 0).await;
    assert_eq!((&rest["succeeded"], &rest["failed"]), (&json!(2), &json!(1)), "{rest}");
    let down = fleet.admin(&["campaign", "targets", &campaign, "--state", "catch-up"]).await;
    for target in down["items"].as_array().unwrap() {
        assert_eq!(
            (&target["reason"], &target["hosts"]),
            (&json!("HOST_UNREACHABLE"), &json!(["web-2"])),
            "{target}"
        );
    }
    let failed = fleet.admin(&["campaign", "targets", &campaign, "--state", "failed"]).await;
    assert_eq!(failed["items"][0]["reason"], "HOST_FILE_READ_ONLY", "{failed}");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();

    fleet.second.start_server().await;
    let done = fleet.reaches(&campaign, |it| it["state"] == "succeeded").await;
    assert_eq!(
        (&done["succeeded"], &done["failed"], &done["catchingUp"]),
        (&json!(5), &json!(1), &json!(0)),
        "{done}"
    );
    let versions = fleet.versions().await;
    assert_eq!(versions[0], 1, "the old key of the failed one stays in use");
    assert!(versions[1..].iter().all(|version| *version > 1), "{versions:?}");
    let watched = fleet.world.keywright.cli(&["admin", "campaign", "watch", &campaign]).await;
    assert_eq!(watched.code, 10, "{watched:?}");
    assert!(watched.stderr.contains("1 targets failed"), "{watched:?}");
}

#[tokio::test]
async fn an_operator_pauses_resumes_freezes_and_cancels() {
    let fleet = Fleet::new(2).await;
    let campaign = fleet
        .start(&[
            "--all",
            "--canary",
            "1",
            "--growth",
            "1",
            "--soak",
            "2s",
            "--parallel",
            "1",
            "--confirm",
            "4",
        ])
        .await;
    fleet.reaches(&campaign, |it| it["succeeded"] == 1).await;
    let paused = fleet.admin(&["campaign", "pause", &campaign]).await;
    assert_eq!(
        (&paused["state"], &paused["pauseReason"]),
        (&json!("paused"), &json!("OPERATOR")),
        "{paused}"
    );
    let still = fleet.reaches(&campaign, |it| it["running"] == 0).await;
    fleet.admin(&["freeze", "--on", "--reason", "a test"]).await;
    let frozen = fleet.world.keywright.cli(&["admin", "campaign", "resume", &campaign]).await;
    assert!(!frozen.ok() && frozen.stderr.contains("FROZEN"), "{frozen:?}");
    fleet.admin(&["freeze", "--off"]).await;
    fleet.admin(&["campaign", "resume", &campaign]).await;
    let before = still["succeeded"].as_i64().unwrap();
    fleet.reaches(&campaign, |it| it["succeeded"].as_i64().unwrap() > before).await;
    fleet.admin(&["freeze", "--on"]).await;
    fleet.reaches(&campaign, |it| it["pauseReason"] == "FROZEN" || it["state"] == "succeeded").await;
    fleet.admin(&["freeze", "--off"]).await;
    fleet.reaches(&campaign, |it| it["pauseReason"] == "").await;
    let ended = fleet.world.keywright.cli(&["admin", "campaign", "cancel", &campaign]).await;
    let end = fleet.reaches(&campaign, |it| it["running"] == 0 && it["state"] != "running").await;
    assert!(ended.ok() == (end["state"] == "cancelled"), "{ended:?} {end}");
    let sum = |it: &Value| ["succeeded", "cancelled"].iter().map(|at| it[at].as_i64().unwrap()).sum::<i64>();
    assert_eq!(sum(&end), 4, "{end}");
}

#[tokio::test]
async fn two_replicas_drive_one_campaign_and_begin_and_count_everything_once() {
    let (world, other, _folder) = crate::replicas::two().await;
    let mut fleet = Fleet::of(world, 4).await;
    let folder = fleet.world.host.home("user1").join(".ssh");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o500)).unwrap();
    let plan = ["--all", "--canary", "1", "--growth", "10", "--soak", "0", "--parallel", "2"];
    let campaign = fleet.start(&[&plan[..], &["--failure-budget", "10%", "--confirm", "8"]].concat()).await;
    let path = format!("/api/admin/campaigns/{campaign}");
    let stopped = |it: &Value| it["state"] == "paused" && it["running"] == 0;
    let there = other.wait_for(&path, LIMIT, stopped).await;
    assert_eq!((&there["pauseReason"], &there["failed"]), (&json!("FAILURE_BUDGET"), &json!(1)), "{there}");
    assert_eq!(fleet.world.keywright.get(&path).await.success(), there);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();

    // Resumed at the one and paused at the other.
    fleet.admin(&["campaign", "resume", &campaign]).await;
    let before = there["succeeded"].as_i64().unwrap();
    other.wait_for(&path, LIMIT, |it| it["succeeded"].as_i64().unwrap() > before).await;
    other.post(&format!("{path}/pause"), json!({})).await.success();
    let paused = fleet.reaches(&campaign, stopped).await;
    // Both are awake meanwhile, and begin nothing.
    let further = fleet.world.provision().await.id;
    let still = other.get(&path).await.success();
    assert_eq!((&still["pending"], &still["running"]), (&paused["pending"], &json!(0)), "{still}");
    fleet.admin(&["campaign", "resume", &campaign]).await;
    fleet.world.keywright.kill9().await;
    let done = other.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;
    assert_eq!((&done["succeeded"], &done["failed"]), (&json!(7), &json!(1)), "{done}");
    fleet.world.keywright.restart().await.unwrap();
    let mut versions = fleet.versions().await;
    assert_eq!(versions.remove(1), 1, "the failed one keeps its key");
    assert_eq!(versions, [2; 7]);
    for access in &fleet.accesses {
        let shown = other.get(&fleet.path(access)).await.success();
        let begun = shown["recentRotations"].as_array().unwrap().iter();
        assert_eq!(begun.filter(|it| it["kind"] == "rotate").count(), 1, "{shown}");
    }
    assert!(!fleet.accesses.contains(&further));
    let logged = async |action: &str| {
        let log = audit_log::settled(&other, &format!("action={action}&target={campaign}")).await;
        log.iter().filter(|entry| entry["outcome"] == "succeeded").count()
    };
    assert_eq!((logged("campaign.pause").await, logged("campaign.finish").await), (1, 1));
}

#[tokio::test]
async fn a_server_killed_in_the_middle_rotates_every_access_once() {
    let mut fleet = Fleet::new(3).await;
    let campaign = fleet
        .start(&[
            "--all",
            "--canary",
            "1",
            "--growth",
            "4",
            "--soak",
            "0",
            "--parallel",
            "2",
            "--confirm",
            "6",
        ])
        .await;
    for succeeded in [1, 3] {
        fleet.reaches(&campaign, |it| it["succeeded"].as_i64().unwrap() >= succeeded).await;
        fleet.world.keywright.kill9().await;
        fleet.world.keywright.restart().await.unwrap();
    }
    let done = fleet.reaches(&campaign, |it| it["state"] == "succeeded").await;
    assert_eq!(done["succeeded"], 6, "{done}");
    assert_eq!(fleet.versions().await, [2; 6], "each rotated once");
    let listed = fleet.admin(&["campaign", "list"]).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let shown = fleet.world.keywright.cli(&["admin", "campaign", "show", &campaign]).await;
    assert!(shown.stdout.contains("SUCCEEDED"), "{shown:?}");
    let settled = eventually(Duration::from_secs(30), async || {
        let tenants = fleet.admin(&["tenants", "--status", "active", "--due", "not-due"]).await;
        tenants["items"][0]["accessCount"] == 6
    });
    assert!(settled.await);
}
