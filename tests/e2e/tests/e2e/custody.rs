//! The key-encryption key: where it comes from, a server that starts sealed, a rotation that is killed, and what a
//! process leaves in its memory.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use keywright_e2e::key_file::secrets_of;
use keywright_e2e::supervised::{binaries, clean_command};
use keywright_e2e::world::{create_tenant, owner};
use keywright_e2e::{LIMIT, Sshd, World, memory, text};
use keywright_kit::{
    KeyType, Keywright, KeywrightOptions, bao_mount, eventually, keygen, keygen_commented, postgres_database,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";
const STATUS: &str = "/api/admin/secrets/custody";
const UNSEAL: &str = "/api/admin/secrets/unseal";
const ROTATE: &str = "/api/admin/secrets/key-encryption-key/rotate";

/// A data folder made by `init --seal-with-passphrase`, and what a server on it is started with.
fn sealed_by_init(database: Option<&str>) -> (TempDir, KeywrightOptions) {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("passphrase"));
    std::fs::write(&file, format!("{PASSPHRASE}\n")).unwrap();
    let mut options = KeywrightOptions::default().data_dir(&data);
    let mut init = clean_command(folder.path(), &binaries().join("keywright-server").to_string_lossy());
    init.args(["init", "--seal-with-passphrase", "--data-dir"]).arg(&data);
    init.arg("--passphrase-file").arg(&file).stdin(Stdio::null());
    if let Some(url) = database {
        init.args(["--database-url", url]);
        options = options.database_url(url).arg("--allow-loopback-targets").arg("true");
    }
    let made = init.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (folder, options)
}

async fn save(keywright: &Keywright, tenant: &str, private_key: &str, name: &str) -> keywright_kit::Answer {
    let body = json!({"tenantId": tenant, "name": name, "privateKey": private_key});
    keywright.post("/api/credentials/ssh", body).await
}

#[tokio::test]
async fn a_server_under_a_passphrase_starts_sealed_on_sqlite() {
    starts_sealed(sealed_by_init(None)).await;
}

#[tokio::test]
async fn a_server_under_a_passphrase_starts_sealed_on_postgres() {
    let database = postgres_database().await.unwrap();
    starts_sealed(sealed_by_init(Some(&database))).await;
}

async fn starts_sealed((folder, options): (TempDir, KeywrightOptions)) {
    let mut keywright = Keywright::start(options.clone()).await.unwrap();
    let tenant = create_tenant(&keywright, "Acme").await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap().private_text();
    let status = keywright.get(STATUS).await.success();
    assert_eq!((&status["sealed"], &status["keySource"]), (&json!(true), &json!("passphrase")), "{status}");
    let refused = save(&keywright, &tenant, &key, "early").await;
    assert_eq!((refused.status, refused.reason()), (503, "SECRET_STORE_SEALED"), "{}", refused.json);
    assert!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);
    keywright.get("/api/credentials/ssh").await.success();
    let ready = keywright.anonymous().get("/readyz").await.success();
    let store = ready["services"].as_array().unwrap().iter().find(|it| it["name"] == "credential-store");
    assert_eq!(store.unwrap()["message"], "the secret store is sealed", "{ready}");

    let (_, owner) = owner(&keywright, &tenant).await;
    let stranger = keywright.caller(&owner).post(UNSEAL, json!({"passphrase": PASSPHRASE})).await;
    assert_eq!((stranger.status, stranger.reason()), (403, "PERMISSION_DENIED"));
    let token = keywright.operator_token();
    let cli = async |keywright: &Keywright, arguments: &[&str], input: &str| {
        keywright.cli_as(Some(&token), arguments, input.as_bytes()).await
    };
    let from_input = ["admin", "unseal", "--passphrase-file", "-"];
    let wrong = cli(&keywright, &from_input, "wrong horse battery").await;
    assert_eq!(wrong.code, 7, "{wrong:?}");
    assert!(wrong.stderr.contains("PASSPHRASE_INCORRECT"), "{wrong:?}");
    assert!(!wrong.stderr.contains("wrong horse"), "{wrong:?}");
    let opened = cli(&keywright, &from_input, PASSPHRASE).await.success();
    assert!(opened.contains("passphrase"), "{opened}");
    save(&keywright, &tenant, &key, "first").await.success();

    cli(&keywright, &["admin", "seal"], "").await.success();
    let other = keygen(KeyType::Ed25519, "").await.unwrap().private_text();
    assert_eq!(save(&keywright, &tenant, &other, "second").await.reason(), "SECRET_STORE_SEALED");
    keywright.restart().await.unwrap();
    assert_eq!(save(&keywright, &tenant, &other, "second").await.reason(), "SECRET_STORE_SEALED");
    let limited = eventually(LIMIT, async || {
        let answer = keywright.post(UNSEAL, json!({"passphrase": "wrong again"})).await;
        answer.reason() == "RATE_LIMITED"
    });
    assert!(limited.await, "guessing is not slowed down");

    let file = folder.path().join("passphrase").display().to_string();
    drop(keywright);
    let mut keywright = Keywright::start(options.env("KEYWRIGHT_KEK_PASSPHRASE_FILE", file)).await.unwrap();
    save(&keywright, &tenant, &other, "second").await.success();
    let new = folder.path().join("new");
    std::fs::write(&new, "another passphrase").unwrap();
    let old = folder.path().join("passphrase").display().to_string();
    let rotate = ["admin", "rotate-key", "--new-passphrase-file", new.to_str().unwrap()];
    let required = cli(&keywright, &rotate, "").await;
    assert!(required.stderr.contains("PASSPHRASE_REQUIRED"), "{required:?}");
    let rotated = cli(&keywright, &[&rotate[..], &["--passphrase-file", &old]].concat(), "").await.success();
    assert!(rotated.contains("passphrase"), "{rotated}");
    std::fs::copy(&new, folder.path().join("passphrase")).unwrap();
    keywright.restart().await.unwrap();
    let status = keywright.get(STATUS).await.success();
    assert_eq!((&status["sealed"], &status["dataKeys"]), (&json!(false), &json!(2)), "{status}");
    for secret in [PASSPHRASE, "another passphrase", "wrong horse battery", "wrong again"] {
        assert!(!keywright.logs().contains(secret));
    }
}

