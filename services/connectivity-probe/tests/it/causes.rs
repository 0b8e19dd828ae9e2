//! What an administrator did to an account or a server, and the check and code that a person is told it by.

use crate::rig::{World, assert_failed_at, assert_healthy};
use keywright_kit::{HostOptions, KeyPair, KeyType, TestHost, keygen};
use keywright_proto::credential::Server;

struct Scene {
    world: World,
    host: TestHost,
    server: Server,
    key: KeyPair,
}

impl Scene {
    async fn new(options: HostOptions) -> Self {
        let (world, host) = (World::new().await, TestHost::openssh(options).await.unwrap());
        let key = keygen(KeyType::Ed25519, "").await.unwrap();
        let server = world.register(&host, &host.host_keys());
        Self { world, host, server, key }
    }

    /// An account that the key opens, as long as nobody does anything to it.
    async fn account(&self, name: &str) {
        self.host.add_user(name);
        self.host.write_authorized_keys(name, format!("{}\n", self.key.public_line()));
        assert_healthy(&self.world.test_once(&self.server, &self.key, name).await);
    }

    async fn does(&self, command: &[&str]) {
        self.host.exec(command).await.success();
    }

    async fn fails(&self, user: &str, check: &str, code: &str) {
        println!("{user:<24} {check:<16} {code}");
        assert_failed_at(&self.world.test_once(&self.server, &self.key, user).await, check, code);
    }
}

#[tokio::test]
async fn table_of_what_is_done_to_accounts() {
    let scene = Scene::new(HostOptions::default()).await;
    for (user, command) in [
        ("locked", "usermod --lock locked"),
        ("expired", "usermod --expiredate 1 expired"),
        ("writable-home", "chmod 777 /home/writable-home"),
        ("writable-keys", "chmod 666 /home/writable-keys/.ssh/authorized_keys"),
        ("foreign-keys", "chown nobody /home/foreign-keys/.ssh/authorized_keys"),
        ("elsewhere", "sed -i 's/^/from=\"192.0.2.1\" /' /home/elsewhere/.ssh/authorized_keys"),
        ("ended", "sed -i 's/^/expiry-time=\"20200101\" /' /home/ended/.ssh/authorized_keys"),
        ("removed", "userdel removed"),
    ] {
        scene.account(user).await;
        scene.does(&["sh", "-c", command]).await;
        scene.fails(user, "authentication", "AUTHENTICATION_REJECTED").await;
    }
    for (user, shell, code) in [
        ("no-login", "/usr/sbin/nologin", "NOLOGIN"),
        ("no-shell", "/bin/false", "NOLOGIN"),
        ("lost-shell", "/bin/no-such-shell", "AUTHENTICATION_REJECTED"),
    ] {
        scene.account(user).await;
        scene.does(&["usermod", "--shell", shell, user]).await;
        let check = if code == "NOLOGIN" { "session" } else { "authentication" };
        scene.fails(user, check, code).await;
    }
    scene.account("maintained").await;
    scene.does(&["sh", "-c", "echo 'Down until noon.' >/etc/nologin"]).await;
    scene.fails("maintained", "session", "NOLOGIN").await;
}

#[tokio::test]
async fn table_of_what_a_server_is_told() {
    let told = [
        "DenyUsers denied",
        "Match User factors",
        "  AuthenticationMethods publickey,password",
        "  PasswordAuthentication yes",
        "Match User forced",
        "  ForceCommand internal-sftp",
        // Nothing is in there.
        "Match User chrooted",
        "  ChrootDirectory /var/spool",
        "Match User keyless",
        "  PubkeyAuthentication no",
        "  PasswordAuthentication yes",
    ];
    let options = told.into_iter().fold(HostOptions::default(), HostOptions::config);
    let scene = Scene::new(options).await;
    for (user, check, code) in [
        ("denied", "authentication", "AUTHENTICATION_REJECTED"),
        ("factors", "authentication", "MORE_FACTORS_REQUIRED"),
        ("forced", "session", "FORCED_COMMAND"),
        ("chrooted", "session", "SESSION_REFUSED"),
        ("keyless", "authentication", "AUTHENTICATION_REJECTED"),
    ] {
        scene.host.add_user(user);
        scene.host.write_authorized_keys(user, format!("{}\n", scene.key.public_line()));
        scene.fails(user, check, code).await;
    }
}

#[tokio::test]
async fn an_account_that_is_not_among_the_allowed_is_rejected() {
    let scene = Scene::new(HostOptions::default().config("AllowUsers allowed")).await;
    scene.account("allowed").await;
    scene.host.add_user("other");
    scene.host.write_authorized_keys("other", format!("{}\n", scene.key.public_line()));
    scene.fails("other", "authentication", "AUTHENTICATION_REJECTED").await;
}

/// Users have themselves greeted, and leave the last line open.
#[tokio::test]
async fn what_is_odd_but_works_is_healthy() {
    let scene = Scene::new(HostOptions::default()).await;
    scene.account("chatty").await;
    scene.does(&["usermod", "--shell", "/bin/bash", "chatty"]).await;
    let noise = "echo welcome; echo keywright; printf 'no line end'; echo trouble >&2\n";
    std::fs::write(scene.host.home("chatty").join(".bashrc"), noise).unwrap();
    scene.does(&["sh", "-c", "echo 'Authorized use only.' >/etc/motd"]).await;
    assert_healthy(&scene.world.test_once(&scene.server, &scene.key, "chatty").await);
}

#[tokio::test]
async fn a_server_of_yesterday_has_no_algorithm_in_common() {
    let options = HostOptions::default().config("KexAlgorithms diffie-hellman-group14-sha1");
    let scene = Scene::new(options).await;
    scene.fails("root", "handshake", "NO_COMMON_ALGORITHM").await;
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_not_resolved() {
    let scene = Scene::new(HostOptions::default()).await;
    let server = scene.world.register_at("no-such-host.invalid", 22, &[]);
    let test = scene.world.test_once(&server, &scene.key, "root").await;
    assert_failed_at(&test, "dns", "HOST_RESOLUTION_FAILED");
}
