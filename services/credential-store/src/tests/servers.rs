//! Servers: registration, pins, bindings, deletion, and the directory of them.

use super::fakes::TEST_ID;
use super::world::{World, answer, operator, owner, reason};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::ids::ServerId;
use keywright_domain::key::{GenerateSpec, PrivateKey, PublicKey};
use keywright_domain::reason::Reason;
use keywright_proto::credential as proto;
use keywright_proto::credential::HostKeyAction::{self, Approve, Remove, Repin};
use keywright_runtime::failure::Failure;
use std::sync::atomic::Ordering;

fn host_key() -> PublicKey {
    PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().clone()
}

fn new(name: &str) -> proto::RegisterServerRequest {
    proto::RegisterServerRequest {
        name: name.to_owned(),
        host: "Web.Example.".to_owned(),
        ..Default::default()
    }
}

async fn update(
    world: &World,
    caller: &Caller,
    server: &str,
    action: HostKeyAction,
    keys: &[&PublicKey],
) -> Result<usize, Failure> {
    let request = proto::UpdateHostKeysRequest {
        server_id: server.to_owned(),
        action: action.into(),
        fingerprints: keys.iter().map(|key| key.fingerprint().to_string()).collect(),
        authorities: Vec::new(),
    };
    answer(world.servers(caller).update_host_keys(request).await).map(|updated| updated.items.len())
}

#[tokio::test]
async fn on_postgresql_the_same() {
    lists(World::on_postgres().await).await;
    binding(World::on_postgres().await).await;
    pins(World::on_postgres().await).await;
    deletion(World::on_postgres().await).await;
}

#[tokio::test]
async fn a_server_is_registered_once_under_its_name_and_read_back() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let owner = owner(&tenant);
    let mut request = new(" web ");
    request.labels.insert("role".to_owned(), "front".to_owned());
    request.idempotency_key = "one".to_owned();
    let first = answer(world.servers(&owner).register_server(request.clone()).await).unwrap().server.unwrap();
    let again = answer(world.servers(&owner).register_server(request.clone()).await).unwrap().server.unwrap();
    assert_eq!(first, again);
    assert_eq!((first.name.as_str(), first.host.as_str(), first.port), ("web", "web.example", 22));
    assert_eq!((first.group.as_str(), first.lifecycle_status()), ("default", proto::ServerLifecycle::Active));
    let read = answer(
        world.servers(&owner).get_server(proto::GetServerRequest { server_id: first.id.clone() }).await,
    );
    assert_eq!(read.unwrap().server.unwrap(), first);
    assert_eq!(reason(world.servers(&owner).register_server(new("web")).await), Reason::AlreadyExists);
    request.port = 2222;
    assert_eq!(reason(world.servers(&owner).register_server(request).await), Reason::IdempotencyKeyReused);

    for (host, port) in [("ssh://web", 22), ("10.0.0.0/8", 22), ("web", 70_000), ("", 22)] {
        let request = proto::RegisterServerRequest { host: host.to_owned(), port, ..new("other") };
        assert_eq!(reason(world.servers(&owner).register_server(request).await), Reason::ValidationFailed);
    }
    let nowhere = proto::RegisterServerRequest {
        tenant_id: keywright_domain::ids::TenantId::random().unwrap().to_string(),
        ..new("web")
    };
    assert_eq!(
        reason(world.servers(&operator()).register_server(nowhere.clone()).await),
        Reason::TenantNotFound
    );
    assert_eq!(reason(world.servers(&owner).register_server(nowhere).await), Reason::TenantNotFound);
    let stranger = super::world::owner(&world.tenant().await);
    let foreign = world.servers(&stranger).get_server(proto::GetServerRequest { server_id: first.id }).await;
    assert_eq!(reason(foreign), Reason::ServerNotFound);
}

#[tokio::test]
async fn lists_are_paged_and_searched() {
    lists(World::new().await).await;
}