#[tokio::test]
async fn a_revocation_is_accepted_while_sealed_and_proven_after() {
    let (_folder, options) = sealed_by_init(None);
    let file = _folder.path().join("passphrase").display().to_string();
    let options = options.env("KEYWRIGHT_KEK_PASSPHRASE_FILE", file);
    let world = World::with(options, None, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let key = access.download().await;
    world.keywright.post("/api/admin/secrets/seal", json!({})).await.success();
    assert_eq!(access.try_rotate(json!({})).await.reason(), "SECRET_STORE_SEALED");

    let body = json!({"confirmation": {"accessId": access.id}});
    let started = world.owner().post(&access.path("/revoke"), body).await.success();
    assert_eq!(access.show().await["status"], "revoked");
    let path = format!("/api/revocations/{}", text(&started, "/id"));
    world.keywright.post(UNSEAL, json!({"passphrase": PASSPHRASE})).await.success();
    world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;
    assert!(!access.opens(&key).await);
}

#[tokio::test]
async fn a_key_in_the_environment_is_used_and_cannot_be_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let options = KeywrightOptions::default().data_dir(&folder.path().join("data"));
    let with = |byte| {
        let key = data_encoding::BASE64.encode(&[byte; 32]);
        options.clone().env("KEYWRIGHT_KEY_ENCRYPTION_KEY", key)
    };
    let keywright = Keywright::start(with(7)).await.unwrap();
    let tenant = create_tenant(&keywright, "Acme").await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap().private_text();
    save(&keywright, &tenant, &key, "first").await.success();
    assert_eq!(keywright.get(STATUS).await.success()["keySource"], "environment");
    assert!(!folder.path().join("data/keys/key-encryption.key").exists());
    let refused = keywright.post(ROTATE, json!({})).await;
    assert_eq!((refused.status, refused.reason()), (409, "POLICY_FORBIDS"), "{}", refused.json);
    drop(keywright);

    let refused = Keywright::start(with(8)).await.unwrap_err().to_string();
    assert!(refused.contains("is not the one that sealed this database"), "{refused}");
    let refused = Keywright::start(options.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("key-encryption.key cannot be read"), "{refused}");
    // As the refusal says: into a file, and then it can be rotated.
    let file = folder.path().join("data/keys/key-encryption.key");
    std::fs::write(&file, [7; 32]).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let keywright = Keywright::start(options).await.unwrap();
    keywright.post(ROTATE, json!({})).await.success();
    assert!(!file.exists());
}

