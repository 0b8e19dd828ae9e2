//! Backups taken while everything runs, and installations restored from them: nothing is written to a host, no old
//! token works, and no key comes back before an operator has seen what the hosts have.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use keywright_e2e::backup::{Place, Vault, private_folder, refused, succeeded};
use keywright_e2e::secrets::Needles;
use keywright_e2e::{Access, LIMIT, Sshd, World, audit_log, text, world};
use keywright_kit::{Keywright, KeywrightOptions, eventually, postgres_database};
use serde_json::{Value, json};

/// The embedded store of private keys, on either database.
async fn world_on(postgres: bool) -> (World, Option<String>) {
    let mut database = None;
    let mut options = KeywrightOptions::default();
    if postgres {
        let url = postgres_database().await.unwrap();
        options = options.database_url(&url).arg("--allow-loopback-targets").arg("true");
        database = Some(url);
    }
    (World::with(options, database.clone(), Sshd::OpenSsh).await, database)
}

/// Every account's file as it is.
fn files(world: &World, accounts: &[&str]) -> Vec<Vec<u8>> {
    accounts.iter().map(|account| world.host.read_authorized_keys(account).unwrap()).collect()
}

fn found<'a>(recovery: &'a Value, owner: &str, version: i64) -> &'a Value {
    let lines = recovery["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["owner"] == owner && line["version"] == version);
    line.unwrap_or_else(|| panic!("no line of {owner} v{version} in {recovery}"))
}

async fn access_of(world: &World, account: &str) -> Value {
    world.provision_existing(account, "# theirs\n").await.show().await
}

#[tokio::test]
async fn sqlite_restored_into_sqlite() {
    restored(false, false).await;
}

#[tokio::test]
async fn postgresql_restored_into_postgresql() {
    restored(true, true).await;
}

#[tokio::test]
async fn sqlite_restored_into_postgresql() {
    restored(false, true).await;
}

async fn restored(from_postgres: bool, into_postgres: bool) {
    let (mut world, database) = world_on(from_postgres).await;
    let vault = Vault::new();
    let before = Place::of(&world.keywright, database.as_deref());
    let (rotated, revoked, left) =
        (access_of(&world, "anna").await, access_of(&world, "bert").await, access_of(&world, "cleo").await);
    let accounts = ["root", "anna", "bert", "cleo"];
    Access::new(&world, &left).rotate("0s").await;
    Access::new(&world, &left).line_becomes(1, "removed_proven").await;
    let old_token = world.keywright.operator_token();

    succeeded(&vault.backup(&before, "backup"));

    let access = Access::new(&world, &rotated);
    access.rotate("0s").await;
    access.line_becomes(1, "removed_proven").await;
    let lost = Access::new(&world, &rotated).download().await;
    Access::new(&world, &revoked).revoke(json!({})).await;
    let mut cleo = world.host.read_authorized_keys("cleo").unwrap();
    cleo.extend(format!("{}\n", text(&left, "/publicKey")).into_bytes());
    world.host.write_authorized_keys("cleo", &cleo);
    world.keywright.terminate().await;
    let was = files(&world, &accounts);

    let database = if into_postgres { Some(postgres_database().await.unwrap()) } else { None };
    let place = Place::with_key_of(vault.folder.path(), &before, database);
    let said = succeeded(&vault.restore(&place, "backup", "identity"));
    assert!(said.contains("in recovery"), "{said}");
    world.keywright = Keywright::start(place.options()).await.unwrap();
    for token in [&old_token, &world.owner_token] {
        assert_eq!(world.keywright.caller(token).get("/api/whoami").await.status, 401);
    }
    world.owner_token = world::owner(&world.keywright, &world.tenant).await.1;
    for answer in [
        Access::new(&world, &rotated).try_download().await,
        Access::new(&world, &rotated).try_rotate(json!({"gracePeriod": "0s"})).await,
    ] {
        assert_eq!((answer.status, answer.reason()), (503, "RECOVERY_MODE"), "{}", answer.json);
    }

    let probed = world.keywright.cli(&["admin", "recovery", "probe", "--output", "json"]).await.success();
    let recovery: Value = serde_json::from_str(&probed).unwrap();
    assert_eq!(found(&recovery, &text(&rotated, "/id"), 1)["finding"], "missing");
    assert_eq!(found(&recovery, &text(&revoked, "/id"), 1)["finding"], "missing");
    assert_eq!(found(&recovery, &text(&left, "/id"), 1)["finding"], "unexpected");
    assert_eq!(found(&recovery, &text(&left, "/id"), 2)["finding"], "as_recorded");
    assert_eq!(found(&recovery, &world.server, 1)["finding"], "as_recorded", "the management key");
    assert_eq!((&recovery["missing"], &recovery["unexpected"]), (&json!(2), &json!(1)), "{recovery}");
    assert!(files(&world, &accounts) == was, "a host was written to");
    let complete = async |count: u32| {
        let body = json!({"confirmation": {"targetCount": count}});
        world.keywright.post("/api/admin/recovery/complete", body).await
    };
    assert_eq!(complete(2).await.reason(), "CONFIRMATION_MISMATCH");
    assert_eq!(world.owner().get("/api/admin/recovery").await.status, 403);

    assert_eq!(complete(3).await.success()["active"], false);

    let access = Access::new(&world, &left);
    access.line_becomes(1, "removed_proven").await;
    assert!(!file(&world, "cleo").contains(&blob(&left)), "what should be gone is still there");
    let access = Access::new(&world, &rotated);
    assert_eq!(access.line(1).await["state"], "removed_proven");
    access.rotate("3600s").await;
    assert!(access.opens(&access.download().await).await);
    for (account, key) in [("anna", &rotated), ("bert", &revoked)] {
        assert!(!file(&world, account).contains(&blob(key)), "a missing key came back for {account}");
    }
    // A key that was made after the backup is nobody's any more: it is named as foreign, not forgotten.
    assert!(access.opens(&lost).await);
    let shown = access.show().await;
    assert_eq!(shown["hosts"][0]["residualAccess"], json!(["FOREIGN_KEYS 1"]), "{shown}");
    let restored = audit_log::settled(&world.keywright, "action=log.restored_from").await;
    let entry = restored.first().expect("no entry of the restore");
    assert_eq!(entry["outcome"], "succeeded");
    assert!(entry["details"]["lastHash"].as_str().unwrap().len() == 64, "{entry}");
    // What was logged after the backup is lost: the log has another name from here on.
    let former = text(entry, "/details/formerOrigin");
    let checkpoint = world.keywright.get("/api/audit/log/checkpoint").await;
    let note = String::from_utf8(checkpoint.bytes).unwrap();
    assert!(former.starts_with("keywright/") && note.starts_with("keywright/"), "{former}: {note}");
    assert!(!note.starts_with(&former), "{note}");
    let log = audit_log::whole(&world.keywright).await;
    assert!(log.iter().any(|event| event["action"] == "backup.create"));
}

