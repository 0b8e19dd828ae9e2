//! Signatures, managed versions and the release of a download.

use super::world::{World, answer, operator, owner, person, reason};
use keywright_domain::caller::{Caller, Role, ServiceName};
use keywright_domain::ids::{RotationId, VersionId};
use keywright_domain::key::{GenerateSpec, PrivateKey, PublicKey, SignatureAlgorithm, UserauthRequest};
use keywright_domain::reason::Reason;
use keywright_proto::credential as proto;
use keywright_proto::credential::VersionState::{Active, Failed, Grace, Retired, Revoked, Staged};
use std::sync::atomic::Ordering;

fn login(credential: &str, server: &str, algorithm: &str) -> proto::SignUserauthRequest {
    proto::SignUserauthRequest {
        credential_id: credential.to_owned(),
        server_id: server.to_owned(),
        session_id: vec![3; 32],
        username: "deploy".to_owned(),
        algorithm: algorithm.to_owned(),
        ..Default::default()
    }
}

fn verify(public_key: &str, algorithm: &str, signature: &[u8]) {
    let key = PublicKey::parse_openssh(public_key).unwrap();
    let algorithm = SignatureAlgorithm::parse(algorithm).unwrap();
    let request = UserauthRequest::new(vec![3; 32], "deploy".to_owned(), algorithm, key.clone()).unwrap();
    key.verify(&request.signed_bytes(), signature).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_the_same() {
    moves(World::on_postgres().await).await;
    works(World::on_postgres().await).await;
    versions(World::on_postgres().await).await;
}

#[tokio::test]
async fn a_person_who_may_test_the_server_has_a_saved_credential_sign() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let saved = world.saved(&owner(&tenant)).await;
    let server = world.server(&owner(&tenant), "web").await;
    let request = login(&saved.id, &server.id, "ssh-ed25519");
    let probe = ServiceName::ConnectivityProbe;
    for caller in [person(Role::TenantOwner, Some(&tenant), probe), person(Role::Operator, None, probe)] {
        let signed = answer(world.keys(&caller).sign_userauth(request.clone()).await).unwrap();
        verify(&saved.public_key, "ssh-ed25519", &signed.signature);
    }
    let get = proto::GetSshCredentialRequest { credential_id: saved.id.clone(), include_usage: false };
    let used =
        answer(world.credentials(&owner(&tenant)).get_ssh_credential(get).await).unwrap().credential.unwrap();
    assert!(used.last_used_at.is_some());

    let member = person(Role::TenantMember, Some(&tenant), probe);
    assert_eq!(reason(world.keys(&member).sign_userauth(request.clone()).await), Reason::PermissionDenied);
    let stranger = person(Role::TenantOwner, Some(&world.tenant().await), probe);
    assert_eq!(
        reason(world.keys(&stranger).sign_userauth(request.clone()).await),
        Reason::CredentialNotFound
    );
    let straight = person(Role::TenantOwner, Some(&tenant), ServiceName::Gateway);
    assert_eq!(reason(world.keys(&straight).sign_userauth(request.clone()).await), Reason::PermissionDenied);
    let elsewhere = world.server(&owner(stranger.principal.tenant.as_ref().unwrap()), "web").await;
    let crossed = login(&saved.id, &elsewhere.id, "ssh-ed25519");
    assert_eq!(
        reason(world.keys(&person(Role::Operator, None, probe)).sign_userauth(crossed).await),
        Reason::PermissionDenied
    );
    let (managed, _) = world.managed(Some(&tenant), &[Active]).await;
    let managed = login(&managed, &server.id, "ssh-ed25519");
    assert_eq!(
        reason(world.keys(&person(Role::TenantOwner, Some(&tenant), probe)).sign_userauth(managed).await),
        Reason::PermissionDenied
    );
    for wrong in ["ssh-rsa", "rsa-sha2-512", ""] {
        let request = login(&saved.id, &server.id, wrong);
        let refused =
            world.keys(&person(Role::TenantOwner, Some(&tenant), probe)).sign_userauth(request).await;
        assert_eq!(reason(refused), Reason::ValidationFailed, "{wrong}");
    }
    let intents = world.log.intents.lock().unwrap().clone();
    let signed = intents
        .iter()
        .filter(|intent| intent.action == "credential.sign" && intent.details.contains_key("username"));
    assert_eq!(signed.count(), 2);
}

#[tokio::test]
async fn an_open_work_signs_with_a_managed_key_and_a_closed_one_does_not() {
    works(World::new().await).await;
}

