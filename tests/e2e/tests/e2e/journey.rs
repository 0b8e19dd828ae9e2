//! A key's life: provisioned, downloaded once, rotated, revoked, regenerated.

use std::os::unix::fs::PermissionsExt;

use keywright_e2e::authorized_keys::{foreign_lines, lines_of, without_ours};
use keywright_e2e::{KeyFile, Sshd, World, text};
use keywright_kit::{KeyType, keygen, ssh};
use serde_json::json;

on_every_pair!(
    a_key_is_downloaded_once_and_logs_in,
    a_rotation_keeps_both_keys_and_the_users_own_lines,
    a_revocation_refuses_every_key_and_a_regeneration_opens_again,
);

async fn a_key_is_downloaded_once_and_logs_in(world: World) {
    let access = world.provision().await;
    let key_path = world.keywright.work_dir().join("key.pem");
    let download = |out: &str| {
        let command =
            ["access", "download", &access.id, "--confirm", &access.id, "--no-passphrase", "--out", out];
        command.map(str::to_owned)
    };

    let mut as_operator = download("no.pem").to_vec();
    as_operator.extend(["--tenant".to_owned(), world.tenant.clone()]);
    assert_eq!(world.keywright.cli(&as_operator).await.code, 4, "an operator may not download");
    world.keywright.cli_as(Some(&world.owner_token), &download("key.pem"), b"").await.success();
    let second = world.keywright.cli_as(Some(&world.owner_token), &download("again.pem"), b"").await;

    assert_eq!(std::fs::metadata(&key_path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(second.code, 6, "{}", second.stderr);
    assert!(second.stderr.contains("KEY_ALREADY_DOWNLOADED"), "{}", second.stderr);
    assert!(!world.keywright.work_dir().join("again.pem").exists());
    let shown = ssh(&world.host, &access.account, &key_path, "id -un").await.success();
    assert_eq!(shown.trim(), access.account);
    assert_eq!(access.show().await["download"], "downloaded");
    let suffix = &world.tenant["ten_".len()..][..8];
    assert_eq!(access.account, format!("tenant-{suffix}"));
}

async fn a_rotation_keeps_both_keys_and_the_users_own_lines(world: World) {
    let friend = keygen(KeyType::Ed25519, "").await.unwrap();
    let foreign = foreign_lines(&friend.public_line(), world.sshd);
    let access = world.provision_existing("deploy", &foreign).await;
    let old_public = text(&access.show().await, "/publicKey");
    let old = access.download().await;

    let rotation = access.rotate("3600s").await;
    let new = access.download().await;

    assert_eq!((&rotation["oldVersion"], &rotation["newVersion"]), (&json!(1), &json!(2)));
    assert!(access.opens(&old).await && access.opens(&new).await);
    assert!(ssh(&world.host, "deploy", &friend.private_file(), "true").await.ok());
    assert_eq!(without_ours(&world, "deploy"), foreign);
    let old_lines = lines_of(&world.host, "deploy", &old_public);
    let (enforcer, state) = match world.sshd {
        Sshd::OpenSsh => ("SSHD", "expiring"),
        Sshd::Dropbear => ("KEYWRIGHT", "installed"),
    };
    assert_eq!(old_lines.len(), 1, "{old_lines:?}");
    assert_eq!(old_lines[0].contains("expiry-time=\""), world.sshd == Sshd::OpenSsh, "{old_lines:?}");
    let line = access.line(1).await;
    assert_eq!((&line["graceEnforcedBy"], &line["state"]), (&json!(enforcer), &json!(state)), "{line}");
    assert_eq!(access.show().await["activity"], "grace");
}

async fn a_revocation_refuses_every_key_and_a_regeneration_opens_again(world: World) {
    let friend = keygen(KeyType::Ed25519, "").await.unwrap();
    let foreign = foreign_lines(&friend.public_line(), world.sshd);
    let access = world.provision_existing("deploy", &foreign).await;
    let old = access.download().await;
    access.rotate("3600s").await;
    let new = access.download().await;

    let revocation = access.revoke(json!({"compromised": true, "reason": "lost"})).await;

    assert!(!access.opens(&old).await && !access.opens(&new).await);
    assert_eq!(revocation["hosts"][0]["state"], "REMOVED_PROVEN", "{revocation}");
    let residual = revocation["hosts"][0]["residualAccess"].to_string();
    assert!(residual.contains("FOREIGN_KEYS 2"), "{revocation}");
    let show = access.show().await;
    assert_eq!((&show["status"], &show["download"]), (&json!("revoked"), &json!("none")), "{show}");
    assert_eq!(access.try_download().await.reason(), "ACCESS_REVOKED");
    assert_eq!(access.try_rotate(json!({})).await.reason(), "ACCESS_REVOKED");
    assert_eq!(without_ours(&world, "deploy"), foreign);

    access.regenerate().await;
    let third: KeyFile = access.download().await;
    assert!(access.opens(&third).await);
    assert!(!access.opens(&old).await && !access.opens(&new).await);
    assert_eq!(access.show().await["status"], "active");
}

#[tokio::test]
async fn a_second_rotation_during_grace_needs_a_decision() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let first = access.download().await;
    access.rotate("3600s").await;
    let second = access.download().await;

    let refused = access.try_rotate(json!({"gracePeriod": "3600s"})).await;
    assert_eq!((refused.status, refused.reason()), (409, "GRACE_IN_PROGRESS"));
    assert!(refused.error_info()["metadata"]["graceEndsAt"].is_string(), "{}", refused.json);
    let rotation = access.start_rotation(json!({"gracePeriod": "3600s", "dropGraceKey": true})).await;
    access.finished(&rotation).await;
    let third = access.download().await;

    assert!(access.opens(&second).await && access.opens(&third).await);
    assert!(access.is_refused_within(keywright_e2e::LIMIT, &first).await);
    access.line_becomes(1, "removed_proven").await;
}
