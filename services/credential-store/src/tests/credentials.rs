//! Saved credentials: intake, checks, idempotency, users, and what is refused.

use super::world::{World, answer, key_text, operator, owner, person, reason};
use keywright_domain::caller::{Role, ServiceName};
use keywright_domain::reason::Reason;
use keywright_proto::credential as proto;
use std::process::Command;
use std::sync::atomic::Ordering;

fn new(private_key: &str) -> proto::CreateSshCredentialRequest {
    proto::CreateSshCredentialRequest {
        name: "deploy".to_owned(),
        private_key: private_key.to_owned(),
        ..Default::default()
    }
}

fn rotation(id: &str) -> proto::RotateSshCredentialRequest {
    proto::RotateSshCredentialRequest {
        credential_id: id.to_owned(),
        private_key: key_text(),
        confirmation: Some(proto::CredentialConfirmation {
            credential_id: id.to_owned(),
            acknowledge_server_usage: false,
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn on_postgresql_the_same() {
    replays(World::on_postgres().await).await;
    twice_at_once(World::on_postgres().await).await;
    lists(World::on_postgres().await).await;
}

#[tokio::test]
async fn an_encrypted_key_is_opened_once_and_its_passphrase_dropped() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let file = world.dir.path().join("key");
    let options = ["-q", "-t", "ed25519", "-N", "correct horse", "-a", "1", "-f"];
    assert!(Command::new("ssh-keygen").args(options).arg(&file).status().unwrap().success());
    let mut request = new(&std::fs::read_to_string(&file).unwrap());
    request.public_key = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    let mut credentials = world.credentials(&owner);
    assert_eq!(reason(credentials.create_ssh_credential(request.clone()).await), Reason::PassphraseRequired);
    request.passphrase = "wrong".to_owned();
    assert_eq!(reason(credentials.create_ssh_credential(request.clone()).await), Reason::PassphraseIncorrect);
    request.passphrase = "correct horse".to_owned();
    let saved = answer(credentials.create_ssh_credential(request.clone()).await).unwrap().credential.unwrap();
    assert!(saved.encrypted_at_intake);
    let checks: Vec<_> = saved.checks.iter().map(|check| (check.name.as_str(), check.status())).collect();
    assert_eq!(checks, [("key", proto::CheckStatus::Passed), ("passphrase", proto::CheckStatus::Passed)]);
    assert!(request.public_key.starts_with(&saved.public_key));

    request.public_key = PUBLIC.to_owned();
    assert_eq!(reason(credentials.create_ssh_credential(request).await), Reason::PublicKeyMismatch);
    assert_eq!(world.count("material").await, 1);
}

const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

#[tokio::test]
async fn a_check_without_storing_says_what_is_wrong_as_a_result() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let mut credentials = world.credentials(&owner);
    let mut validate = async |private_key: &str| {
        let request =
            proto::ValidateSshCredentialRequest { private_key: private_key.to_owned(), ..Default::default() };
        answer(credentials.validate_ssh_credential(request).await)
    };
    let good = validate(&key_text()).await.unwrap();
    assert!(good.valid && good.fingerprint.starts_with("SHA256:") && good.bits == 256);
    let bad = validate(PUBLIC).await.unwrap();
    assert!(!bad.valid && bad.fingerprint.is_empty());
    assert_eq!(
        (bad.checks[0].status(), bad.checks[0].code.as_str()),
        (proto::CheckStatus::Failed, "PUBLIC_KEY_GIVEN")
    );
    assert_eq!(bad.checks[1].status(), proto::CheckStatus::Skipped);
    assert_eq!(validate(&"x".repeat(70_000)).await.unwrap_err().reason, Reason::PayloadTooLarge);
    assert_eq!(validate("").await.unwrap_err().reason, Reason::ValidationFailed);
    assert_eq!(world.count("material").await + world.count("credential").await, 0);
}

#[tokio::test]
async fn the_same_request_answers_the_same_and_another_under_its_key_is_refused() {
    replays(World::new().await).await;
}

async fn replays(world: World) {
    let owner = owner(&world.tenant().await);
    let mut credentials = world.credentials(&owner);
    let mut request = new(&key_text());
    request.idempotency_key = "one".to_owned();
    let first = answer(credentials.create_ssh_credential(request.clone()).await).unwrap();
    let again = answer(credentials.create_ssh_credential(request.clone()).await).unwrap();
    assert_eq!(first, again);
    request.name = "other".to_owned();
    assert_eq!(reason(credentials.create_ssh_credential(request).await), Reason::IdempotencyKeyReused);
    assert_eq!((world.count("credential").await, world.count("material").await), (1, 1));

    let id = first.credential.unwrap().id;
    let mut request = rotation(&id);
    request.idempotency_key = "two".to_owned();
    let first = answer(credentials.rotate_ssh_credential(request.clone()).await).unwrap();
    let again = answer(credentials.rotate_ssh_credential(request.clone()).await).unwrap();
    assert_eq!((first.credential.as_ref().unwrap().version, &first), (2, &again));
    // A check is never skipped: not even for the same key.
    request.confirmation = None;
    assert_eq!(
        reason(credentials.rotate_ssh_credential(request.clone()).await),
        Reason::ConfirmationRequired
    );
    let mut other = rotation(&id);
    other.idempotency_key = "two".to_owned();
    assert_eq!(reason(credentials.rotate_ssh_credential(other).await), Reason::IdempotencyKeyReused);

    let request = proto::DeleteSshCredentialRequest {
        credential_id: id.clone(),
        confirmation: Some(proto::CredentialConfirmation {
            credential_id: id,
            acknowledge_server_usage: false,
        }),
        idempotency_key: "three".to_owned(),
    };
    credentials.delete_ssh_credential(request.clone()).await.unwrap();
    credentials.delete_ssh_credential(request.clone()).await.unwrap();
    let stranger = super::world::owner(&world.tenant().await);
    assert_eq!(
        reason(world.credentials(&stranger).delete_ssh_credential(request).await),
        Reason::CredentialNotFound
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_twice_at_once_saves_one_credential() {
    twice_at_once(World::new().await).await;
}

async fn twice_at_once(world: World) {
    let owner = owner(&world.tenant().await);
    let mut request = new(&key_text());
    request.idempotency_key = "one".to_owned();
    let (mut one, mut other) = (world.credentials(&owner), world.credentials(&owner));
    let (one, other) =
        tokio::join!(one.create_ssh_credential(request.clone()), other.create_ssh_credential(request));
    assert_eq!(answer(one).unwrap(), answer(other).unwrap());
    assert_eq!((world.count("credential").await, world.count("material").await), (1, 1));
}

#[tokio::test]
async fn the_default_user_is_kept_changed_and_cleared() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let id = world.saved(&owner).await.id;
    let mut credentials = world.credentials(&owner);
    let mut rotate = async |username: Option<&str>, clear_username| {
        let request = proto::RotateSshCredentialRequest {
            username: username.map(ToOwned::to_owned),
            clear_username,
            ..rotation(&id)
        };
        answer(credentials.rotate_ssh_credential(request).await)
            .map(|rotated| rotated.credential.unwrap().username)
    };
    assert_eq!(rotate(None, false).await.unwrap(), "deploy");
    assert_eq!(rotate(Some("root"), false).await.unwrap(), "root");
    assert_eq!(rotate(None, true).await.unwrap(), "");
    assert_eq!(rotate(Some("root"), true).await.unwrap_err().reason, Reason::ValidationFailed);
    assert_eq!(rotate(Some(""), false).await.unwrap_err().violations[0].field, "username");
}

#[tokio::test]
async fn managed_and_compromised_keys_stay_out() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let owner = owner(&tenant);
    let (credential, version) = world.managed(Some(&tenant), &[proto::VersionState::Active]).await;
    let get = proto::GetSshCredentialRequest { credential_id: credential.clone(), include_usage: true };
    assert_eq!(reason(world.credentials(&owner).get_ssh_credential(get).await), Reason::CredentialIsManaged);
    let rotate = world.credentials(&owner).rotate_ssh_credential(rotation(&credential)).await;
    assert_eq!(reason(rotate), Reason::CredentialIsManaged);
    let listed =
        world.credentials(&owner).list_ssh_credentials(proto::ListSshCredentialsRequest::default()).await;
    assert!(answer(listed).unwrap().items.is_empty());

    let release = proto::ReleaseVersionRequest {
        credential_id: credential.clone(),
        version_id: version.id.clone(),
        format: "openssh".to_owned(),
        passphrase: String::new(),
    };
    let carried = person(Role::TenantOwner, Some(&tenant), ServiceName::KeyLifecycle);
    let file = answer(world.releases(&carried).release_version(release).await).unwrap().file;
    let text = String::from_utf8(file).unwrap();
    assert_eq!(
        reason(world.credentials(&owner).create_ssh_credential(new(&text)).await),
        Reason::CredentialIsManaged
    );
    world.move_to(&credential, &version.id, proto::VersionState::Revoked, true, true).await.unwrap();
    assert_eq!(
        reason(world.credentials(&owner).create_ssh_credential(new(&text)).await),
        Reason::KeyCompromised
    );
    assert_eq!((world.count("material").await, world.count("compromised_fingerprint").await), (0, 1));
}

#[tokio::test]
async fn each_role_does_what_it_may_and_nothing_happens_unlogged() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let owner = owner(&tenant);
    let id = world.saved(&owner).await.id;
    let member = person(Role::TenantMember, Some(&tenant), ServiceName::Gateway);
    let get = proto::GetSshCredentialRequest { credential_id: id.clone(), include_usage: false };
    assert!(world.credentials(&member).get_ssh_credential(get).await.is_ok());
    assert_eq!(
        reason(world.credentials(&member).rotate_ssh_credential(rotation(&id)).await),
        Reason::PermissionDenied
    );
    let mut created = new(&key_text());
    assert_eq!(
        reason(world.credentials(&operator()).create_ssh_credential(created.clone()).await),
        Reason::ValidationFailed
    );
    created.tenant_id = tenant.to_string();
    assert!(world.credentials(&operator()).create_ssh_credential(created).await.is_ok());

    world.log.down.store(true, Ordering::SeqCst);
    assert_eq!(
        reason(world.credentials(&owner).rotate_ssh_credential(rotation(&id)).await),
        Reason::AuditUnavailable
    );
    let get = proto::GetSshCredentialRequest { credential_id: id, include_usage: false };
    let now = answer(world.credentials(&owner).get_ssh_credential(get).await).unwrap().credential.unwrap();
    assert_eq!(now.version, 1);
    assert!(world.log.actions().iter().filter(|action| *action == "credential.create").count() >= 2);
}

#[tokio::test]
async fn lists_are_paged_searched_and_the_tenants_own() {
    lists(World::new().await).await;
}

async fn lists(world: World) {
    let owner = owner(&world.tenant().await);
    let other = super::world::owner(&world.tenant().await);
    world.saved(&other).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.insert(0, world.saved(&owner).await.id);
        world.pass(std::time::Duration::from_secs(1));
    }
    let mut credentials = world.credentials(&owner);
    let mut request = proto::ListSshCredentialsRequest { page_size: 2, ..Default::default() };
    let first = answer(credentials.list_ssh_credentials(request.clone()).await).unwrap();
    request.page_token = first.next_page_token;
    let second = answer(credentials.list_ssh_credentials(request).await).unwrap();
    let ids: Vec<_> = first.items.into_iter().chain(second.items).map(|item| item.id).collect();
    assert_eq!((ids, second.next_page_token.as_str()), (made.clone(), ""));
    let request = proto::ListSshCredentialsRequest { search: made[1].clone(), ..Default::default() };
    assert_eq!(answer(credentials.list_ssh_credentials(request).await).unwrap().items[0].id, made[1]);
    let request = proto::ListSshCredentialsRequest {
        tenant_id: other.principal.tenant.unwrap().to_string(),
        ..Default::default()
    };
    assert_eq!(reason(credentials.list_ssh_credentials(request).await), Reason::TenantNotFound);
}