async fn works(world: World) {
    let tenant = world.tenant().await;
    let server = world.server(&owner(&tenant), "web").await;
    let (access, version) = world.managed(Some(&tenant), &[]).await;
    let (management, management_version) = world.managed(None, &[Active]).await;
    let work = RotationId::random().unwrap().to_string();
    let caller = Caller::background(ServiceName::ConnectivityProbe, &work);
    let mut request = login(&access, &server.id, "ssh-ed25519");
    request.version_id = version.id.clone();
    assert_eq!(reason(world.keys(&caller).sign_userauth(request.clone()).await), Reason::PermissionDenied);
    for credential in [&access, &management] {
        world.lifecycle.open.lock().unwrap().insert((work.clone(), credential.clone(), server.id.clone()));
    }
    let signed = answer(world.keys(&caller).sign_userauth(request.clone()).await).unwrap();
    verify(&version.public_key, "ssh-ed25519", &signed.signature);
    let default = login(&management, &server.id, "ssh-ed25519");
    let signed = answer(world.keys(&caller).sign_userauth(default).await).unwrap();
    verify(&management_version.public_key, "ssh-ed25519", &signed.signature);

    // No version of the access is in use yet.
    assert_eq!(
        reason(world.keys(&caller).sign_userauth(login(&access, &server.id, "ssh-ed25519")).await),
        Reason::VersionNotFound
    );
    let idle = Caller::background(ServiceName::KeyLifecycle, "");
    assert_eq!(reason(world.keys(&idle).sign_userauth(request.clone()).await), Reason::PermissionDenied);
    world.move_to(&access, &version.id, Revoked, false, false).await.unwrap();
    assert_eq!(reason(world.keys(&caller).sign_userauth(request).await), Reason::VersionNotFound);
}

#[tokio::test]
async fn every_algorithm_is_generated_and_signs() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let server = world.server(&owner(&tenant), "web").await;
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "rot_open");
    for (algorithm, signature) in [
        ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
        ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
        ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
        ("ssh-rsa", "rsa-sha2-512"),
    ] {
        let (credential, _) = world.managed(Some(&tenant), &[]).await;
        let generate = proto::GenerateVersionRequest {
            credential_id: credential.clone(),
            version_id: VersionId::random().unwrap().to_string(),
            algorithm: algorithm.to_owned(),
        };
        let version =
            answer(world.keys(&lifecycle).generate_version(generate).await).unwrap().version.unwrap();
        assert_eq!((version.algorithm.as_str(), version.number), (algorithm, 2));
        assert!(algorithm != "ssh-rsa" || version.bits == 4096);
        world.lifecycle.open.lock().unwrap().insert((
            "rot_open".to_owned(),
            credential.clone(),
            server.id.clone(),
        ));
        let request = proto::SignUserauthRequest {
            version_id: version.id,
            ..login(&credential, &server.id, signature)
        };
        let signed = answer(world.keys(&lifecycle).sign_userauth(request).await).unwrap();
        verify(&version.public_key, signature, &signed.signature);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_id_answers_one_key_however_often_it_is_asked_for() {
    versions(World::new().await).await;
}

async fn versions(world: World) {
    let tenant = world.tenant().await;
    let (credential, _) = world.managed(Some(&tenant), &[]).await;
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "");
    let id = VersionId::random().unwrap();
    let request = proto::GenerateVersionRequest {
        credential_id: credential.clone(),
        version_id: id.to_string(),
        algorithm: String::new(),
    };
    let (mut one, mut other) = (world.keys(&lifecycle), world.keys(&lifecycle));
    let (one, other) =
        tokio::join!(one.generate_version(request.clone()), other.generate_version(request.clone()));
    let (one, other) = (answer(one).unwrap(), answer(other).unwrap());
    assert_eq!(one, other);
    assert_eq!(answer(world.keys(&lifecycle).generate_version(request.clone()).await).unwrap(), one);

    // A process died between the material and its row: the key that lies there is the version's.
    let id = VersionId::random().unwrap();
    let left = PrivateKey::generate(GenerateSpec::Ed25519).unwrap();
    world.shelf.store(&id, left.to_openssh().unwrap()).await.unwrap();
    let request = proto::GenerateVersionRequest { version_id: id.to_string(), ..request };
    let version = answer(world.keys(&lifecycle).generate_version(request).await).unwrap().version.unwrap();
    assert_eq!((version.public_key, version.number), (left.public().openssh(), 3));
    assert_eq!((world.count("material_fate").await, world.count("material").await), (0, 3));
}