async fn lists(world: World) {
    let owner = owner(&world.tenant().await);
    for name in ["alpha", "beta_1", "beta2"] {
        world.server(&owner, name).await;
        world.pass(std::time::Duration::from_secs(1));
    }
    let names = async |search: &str, page_size, page_token: &str| {
        let request = proto::ListServersRequest {
            search: search.to_owned(),
            page_size,
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        let page = answer(world.servers(&owner).list_servers(request).await).unwrap();
        (page.items.into_iter().map(|server| server.name).collect::<Vec<_>>(), page.next_page_token)
    };
    assert_eq!(names("", 0, "").await.0, ["beta2", "beta_1", "alpha"]);
    assert_eq!(names("BETA", 0, "").await.0, ["beta2", "beta_1"]);
    assert_eq!(names("beta_", 0, "").await.0, ["beta_1"]);
    assert_eq!(names("alpha.ex", 0, "").await.0, ["alpha"]);
    let (first, token) = names("", 2, "").await;
    assert_eq!((first.len(), names("", 2, &token).await.0), (2, vec!["alpha".to_owned()]));
}

#[tokio::test]
async fn host_keys_are_given_or_taken_on_first_use() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let (one, other) = (host_key(), host_key());
    let mut request = new("given");
    request.host_keys = vec![one.openssh()];
    request.known_hosts = format!("web.example {}\nother {}\n", other.openssh(), host_key().openssh());
    let given = answer(world.servers(&owner).register_server(request.clone()).await).unwrap().server.unwrap();
    let prints: Vec<_> = given.host_keys.iter().map(|key| key.fingerprint.clone()).collect();
    assert_eq!(prints, [one.fingerprint().to_string(), other.fingerprint().to_string()]);
    request.accept_new = true;
    assert_eq!(reason(world.servers(&owner).register_server(request).await), Reason::ValidationFailed);

    let mut request = new("scanned");
    request.accept_new = true;
    assert_eq!(reason(world.servers(&owner).register_server(request.clone()).await), Reason::HostUnreachable);
    *world.prober.shown.lock().unwrap() = vec![one.openssh(), "ssh-dss AAAA".to_owned()];
    let scanned = answer(world.servers(&owner).register_server(request).await).unwrap().server.unwrap();
    assert_eq!(scanned.host_keys[0].approved_by, owner.principal.id);
    assert_eq!(scanned.host_keys.len(), 1);
}

#[tokio::test]
async fn an_approval_holds_for_what_a_fresh_scan_shows_and_managed_pins_are_the_operators() {
    pins(World::new().await).await;
}