#[tokio::test]
async fn openbao_looks_after_its_own_key() {
    let mount = bao_mount().await.unwrap();
    let keywright = Keywright::start(KeywrightOptions::default().vault(&mount)).await.unwrap();
    let status = keywright.get(STATUS).await.success();
    assert_eq!((&status["backend"], &status["sealed"]), (&json!("vault"), &json!(false)));
    for path in [ROTATE, UNSEAL, "/api/admin/secrets/seal"] {
        assert_eq!(keywright.post(path, json!({})).await.reason(), "POLICY_FORBIDS", "{path}");
    }
}

#[tokio::test]
async fn a_rotation_killed_at_any_moment_loses_no_key_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let options = KeywrightOptions::default().data_dir(&folder.path().join("data"));
    survives_kills(World::with(options, None, Sshd::OpenSsh).await, 110).await;
}

#[tokio::test]
async fn a_rotation_killed_at_any_moment_loses_no_key_on_postgres() {
    let database = postgres_database().await.unwrap();
    let options =
        KeywrightOptions::default().database_url(&database).arg("--allow-loopback-targets").arg("true");
    survives_kills(World::with(options, Some(database), Sshd::OpenSsh).await, 110).await;
}

async fn survives_kills(mut world: World, count: usize) {
    let provisioned = world.provision().await.show().await;
    let before = keywright_e2e::Access::new(&world, &provisioned).download().await;
    for number in 0..count {
        let key = keygen(KeyType::Ed25519, "").await.unwrap().private_text();
        save(&world.keywright, &world.tenant, &key, &format!("saved {number}")).await.success();
    }
    let keys = world.keywright.data_dir().join("keys");
    let mut turned = BTreeSet::new();
    // Ever later, until some kills came before the rotation's own transaction and some after it.
    for round in 0..40u32 {
        let rotation = tokio::spawn(rotate_unheard(world.keywright.url(), world.keywright.operator_token()));
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 15)).await;
        world.keywright.kill9().await;
        rotation.abort();
        world.keywright.restart().await.unwrap();
        // Wrapping anew opens every data key: none outstanding means that every one opened.
        let status = world.keywright.wait_for(STATUS, LIMIT, |status| outstanding(status) == 0).await;
        assert!(status["dataKeys"].as_i64().unwrap() >= count as i64, "{status}");
        turned.insert(text(&status, "/keyId"));
        if round >= 5 && turned.len() >= 3 {
            break;
        }
    }
    assert!(turned.len() > 1, "every kill came before the rotation");
    let last = eventually(LIMIT, async || world.keywright.post(ROTATE, json!({})).await.status == 200).await;
    assert!(last, "an interrupted rotation holds the next one up");
    let status = world.keywright.wait_for(STATUS, LIMIT, |status| outstanding(status) == 0).await;
    let current = format!("key-encryption.{}.key", text(&status, "/keyId"));
    let alone = eventually(LIMIT, async || key_files(&keys) == [current.clone()]).await;
    assert!(alone, "{:?} beside {current}", key_files(&keys));

    let access = keywright_e2e::Access::new(&world, &provisioned);
    access.rotate("3600s").await;
    assert!(access.opens(&before).await && access.opens(&access.download().await).await);
}

/// The answer may be lost with the server.
async fn rotate_unheard(url: String, token: String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{url}{ROTATE}")).bearer_auth(token).json(&json!({}));
    let _ = request.send().await;
}

fn outstanding(status: &Value) -> i64 {
    status["dataKeysOutstanding"].as_i64().unwrap_or(i64::MAX)
}

fn key_files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("key-encryption")).collect()
}