#[tokio::test]
async fn versions_move_forward_only_and_the_current_one_follows() {
    moves(World::new().await).await;
}

async fn moves(world: World) {
    let tenant = world.tenant().await;
    let (credential, first) = world.managed(Some(&tenant), &[Active, Active, Grace]).await;
    assert_eq!(first.state(), Grace);
    for wrong in [Staged, Active, Failed] {
        let refused = world.move_to(&credential, &first.id, wrong, false, false).await.unwrap_err();
        assert_eq!(refused.reason, Reason::RevisionMismatch, "{wrong:?}");
    }
    let retired = world.move_to(&credential, &first.id, Retired, true, false).await.unwrap();
    assert!(retired.material_destroyed && retired.state() == Retired);
    let again = world.move_to(&credential, &first.id, Retired, true, false).await.unwrap();
    assert_eq!(again, retired);
    let unknown =
        world.move_to(&credential, VersionId::random().unwrap().as_str(), Active, false, false).await;
    assert_eq!(unknown.unwrap_err().reason, Reason::VersionNotFound);
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "");
    let read = proto::GetManagedCredentialRequest { credential_id: credential };
    let read = answer(world.keys(&lifecycle).get_managed_credential(read).await).unwrap();
    assert_eq!((read.versions.len(), read.tenant_id.as_str()), (1, tenant.as_str()));
}

#[tokio::test]
async fn the_management_key_of_a_server_does_not_end_as_long_as_the_server_has_it() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let server = world.server(&owner(&tenant), "web").await;
    let (first, version) = world.managed(None, &[Active]).await;
    let (second, _) = world.managed(None, &[Active]).await;
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "");
    let name = async |credential: &str| {
        let named = proto::SetManagementKeyRequest {
            server_id: server.id.clone(),
            credential_id: credential.to_owned(),
            username: "root".to_owned(),
        };
        world.directory(&lifecycle).set_management_key(named).await.unwrap();
    };
    name(&first).await;
    for state in [Failed, Retired] {
        let refused = world.move_to(&first, &version.id, state, true, false).await.unwrap_err();
        assert_eq!(refused.reason, Reason::RevisionMismatch, "{state:?}");
    }
    assert!(world.move_to(&first, &version.id, Active, true, false).await.is_err(), "nor is it destroyed");
    name(&second).await;
    let retired = world.move_to(&first, &version.id, Retired, true, false).await.unwrap();
    assert!(retired.material_destroyed);
}

#[tokio::test]
async fn a_revocation_is_accepted_while_the_audit_log_is_down() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let (credential, version) = world.managed(Some(&tenant), &[Active]).await;
    world.log.down.store(true, Ordering::SeqCst);
    let refused = world.move_to(&credential, &version.id, Grace, false, false).await.unwrap_err();
    assert_eq!(refused.reason, Reason::AuditUnavailable);
    let revoked = world.move_to(&credential, &version.id, Revoked, true, true).await.unwrap();
    assert!(revoked.compromised && revoked.material_destroyed && revoked.state() == Revoked);
    assert_eq!(world.count("material").await, 0);
}

#[tokio::test]
async fn a_download_leaves_for_a_person_of_the_tenant_through_key_lifecycle_only() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let (credential, version) = world.managed(Some(&tenant), &[Active]).await;
    let request = proto::ReleaseVersionRequest {
        credential_id: credential.clone(),
        version_id: version.id.clone(),
        format: String::new(),
        passphrase: String::new(),
    };
    let lifecycle = ServiceName::KeyLifecycle;
    let owner = person(Role::TenantOwner, Some(&tenant), lifecycle);
    let file = answer(world.releases(&owner).release_version(request.clone()).await).unwrap().file;
    let key = PrivateKey::from_stored(&keywright_domain::secret::Secret::new(file)).unwrap();
    assert_eq!(key.public().openssh(), version.public_key);
    let ppk = proto::ReleaseVersionRequest {
        format: "ppk".to_owned(),
        passphrase: "pass".to_owned(),
        ..request.clone()
    };
    let file = answer(world.releases(&owner).release_version(ppk).await).unwrap().file;
    assert!(file.starts_with(b"PuTTY-User-Key-File-3"));
    let pem = proto::ReleaseVersionRequest { format: "pem".to_owned(), ..request.clone() };
    assert_eq!(reason(world.releases(&owner).release_version(pem).await), Reason::FormatUnsupportedForKey);

    let mut program = person(Role::TenantOwner, Some(&tenant), lifecycle);
    program.principal.kind = keywright_domain::caller::PrincipalKind::Service;
    let stranger = person(Role::TenantOwner, Some(&world.tenant().await), lifecycle);
    for (caller, expected) in [
        (program, Reason::PermissionDenied),
        (operator(), Reason::PermissionDenied),
        (person(Role::TenantMember, Some(&tenant), lifecycle), Reason::PermissionDenied),
        (person(Role::TenantOwner, Some(&tenant), ServiceName::Gateway), Reason::PermissionDenied),
        (Caller::background(lifecycle, "rot_x"), Reason::PermissionDenied),
        (stranger, Reason::CredentialNotFound),
    ] {
        assert_eq!(reason(world.releases(&caller).release_version(request.clone()).await), expected);
    }
    world.move_to(&credential, &version.id, Revoked, true, false).await.unwrap();
    assert_eq!(reason(world.releases(&owner).release_version(request).await), Reason::VersionNotFound);
}