async fn pins(world: World) {
    let tenant = world.tenant().await;
    let owner = owner(&tenant);
    let server = world.server(&owner, "web").await.id;
    let (one, other) = (host_key(), host_key());
    *world.prober.shown.lock().unwrap() = vec![one.openssh()];
    let mismatch = update(&world, &owner, &server, Approve, &[&one, &other]).await.unwrap_err();
    assert_eq!(
        (mismatch.reason, mismatch.metadata["shown"].as_str()),
        (Reason::HostKeyMismatch, one.fingerprint().as_str())
    );
    assert_eq!(
        update(&world, &owner, &server, Approve, &[]).await.unwrap_err().reason,
        Reason::ValidationFailed
    );
    assert_eq!(update(&world, &owner, &server, Approve, &[&one]).await.unwrap(), 1);
    assert_eq!(
        update(&world, &owner, &server, Approve, &[&one]).await.unwrap(),
        1,
        "repeating it changes nothing"
    );
    *world.prober.shown.lock().unwrap() = vec![other.openssh()];
    assert_eq!(
        update(&world, &owner, &server, Approve, &[&other]).await.unwrap_err().reason,
        Reason::HostKeyMismatch
    );
    assert_eq!(update(&world, &owner, &server, Repin, &[&other]).await.unwrap(), 1);
    assert_eq!(
        update(&world, &owner, &server, Remove, &[&one]).await.unwrap_err().reason,
        Reason::ValidationFailed
    );

    let (key, _) = world.managed(None, &[proto::VersionState::Active]).await;
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "");
    let management = proto::SetManagementKeyRequest {
        server_id: server.clone(),
        credential_id: key.clone(),
        username: "root".to_owned(),
    };
    for _ in 0..2 {
        world.directory(&lifecycle).set_management_key(management.clone()).await.unwrap();
    }
    let resolved = proto::ResolveServerRequest { server_id: server.clone() };
    let resolved =
        answer(world.directory(&lifecycle).resolve_server(resolved).await).unwrap().server.unwrap();
    assert_eq!((resolved.management_key_id, resolved.management_username.as_str()), (key, "root"));
    for action in [Approve, Repin, Remove] {
        assert_eq!(
            update(&world, &owner, &server, action, &[&other]).await.unwrap_err().reason,
            Reason::PermissionDenied
        );
    }
    assert_eq!(update(&world, &operator(), &server, Remove, &[&other]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_binding_is_tested_recorded_and_unverified_again_after_a_rotation() {
    binding(World::new().await).await;
}

async fn binding(world: World) {
    let tenant = world.tenant().await;
    let owner = owner(&tenant);
    let credential = world.saved(&owner).await;
    let server = world.server(&owner, "web").await.id;
    let bind = proto::BindCredentialRequest {
        server_id: server.clone(),
        credential_id: credential.id.clone(),
        ..Default::default()
    };
    let bound = answer(world.servers(&owner).bind_credential(bind.clone()).await).unwrap();
    assert_eq!(
        (bound.connectivity_test_id.as_str(), world.prober.tested.lock().unwrap().as_slice()),
        (TEST_ID, [server.clone()].as_slice())
    );
    let binding = bound.server.unwrap().credential.unwrap();
    assert_eq!((binding.username.as_str(), binding.test_status.as_str()), ("deploy", "UNVERIFIED"));

    let probe = Caller::background(ServiceName::ConnectivityProbe, "");
    let result = proto::RecordTestResultRequest {
        server_id: server.clone(),
        credential_id: credential.id.clone(),
        test_id: TEST_ID.to_owned(),
        status: "HEALTHY".to_owned(),
        server_version: "SSH-2.0-OpenSSH_9.2\u{7}".to_owned(),
    };
    world.directory(&probe).record_test_result(result.clone()).await.unwrap();
    let wrong = proto::RecordTestResultRequest { status: "FINE".to_owned(), ..result };
    assert_eq!(reason(world.directory(&probe).record_test_result(wrong).await), Reason::ValidationFailed);
    let get = proto::GetServerRequest { server_id: server.clone() };
    let read = answer(world.servers(&owner).get_server(get.clone()).await).unwrap().server.unwrap();
    assert_eq!(read.capabilities.unwrap().server_version, "SSH-2.0-OpenSSH_9.2");
    let binding = read.credential.unwrap();
    assert_eq!((binding.test_status.as_str(), binding.last_test_id.as_str()), ("HEALTHY", TEST_ID));

    let other = world.server(&owner, "db").await.id;
    let gone = ServerId::random().unwrap().to_string();
    let targets =
        proto::ResolveTargetsRequest { server_ids: vec![server.clone(), gone.clone(), other.clone()] };
    let found = world.directory(&probe).resolve_targets(targets.clone()).await.unwrap().into_inner().targets;
    let mut found: Vec<(String, Option<String>)> = found
        .into_iter()
        .map(|target| (target.server.unwrap().id, target.credential.map(|credential| credential.id)))
        .collect();
    found.sort();
    let mut wanted = vec![(server.clone(), Some(credential.id.clone())), (other.clone(), None)];
    wanted.sort();
    assert_eq!(found, wanted, "those that there are, with what is bound");
    assert_eq!(reason(world.directory(&owner).resolve_targets(targets).await), Reason::ServerNotFound);
    let many = proto::ResolveTargetsRequest { server_ids: vec![server.clone(); 101] };
    assert_eq!(reason(world.directory(&probe).resolve_targets(many).await), Reason::ValidationFailed);
    let results = [(&server, &credential.id), (&other, &credential.id), (&gone, &credential.id)];
    let results = proto::RecordTestResultsRequest {
        results: results
            .into_iter()
            .map(|(server, credential)| proto::DirectoryTestResult {
                server_id: server.clone(),
                credential_id: credential.clone(),
                test_id: TEST_ID.to_owned(),
                status: "DEGRADED".to_owned(),
                server_version: String::new(),
            })
            .collect(),
    };
    world.directory(&probe).record_test_results(results.clone()).await.unwrap();
    assert_eq!(reason(world.directory(&owner).record_test_results(results).await), Reason::ServerNotFound);
    let read = answer(world.servers(&owner).get_server(get.clone()).await).unwrap().server.unwrap();
    assert_eq!(read.credential.unwrap().test_status, "DEGRADED");
    assert_eq!(read.capabilities.unwrap().server_version, "SSH-2.0-OpenSSH_9.2", "nothing new was seen");
    let read = proto::GetServerRequest { server_id: other };
    let read = answer(world.servers(&owner).get_server(read).await).unwrap().server.unwrap();
    assert!(read.credential.is_none() && read.capabilities.is_none(), "not bound there");

    let rotate = proto::RotateSshCredentialRequest {
        credential_id: credential.id.clone(),
        private_key: super::world::key_text(),
        confirmation: Some(proto::CredentialConfirmation {
            credential_id: credential.id.clone(),
            acknowledge_server_usage: true,
        }),
        ..Default::default()
    };
    world.credentials(&owner).rotate_ssh_credential(rotate).await.unwrap();
    let read = answer(world.servers(&owner).get_server(get).await).unwrap().server.unwrap();
    assert_eq!(read.credential.unwrap().test_status, "UNVERIFIED");

    world.prober.down.store(true, Ordering::SeqCst);
    let bound = answer(world.servers(&owner).bind_credential(bind).await).unwrap();
    assert_eq!(bound.connectivity_test_id, "", "the binding holds though it could not be tested");
}

#[tokio::test]
async fn what_may_not_be_bound_is_told_apart() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let owner = owner(&tenant);
    let stranger = super::world::owner(&world.tenant().await);
    let (foreign, own) = (world.saved(&stranger).await.id, world.saved(&owner).await.id);
    let (managed, _) = world.managed(Some(&tenant), &[]).await;
    let server = world.server(&owner, "web").await.id;
    for caller in [&owner, &operator()] {
        assert_eq!(
            world.bind(caller, &server, &foreign).await.unwrap_err().reason,
            Reason::CredentialNotFound
        );
    }
    assert_eq!(world.bind(&owner, &server, &managed).await.unwrap_err().reason, Reason::CredentialIsManaged);
    let unbind = proto::UnbindCredentialRequest { server_id: server.clone() };
    assert_eq!(reason(world.servers(&owner).unbind_credential(unbind).await), Reason::BindingNotFound);
    let deactivate = proto::DeactivateServerRequest { server_id: server.clone() };
    for _ in 0..2 {
        let now = answer(world.servers(&owner).deactivate_server(deactivate.clone()).await)
            .unwrap()
            .server
            .unwrap();
        assert_eq!((now.lifecycle_status(), now.revision.as_str()), (proto::ServerLifecycle::Inactive, "2"));
    }
    assert_eq!(world.bind(&owner, &server, &own).await.unwrap_err().reason, Reason::ServerInactive);
}

#[tokio::test]
async fn a_server_is_deleted_only_when_nothing_uses_it() {
    deletion(World::new().await).await;
}

async fn deletion(world: World) {
    let owner = owner(&world.tenant().await);
    let server = world.server(&owner, "web").await.id;
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "");
    let held = proto::AddReferenceRequest {
        server_id: server.clone(),
        owner: "acc_x".to_owned(),
        purpose: "access".to_owned(),
        ..Default::default()
    };
    world.directory(&lifecycle).add_reference(held).await.unwrap();
    let check = proto::CheckServerDeletionRequest { server_id: server.clone() };
    let blocked = answer(world.servers(&owner).check_server_deletion(check.clone()).await).unwrap();
    assert!(!blocked.deletable && blocked.blockers[0].contains("acc_x"));
    let delete = async |typed: &str| {
        let request = proto::DeleteServerRequest {
            server_id: server.clone(),
            confirmation: Some(proto::ServerConfirmation { server_id: typed.to_owned() }),
        };
        answer(world.servers(&owner).delete_server(request).await)
    };
    assert_eq!(delete(&server).await.unwrap_err().reason, Reason::ServerInUse);
    let dropped = proto::RemoveReferenceRequest {
        server_id: server.clone(),
        owner: "acc_x".to_owned(),
        purpose: "access".to_owned(),
        ..Default::default()
    };
    world.directory(&lifecycle).remove_reference(dropped).await.unwrap();
    assert!(answer(world.servers(&owner).check_server_deletion(check).await).unwrap().deletable);
    assert_eq!(delete("").await.unwrap_err().reason, Reason::ConfirmationRequired);
    assert_eq!(delete("srv_other").await.unwrap_err().reason, Reason::ConfirmationMismatch);
    delete(&server).await.unwrap();
    assert_eq!(delete(&server).await.unwrap_err().reason, Reason::ServerNotFound);
    world.server(&owner, "web").await;
}

#[tokio::test]
async fn a_rename_keeps_names_unique() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let (one, _) = (world.server(&owner, "one").await, world.server(&owner, "two").await);
    let mut servers = world.servers(&owner);
    let mut rename = async |name: &str| {
        let request = proto::RenameServerRequest { server_id: one.id.clone(), name: name.to_owned() };
        answer(servers.rename_server(request).await).map(|renamed| renamed.server.unwrap().name)
    };
    assert_eq!(rename("three").await.unwrap(), "three");
    assert_eq!(rename("two").await.unwrap_err().reason, Reason::AlreadyExists);
    assert_eq!(rename("").await.unwrap_err().reason, Reason::ValidationFailed);
}