/// The kernel writes a core of a program that may be dumped (`sleep`, for comparison) and none of ours.
#[tokio::test]
async fn a_crash_leaves_no_core() {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let pid = keywright.pid().unwrap().to_string();
    let run = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    run("prlimit", &["--pid", &pid, "--core=unlimited:unlimited"]);
    run("kill", &["-ABRT", &pid]);
    let gone = eventually(LIMIT, async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
    assert!(gone.await, "it still runs");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let code: i32 = stat.trim().rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!((code & 0x7f, code & 0x80), (6, 0), "killed by SIGABRT, without the mark of a dumped core");

    let folder = tempfile::tempdir().unwrap();
    let script = "ulimit -c unlimited; sleep 1000 & kill -ABRT $!; wait $!; ls";
    let other = Command::new("sh").args(["-c", script]).current_dir(folder.path()).output().unwrap();
    let cores = |folder: &Path| {
        std::fs::read_dir(folder)
            .unwrap()
            .filter(|it| it.as_ref().unwrap().file_name().to_string_lossy().starts_with("core"))
            .count()
    };
    println!("sleep's core files: {}", String::from_utf8_lossy(&other.stdout));
    assert_eq!(cores(&keywright.work_dir()), 0);
}

/// What root finds in the memory of a server that has worked with secrets and is idle.
#[tokio::test]
async fn an_idle_server_has_no_secret_of_its_past_in_memory() {
    const KEY_PASSPHRASE: &str = "canary-passphrase-of-a-key-file";
    const COMMENT: &str = "canary-comment-of-a-key-file";
    const NEW_PASSPHRASE: &str = "canary-passphrase-of-the-store";
    let world = World::embedded().await;
    let pid = world.keywright.pid().unwrap();
    let old_kek = std::fs::read(world.keywright.data_dir().join("keys/key-encryption.key")).unwrap();
    assert!(memory::count(&memory::image(pid), &old_kek) > 0, "the search itself works");
    let mut secrets: Vec<(&str, Vec<u8>)> = vec![
        ("the old key-encryption key", old_kek),
        ("a key file's passphrase", KEY_PASSPHRASE.into()),
        ("a key file's comment", COMMENT.into()),
        ("the store's passphrase", NEW_PASSPHRASE.into()),
    ];

    let locked = keygen_commented(KeyType::Ed25519, KEY_PASSPHRASE, COMMENT).await.unwrap();
    let clear = keygen_commented(KeyType::Ed25519, "", COMMENT).await.unwrap();
    for key in [&locked, &clear] {
        secrets.extend(secrets_of(&key.private_text()).into_iter().map(|secret| ("a saved key", secret)));
    }
    let credentials = "/api/credentials/ssh";
    let body = json!({
        "tenantId": world.tenant, "name": "saved", "username": "deploy",
        "privateKey": locked.private_text(), "passphrase": KEY_PASSPHRASE,
    });
    let mut wrong = body.clone();
    wrong["passphrase"] = json!(format!("{KEY_PASSPHRASE}, mistyped"));
    assert_eq!(world.keywright.post(credentials, wrong).await.reason(), "PASSPHRASE_INCORRECT");
    let id = text(&world.keywright.post(credentials, body).await.success(), "/id");
    let body = json!({"privateKey": clear.private_text(), "confirmation": {"credentialId": id}});
    world.owner().post(&format!("{credentials}/{id}/rotate"), body).await.success();
    world.host.add_user("deploy");
    world.host.write_authorized_keys("deploy", clear.public_line());
    let server = format!("/api/servers/{}", world.server);
    let bind = json!({"credentialId": id, "skipTest": true});
    world.keywright.post(&format!("{server}/credentials"), bind).await.success();
    let test = world.keywright.post(&format!("{server}/connectivity-tests"), json!({})).await.success();
    assert_eq!(test["status"], "healthy", "the key is used: {test}");

    let access = world.provision().await;
    let downloaded = access.download().await.secrets();
    secrets.extend(downloaded.into_iter().map(|secret| ("a downloaded key", secret)));
    world.keywright.post(ROTATE, json!({"newPassphrase": NEW_PASSPHRASE})).await.success();
    world.keywright.post("/api/admin/secrets/seal", json!({})).await.success();
    world.keywright.post(UNSEAL, json!({"passphrase": NEW_PASSPHRASE})).await.success();

    let mut found = Vec::new();
    let clean = eventually(Duration::from_secs(20), async || {
        let image = memory::image(pid);
        let counted = secrets.iter().map(|(what, secret)| (*what, memory::count(&image, secret)));
        found = counted.filter(|(_, count)| *count > 0).collect();
        found.is_empty()
    });
    let clean = clean.await;
    assert!(clean, "still in memory: {found:?}");
}
