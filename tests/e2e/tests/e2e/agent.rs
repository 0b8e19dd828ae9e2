//! OpenSSH's `ssh` logs in through `keywright agent`: on servers with an approved host key, and for nothing else.

use keywright_e2e::agent::{SshAgent, ssh_arguments};
use keywright_e2e::world::{create_tenant, owner, register};
use keywright_e2e::{Sshd, Stores, World, text};
use keywright_kit::{KeyPair, KeyType, keygen};
use serde_json::{Value, json};

/// A saved credential that the account takes, bound to the server for that user: its id and its key.
async fn bound(world: &World, server: &str, user: &str, kind: KeyType) -> (String, KeyPair) {
    let key = keygen(kind, "").await.unwrap();
    world.host.add_user(user);
    world.host.write_authorized_keys(user, key.public_line());
    let body =
        json!({"tenantId": world.tenant, "name": user, "username": user, "privateKey": key.private_text()});
    let id = text(&world.keywright.post("/api/credentials/ssh", body).await.success(), "/id");
    let path = format!("/api/servers/{server}/credentials");
    world.keywright.post(&path, json!({"credentialId": id, "skipTest": true})).await.success();
    (id, key)
}

async fn deployer(world: &World) -> (String, KeyPair) {
    bound(world, &world.server, "deploy", KeyType::Ed25519).await
}

async fn logged(world: &World) -> Value {
    let path = "/api/audit/events?action=credential.sign_login&outcome=succeeded";
    world.keywright.wait_for(path, keywright_e2e::LIMIT, |log| log["items"] != json!([])).await
}

#[tokio::test]
async fn openssh_logs_in_with_keys_of_every_kind() {
    logs_in(World::new(Stores::Embedded, Sshd::OpenSsh).await).await;
}

#[tokio::test]
async fn openssh_logs_in_on_dropbear_from_external_stores() {
    logs_in(World::new(Stores::External, Sshd::Dropbear).await).await;
}

async fn logs_in(world: World) {
    let (deploy, _) = deployer(&world).await;
    // The same host, known under another name and used by another key.
    let twin = register(&world.keywright, &world.tenant, &world.host, "web-1-archive").await;
    bound(&world, &twin, "archive", KeyType::Rsa(3072)).await;
    let third = register(&world.keywright, &world.tenant, &world.host, "web-1-metrics").await;
    bound(&world, &third, "metrics", KeyType::EcdsaP384).await;
    let access = world.provision().await;

    let agent = SshAgent::start(&world.keywright, &world.owner_token).await;

    for user in ["deploy", "archive", "metrics", &access.account] {
        assert!(agent.opens(&world.host, user).await, "{user}\n{}", world.host.log());
    }
    assert!(!agent.opens(&world.host, "root").await);
    let open = || agent.opens(&world.host, "deploy");
    // Dropbear takes five strangers of one address at once.
    assert_eq!(tokio::join!(open(), open(), open()), (true, true, true));
    let event = logged(&world).await;
    let listed = event["items"].as_array().unwrap();
    assert!(listed.iter().any(|event| event["target"] == deploy.as_str()), "{event}");
    access.revoke(json!({})).await;
    assert!(!agent.opens(&world.host, &access.account).await);
    assert!(agent.opens(&world.host, "deploy").await);
}

#[tokio::test]
async fn nothing_but_a_login_here_is_signed() {
    let world = World::embedded().await;
    let (_, key) = deployer(&world).await;
    let mut agent = SshAgent::start(&world.keywright, &world.owner_token).await;
    let public = key.private_file().with_extension("pub");
    let public = public.to_str().unwrap();

    let listed = agent.run("ssh-add", &["-L"]).await.success();
    let line = key.public_line();
    assert!(listed.starts_with(line.trim_end_matches(" kit")), "{listed}");
    let file = key.private_file().with_extension("txt");
    std::fs::write(&file, "a contract").unwrap();
    // Without the private half beside it only the agent could.
    std::fs::remove_file(key.private_file()).unwrap();
    let signed =
        agent.run("ssh-keygen", &["-Y", "sign", "-n", "file", "-f", public, file.to_str().unwrap()]).await;
    assert!(!signed.ok() && !file.with_extension("txt.sig").exists(), "{signed:?}");
    agent.refuses("SSHSIG").await;

    let other = keygen(KeyType::Ed25519, "").await.unwrap();
    for arguments in [vec![other.private_file().to_str().unwrap()], vec!["-D"], vec!["-d", public]] {
        assert!(!agent.run("ssh-add", &arguments).await.ok(), "{arguments:?}");
        agent.refuses("cannot be changed here").await;
    }

    // Even where somebody opened the socket to all, other users are turned away.
    std::fs::set_permissions(agent.socket(), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "ssh-add", "-L"];
    assert!(!agent.run("setpriv", &nobody).await.ok());
    agent.says("another user").await;

    let inner = format!(
        "echo '{}' >known; ssh -F none -p {} -o BatchMode=yes -o UserKnownHostsFile=known \
         deploy@127.0.0.1 id -un; echo inner=$?",
        world.host.known_hosts().trim(),
        world.host.port()
    );
    let forwarded = agent.ssh(&world.host, "deploy", &["-A"], &inner).await;
    assert!(forwarded.ok() && forwarded.stdout.contains("inner=255"), "{forwarded:?}");
    agent.refuses("forwarded").await;
    let plain = agent.ssh(&world.host, "deploy", &[], "echo ${SSH_AUTH_SOCK:-none}").await;
    assert_eq!(plain.success().trim(), "none");
}