fn file(world: &World, account: &str) -> String {
    String::from_utf8(world.host.read_authorized_keys(account).unwrap()).unwrap()
}

/// The key of an access as it stands in a file, without its comment.
fn blob(access: &Value) -> String {
    text(access, "/publicKey").split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_among_running_rotations_is_whole_and_holds_no_secret_in_the_clear() {
    let (mut world, _) = world_on(false).await;
    let vault = Vault::new();
    let before = Place::of(&world.keywright, None);
    let mut accesses = Vec::new();
    for account in ["ada", "bob", "cyd"] {
        accesses.push(access_of(&world, account).await);
    }
    let key = Access::new(&world, &accesses[0]).download().await;
    let mut needles = Needles::default();
    needles.add("the operator's token", world.keywright.operator_token());
    needles.add("the owner's token", &world.owner_token);
    needles.add("the invitation", &world.invitation);
    needles.add("the bootstrap key", key_lines(&world.bootstrap.private_text()));
    needles.add("the downloaded key", key_lines(&std::fs::read_to_string(key.path()).unwrap()));
    let kek = std::fs::read(before.data.join("keys/key-encryption.key")).unwrap();
    needles.add("the key-encryption key", &kek);
    needles.add("the key-encryption key, base64", data_encoding::BASE64.encode(&kek));

    let rotations = async {
        for _ in 0..2 {
            for access in &accesses {
                Access::new(&world, access).rotate("0s").await;
            }
        }
    };
    let backups = async {
        for n in 0..4 {
            let (vault, before) = (&vault, &before);
            // Off this thread, which the rotations are driven from.
            tokio::task::block_in_place(|| succeeded(&vault.backup(before, &format!("backup-{n}"))));
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(rotations, backups);

    let accounts = ["root", "ada", "bob", "cyd"];
    world.keywright.terminate().await;
    for n in 0..4 {
        let name = format!("backup-{n}");
        succeeded(&vault.verify(&name, "identity"));
        needles.assert_absent(&name, &vault.decrypted(&name));
        assert_eq!(std::fs::metadata(vault.file(&name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let place = Place::with_key_of(vault.folder.path(), &before, None);
    succeeded(&vault.restore(&place, "backup-1", "identity"));
    let was = files(&world, &accounts);
    world.keywright = Keywright::start(place.options()).await.unwrap();
    world.owner_token = world::owner(&world.keywright, &world.tenant).await.1;
    let probed = world.keywright.post("/api/admin/recovery/probe", json!({})).await.success();
    assert!(probed["probedAt"].is_string(), "{probed}");
    assert!(files(&world, &accounts) == was);
    let count = ["missing", "unexpected", "unreachable"]
        .map(|name| probed[name].as_i64().unwrap())
        .iter()
        .sum::<i64>();
    let body = json!({"confirmation": {"targetCount": count}});
    world.keywright.post("/api/admin/recovery/complete", body).await.success();

    // Whatever was half done when the copies were made ends, and everything goes on.
    for access in &accesses {
        let access = Access::new(&world, access);
        let settled = eventually(LIMIT, async || access.show().await["activity"] == "none").await;
        assert!(settled, "{}\n{}", access.show().await, world.keywright.logs());
        access.rotate("0s").await;
        assert!(access.opens(&access.download().await).await);
    }
}

/// A line of a private key's body, long enough to be told from chance.
fn key_lines(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('-')).nth(2).unwrap().to_owned()
}

#[tokio::test]
async fn what_is_not_whole_not_ours_or_without_its_key_touches_nothing() {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let vault = Vault::new();
    let before = Place::of(&keywright, None);
    succeeded(&vault.backup(&before, "backup"));
    let said = refused(&vault.backup(&before, "backup"));
    assert!(said.contains("left alone"), "{said}");
    let whole = std::fs::read(vault.file("backup")).unwrap();
    let place = Place::with_key_of(vault.folder.path(), &before, None);
    let untouched = |place: &Place| {
        let names = world::files_below(&place.data);
        assert!(names.iter().all(|file| file.ends_with("key-encryption.key")), "{names:?}");
    };
    let (middle, end) = (whole.len() / 2, whole.len());
    let damages: [(&str, Vec<u8>); 4] = [
        ("changed", [&whole[..middle], &[whole[middle] ^ 1], &whole[middle + 1..]].concat()),
        ("cut", whole[..end - 1].to_vec()),
        ("emptied", Vec::new()),
        ("prolonged", [whole.as_slice(), b"x"].concat()),
    ];
    for (what, bytes) in damages {
        std::fs::write(vault.file(what), bytes).unwrap();
        refused(&vault.verify(what, "identity"));
        refused(&vault.restore(&place, what, "identity"));
        untouched(&place);
    }
    vault.keygen("stranger");
    let said = refused(&vault.restore(&place, "backup", "stranger"));
    assert!(said.contains("sealed to somebody else"), "{said}");
    untouched(&place);

    let key = place.data.join("keys/key-encryption.key");
    let right = std::fs::read(&key).unwrap();
    std::fs::write(&key, [7u8; 32]).unwrap();
    let said = refused(&vault.restore(&place, "backup", "identity"));
    assert!(said.contains("not the one that sealed"), "{said}");
    untouched(&place);
    std::fs::write(&key, right).unwrap();
    succeeded(&vault.restore(&place, "backup", "identity"));
    let said = refused(&vault.restore(&place, "backup", "identity"));
    assert!(said.contains("not an empty installation"), "{said}");
    let said = refused(&vault.restore(&before, "backup", "identity"));
    assert!(said.contains("not an empty installation"), "a running installation was restored over: {said}");
}

#[tokio::test]
async fn a_full_disk_leaves_no_half_file() {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let vault = Vault::new();
    private_folder(&vault.file("small"));
    let script =
        "mount -t tmpfs -o size=8k tmpfs small && \"$@\"; code=$?; echo \"left: $(ls -A small)\"; exit $code";
    let mut command = keywright_e2e::supervised::clean_command(vault.folder.path(), "unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(vault.server().get_program());
    command.args(["backup", "--recipient", &vault.recipient, "--out", "small/backup", "--data-dir"]);
    let output = command.arg(keywright.data_dir()).output().unwrap();
    let said = refused(&output);
    assert!(said.contains("cannot be written"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("left: \n"), "{output:?}");
    let log = audit_log::settled(&keywright, "action=backup.create").await;
    assert_eq!(log[0]["outcome"], "failed", "{log:?}");
}

#[tokio::test]
async fn a_restore_that_was_killed_is_run_again_and_no_server_starts_before() {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let vault = Vault::new();
    let before = Place::of(&keywright, None);
    for n in 0..30 {
        keywright.post("/api/tenants", json!({"name": format!("tenant {n}")})).await.success();
    }
    succeeded(&vault.backup(&before, "backup"));
    for postgres in [false, true] {
        let database = if postgres { Some(postgres_database().await.unwrap()) } else { None };
        let folder = vault.file(if postgres { "on-postgres" } else { "on-sqlite" });
        private_folder(&folder);
        let place = Place::with_key_of(&folder, &before, database);
        let mark = place.data.join("restore.unfinished");
        let mut restore = vault.begin_restore(&place, "backup");
        let began = eventually(LIMIT, async || mark.exists()).await;
        assert!(began, "the restore never began");
        restore.kill().unwrap();
        restore.wait().unwrap();
        assert!(mark.exists(), "it was too fast to be killed");

        let refusal = Keywright::start(place.options()).await;
        assert!(format!("{:?}", refusal.err()).contains("did not end"));
        let elsewhere =
            Place { database: Some("postgres://nobody@127.0.0.1:1/none".to_owned()), ..place.clone() };
        let said = refused(&vault.restore(&elsewhere, "backup", "identity"));
        assert!(said.contains("into other databases"), "{said}");

        succeeded(&vault.restore(&place, "backup", "identity"));
        assert!(!Path::new(&mark).exists());
        let restored = Keywright::start(place.options()).await.unwrap();
        let tenants = restored.get("/api/tenants").await.success();
        assert_eq!(tenants["items"].as_array().unwrap().len(), 30);
        let ready = eventually(Duration::from_secs(60), async || {
            restored.get("/api/admin/recovery").await.json["active"] == true
        });
        assert!(ready.await);
    }
}
