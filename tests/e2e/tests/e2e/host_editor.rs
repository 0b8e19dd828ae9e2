//! Hosts that give Keywright little: no root but one program, keys where root keeps them, policies that ask for options.

use keywright_e2e::authorized_keys::lines_of;
use keywright_e2e::http::reason;
use keywright_e2e::world::{create_tenant, owner, register};
use keywright_e2e::{Access, LIMIT, Sshd, World, text};
use keywright_kit::{HostOptions, KeyType, Keywright, KeywrightOptions, TestHost, keygen};
use reqwest::Method;
use serde_json::{Value, json};

const RULE: &str = include_str!("../../../../deploy/sudoers/keywright");
const PROGRAM: &str = include_str!("../../../../deploy/sudoers/keywright-host");
const INSTALLED: &str = "/usr/local/libexec/keywright-host";

/// A world whose host is entered as this account, with its bootstrap key.
async fn world_by(host: TestHost, sshd: Sshd, username: &str) -> World {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    host.add_user(username);
    let bootstrap = keygen(KeyType::Ed25519, "").await.unwrap();
    host.write_authorized_keys(username, format!("{}\n", bootstrap.public_line()));
    let tenant = create_tenant(&keywright, "Acme").await;
    let (invitation, owner_token) = owner(&keywright, &tenant).await;
    let server = register(&keywright, &tenant, &host, "web-1").await;
    let body = json!({"bootstrapCredential": {"privateKey": bootstrap.private_text(), "username": username}});
    let managed = keywright.post(&format!("/api/servers/{server}/management"), body).await.success();
    assert_eq!(managed["receipt"]["accepted"], true, "{managed}");
    World { keywright, host, sshd, database: None, tenant, server, owner_token, invitation, bootstrap }
}

#[tokio::test]
async fn a_key_lives_its_life_on_a_host_with_the_shipped_rule_alone() {
    for sshd in [Sshd::OpenSsh, Sshd::Dropbear] {
        let options = HostOptions::default().sudoers(RULE).program(INSTALLED, PROGRAM);
        let host = match sshd {
            Sshd::OpenSsh => {
                TestHost::openssh(
                    options.config("AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/keys.d/%u"),
                )
                .await
            }
            Sshd::Dropbear => TestHost::dropbear(options).await,
        };
        let world = world_by(host.unwrap(), sshd, "keywright").await;
        let access = world.provision().await;
        let first = access.download().await;
        assert!(access.opens(&first).await);
        access.rotate("0s").await;
        let second = access.download().await;
        assert!(access.opens(&second).await);
        let revocation = access.revoke(json!({})).await;
        assert_eq!(revocation["hosts"][0]["state"], "REMOVED_PROVEN", "{revocation}");
        assert!(!access.opens(&second).await);
        assert!(world.host.read_authorized_keys("root").is_none(), "root's files are not touched");
    }
}

#[tokio::test]
async fn an_account_whose_making_was_cut_off_serves_an_access() {
    let world = World::embedded().await;
    let cut_off = "useradd -M -c keywright -p '!' half && ln -s keywright /etc/.keywright-making.half";
    world.host.exec(&["sh", "-c", cut_off]).await.success();
    let path = format!("/api/tenants/{}/ssh-access", world.tenant);
    let body = json!({"serverIds": [world.server], "account": "half", "createAccount": true});
    let started = world.keywright.post(&path, body).await.success();
    let access = Access::new(&world, &started);
    access.finished(&text(&started, "/recentRotations/0/id")).await;
    assert!(access.opens(&access.download().await).await);
}

#[tokio::test]
async fn an_account_without_sudo_holds_its_own_key_and_serves_no_access() {
    let host = TestHost::openssh(HostOptions::default()).await.unwrap();
    let world = world_by(host, Sshd::OpenSsh, "deploy").await;
    let path = format!("/api/tenants/{}/ssh-access", world.tenant);
    let body = json!({"serverIds": [world.server], "createAccount": true});
    let started = world.keywright.post(&path, body).await.success();
    let rotation = format!("/api/rotations/{}", text(&started, "/recentRotations/0/id"));
    let ended = world.keywright.wait_for(&rotation, LIMIT, |it| it["state"] == "failed").await;
    assert!(ended.to_string().contains("SUDO_UNAVAILABLE"), "{ended}");
}

/// The options of the one line that holds this key.
fn options(world: &World, access: &Access<'_>, shown: &Value) -> String {
    let lines = lines_of(&world.host, &access.account, &text(shown, "/publicKey"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].split("ssh-ed25519").next().unwrap().trim().to_owned()
}

async fn set_policy(world: &World, options: &[&str]) -> keywright_kit::Answer {
    let path = format!("/api/policies/tenants/{}", world.tenant);
    let body = json!({"policy": {"lineOptions": {"options": options}}});
    world.keywright.operator().send(Method::PUT, &path, Some(body), &[]).await
}

#[tokio::test]
async fn options_of_a_policy_stand_on_our_lines_and_those_by_hand_go_over_to_the_next_key() {
    let world = World::embedded().await;
    set_policy(&world, &["restrict", "from=\"127.0.0.0/8,::1\"", "pty"]).await.success();
    let access = world.provision().await;
    let first = access.show().await;
    assert_eq!(options(&world, &access, &first), "restrict,from=\"127.0.0.0/8,::1\",pty");
    assert!(access.opens(&access.download().await).await);

    // The account's owner forbids himself something, and the policy asks for something else.
    let file = String::from_utf8(world.host.read_authorized_keys(&access.account).unwrap()).unwrap();
    world
        .host
        .write_authorized_keys(&access.account, file.replace("restrict,from", "restrict,no-user-rc,from"));
    set_policy(&world, &["no-agent-forwarding"]).await.success();
    access.rotate("3600s").await;
    let second = access.show().await;
    assert_eq!(options(&world, &access, &second), "no-user-rc,no-agent-forwarding");
    let old = options(&world, &access, &first);
    assert!(old.starts_with("no-user-rc,no-agent-forwarding,expiry-time="), "{old}");

    for (wrong, why) in
        [("from=\"10.0.0.1/8\"", "mask"), ("cert-authority", "policy"), ("command=ls", "quotes")]
    {
        let answer = set_policy(&world, &[wrong]).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.json);
        assert_eq!(reason(&answer.json), "VALIDATION_FAILED");
        assert!(answer.json.to_string().contains(why), "{}", answer.json);
    }
}

#[tokio::test]
async fn a_policy_that_would_keep_keywright_out_stops_before_the_file_is_touched() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let key = access.download().await;
    let keys = || {
        let file = world.host.read_authorized_keys(&access.account).unwrap();
        let text = String::from_utf8(file).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = keys();
    set_policy(&world, &["from=\"192.0.2.0/24\""]).await.success();
    let rotation = format!("/api/rotations/{}", access.start_rotation(json!({})).await);
    let ended = world.keywright.wait_for(&rotation, LIMIT, |it| it["state"] == "failed").await;
    assert!(ended.to_string().contains("POLICY_FORBIDS"), "{ended}");
    assert_eq!(keys(), before);
    assert!(access.opens(&key).await);
    // It holds back no revocation.
    access.revoke(json!({})).await;
    assert!(!access.opens(&key).await);
}