#[tokio::test]
async fn a_host_that_is_not_the_pinned_one_gets_no_key() {
    let mut world = World::embedded().await;
    let (id, _) = deployer(&world).await;
    let mut agent = SshAgent::start(&world.keywright, &world.owner_token).await;
    assert!(agent.opens(&world.host, "deploy").await);

    let other = create_tenant(&world.keywright, "Other").await;
    let (_, stranger) = owner(&world.keywright, &other).await;
    let foreign = SshAgent::start(&world.keywright, &stranger).await;
    assert!(foreign.run("ssh-add", &["-L"]).await.stdout.contains("no identities"));
    assert!(!foreign.opens(&world.host, "deploy").await);
    let path = format!("/api/credentials/ssh/{id}/sign");
    let body = json!({"serverId": world.server, "sessionId": "AAAA", "username": "deploy", "algorithm": "ssh-ed25519",
        "hostKey": "AAAA", "hostSignature": "AAAA"});
    let refused = world.keywright.caller(&stranger).post(&path, body.clone()).await;
    assert_eq!((refused.status, refused.reason()), (404, "CREDENTIAL_NOT_FOUND"), "{}", refused.json);
    let operator = world.keywright.post(&path, body).await;
    assert_eq!((operator.status, operator.reason()), (403, "PERMISSION_DENIED"), "{}", operator.json);
    let mine = world.keywright.get("/api/signing-keys").await;
    assert_eq!((mine.status, mine.reason()), (403, "PERMISSION_DENIED"), "{}", mine.json);

    world.host.replace_host_keys().await;
    assert!(!agent.opens(&world.host, "deploy").await, "somebody in the middle was logged in to");
    agent.says("no key of yours").await;
}

#[tokio::test]
async fn a_deleted_credential_and_a_killed_server_sign_nothing() {
    let mut world = World::embedded().await;
    let (id, _) = deployer(&world).await;
    let mut agent = SshAgent::start(&world.keywright, &world.owner_token).await;
    assert!(agent.opens(&world.host, "deploy").await);

    world.keywright.kill9().await;
    assert!(!agent.opens(&world.host, "deploy").await);
    agent.refuses("GATEWAY_UNREACHABLE").await;
    world.keywright.restart().await.unwrap();
    assert!(agent.opens(&world.host, "deploy").await, "the same agent goes on");

    let binding = format!("/api/servers/{}/credentials", world.server);
    world.keywright.delete(&binding, Value::Null).await.success();
    assert!(!agent.opens(&world.host, "deploy").await);
    let body = json!({"confirmation": {"credentialId": id}});
    world.owner().delete(&format!("/api/credentials/ssh/{id}"), body).await.success();
    assert!(!agent.opens(&world.host, "deploy").await);
}

#[tokio::test]
async fn a_command_runs_with_the_agent_and_its_exit_code_is_the_answer() {
    let world = World::embedded().await;
    deployer(&world).await;
    let folder = tempfile::tempdir().unwrap();
    let mut arguments: Vec<String> = ["agent", "--", "ssh"].map(str::to_owned).into();
    arguments.extend(ssh_arguments(&world.host, "deploy", folder.path()));
    arguments.push("id -un; exit 7".to_owned());

    let ran = world.keywright.cli_as(Some(&world.owner_token), &arguments, b"").await;

    assert_eq!((ran.code, ran.stdout.trim(), ran.stderr.as_str()), (7, "deploy", ""));
    let ended = ["agent", "--", "sh", "-c", "echo $SSH_AUTH_SOCK; kill -TERM $PPID; exec sleep 600"];
    let ended = world.keywright.cli_as(Some(&world.owner_token), &ended, b"").await;
    assert!(ended.code == 130 && ended.stdout.contains("agent.sock"), "{ended:?}");
    assert!(!std::path::Path::new(ended.stdout.trim()).exists(), "it was left behind");
    let socket = ["agent", "--", "sh", "-c", "echo $SSH_AUTH_SOCK"];
    let socket = world.keywright.cli_as(Some(&world.owner_token), &socket, b"").await.success();
    assert!(!std::path::Path::new(socket.trim()).exists(), "{socket} was left behind");
    let denied = world.keywright.cli(&["agent", "--", "true"]).await;
    assert_eq!(denied.code, 4, "an operator has nothing signed: {denied:?}");
}