#[tokio::test]
async fn a_key_that_its_holder_made_has_no_private_half_here() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let (credential, generated) = world.managed(Some(&tenant), &[Active]).await;
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "rot_open");
    let made = PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().openssh();
    let register = |key: &str| proto::RegisterVersionRequest {
        credential_id: credential.clone(),
        version_id: VersionId::random().unwrap().to_string(),
        public_key: key.to_owned(),
    };
    let request = register(&made);
    let version =
        answer(world.keys(&lifecycle).register_version(request.clone()).await).unwrap().version.unwrap();
    assert!(version.client_made && version.material_destroyed && version.number == 2);
    let again = answer(world.keys(&lifecycle).register_version(request.clone()).await).unwrap();
    assert_eq!(again.version.as_ref(), Some(&version));
    assert_eq!((world.count("material").await, world.count("material_fate").await), (1, 0));

    // One key, one version: neither another's nor a generated one, and the version keeps its key.
    let refused = |request| async { reason(world.keys(&lifecycle).register_version(request).await) };
    assert_eq!(refused(register(&made)).await, Reason::AlreadyExists);
    assert_eq!(refused(register(&generated.public_key)).await, Reason::AlreadyExists);
    let other = PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().openssh();
    let changed = proto::RegisterVersionRequest { public_key: other.clone(), ..request };
    assert_eq!(refused(changed).await, Reason::AlreadyExists);
    let saved = world.saved(&owner(&tenant)).await.public_key;
    assert_eq!(refused(register(&saved)).await, Reason::AlreadyExists);
    assert_eq!(refused(register("ssh-ed25519 AAAA")).await, Reason::KeyUnparsable);

    // What never came into use may be tried again; what was compromised never.
    world.move_to(&credential, &version.id, Failed, true, false).await.unwrap();
    let retried = answer(world.keys(&lifecycle).register_version(register(&made)).await).unwrap();
    let retried = retried.version.unwrap();
    world.move_to(&credential, &retried.id, Revoked, true, true).await.unwrap();
    assert_eq!(refused(register(&made)).await, Reason::KeyCompromised);
}

#[tokio::test]
async fn nothing_signs_with_and_nothing_releases_what_was_never_here() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let server = world.server(&owner(&tenant), "web").await;
    let (credential, first) = world.managed(Some(&tenant), &[]).await;
    world.move_to(&credential, &first.id, Failed, true, false).await.unwrap();
    let work = RotationId::random().unwrap().to_string();
    let caller = Caller::background(ServiceName::ConnectivityProbe, &work);
    world.lifecycle.open.lock().unwrap().insert((work, credential.clone(), server.id.clone()));
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "rot_open");
    let request = proto::RegisterVersionRequest {
        credential_id: credential.clone(),
        version_id: VersionId::random().unwrap().to_string(),
        public_key: PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().openssh(),
    };
    answer(world.keys(&lifecycle).register_version(request.clone()).await).unwrap();
    world.move_to(&credential, &request.version_id, Active, false, false).await.unwrap();
    let mut asked = login(&credential, &server.id, "ssh-ed25519");
    asked.version_id = request.version_id.clone();
    assert_eq!(reason(world.keys(&caller).sign_userauth(asked).await), Reason::VersionNotFound);
    let release = proto::ReleaseVersionRequest {
        credential_id: credential,
        version_id: request.version_id,
        ..Default::default()
    };
    let owner = person(Role::TenantOwner, Some(&tenant), ServiceName::KeyLifecycle);
    assert_eq!(reason(world.releases(&owner).release_version(release).await), Reason::VersionNotFound);
}
