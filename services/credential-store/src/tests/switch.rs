//! Switches of servers from one credential to another, and updates of what is not the key.

use super::fakes::TEST_ID;
use super::world::{World, answer, key_text, operator, owner, reason};
use keywright_domain::caller::Caller;
use keywright_domain::reason::Reason;
use keywright_proto::credential as proto;
use keywright_proto::credential::SwitchOutcome::{ChangedMeanwhile, Refused, Switched, TestFailed};
use keywright_runtime::failure::Failure;
use std::time::Duration;

async fn switch(
    world: &World,
    caller: &Caller,
    request: proto::SwitchSshCredentialRequest,
) -> Result<proto::SwitchSshCredentialResponse, Failure> {
    answer(world.credentials(caller).switch_ssh_credential(request).await)
}

fn asked(from: &str, to: &str) -> proto::SwitchSshCredentialRequest {
    proto::SwitchSshCredentialRequest {
        credential_id: from.to_owned(),
        to_credential_id: to.to_owned(),
        ..Default::default()
    }
}

async fn binding(world: &World, caller: &Caller, server: &str) -> proto::ServerCredential {
    let request = proto::GetServerRequest { server_id: server.to_owned() };
    let server = answer(world.servers(caller).get_server(request).await).unwrap().server.unwrap();
    server.credential.unwrap()
}

/// Two credentials, and servers bound to the first.
async fn fleet(world: &World, caller: &Caller, names: &[&str]) -> (String, String, Vec<String>) {
    let (from, to) = (world.saved(caller).await.id, world.saved(caller).await.id);
    let mut servers = Vec::new();
    for name in names {
        let server = world.server(caller, name).await.id;
        world.bind(caller, &server, &from).await.unwrap();
        servers.push(server);
    }
    (from, to, servers)
}

fn outcomes(answer: &proto::SwitchSshCredentialResponse) -> Vec<(&str, proto::SwitchOutcome, &str)> {
    let of = |result: &'_ proto::SwitchResult| result.outcome();
    answer.results.iter().map(|it| (it.server_name.as_str(), of(it), it.reason.as_str())).collect()
}

#[tokio::test]
async fn every_server_is_moved_by_itself_and_said_in_the_order_of_names() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let (from, to, servers) = fleet(&world, &owner, &["c", "a", "b", "old"]).await;
    let deactivate = proto::DeactivateServerRequest { server_id: servers[3].clone() };
    world.servers(&owner).deactivate_server(deactivate).await.unwrap();
    world.prober.refusing.lock().unwrap().insert(servers[2].clone());

    let request = proto::SwitchSshCredentialRequest { test: true, ..asked(&from, &to) };
    let answer = switch(&world, &owner, request).await.unwrap();

    assert_eq!(
        outcomes(&answer),
        [
            ("a", Switched, ""),
            ("b", TestFailed, "AUTHENTICATION_REJECTED"),
            ("c", Switched, ""),
            ("old", Refused, "SERVER_INACTIVE"),
        ]
    );
    assert_eq!((answer.switched, answer.kept), (2, 2));
    assert_eq!(answer.results[1].connectivity_test_id, TEST_ID);
    assert_eq!(binding(&world, &owner, &servers[2]).await.credential_id, from);
    let moved = binding(&world, &owner, &servers[1]).await;
    assert_eq!((moved.credential_id, moved.test_status.as_str()), (to, "HEALTHY"));
    assert_eq!(moved.last_test_id, TEST_ID);
    assert!(!world.prober.tested.lock().unwrap().contains(&servers[3]), "an inactive server is left alone");
    let intents = world.log.intents.lock().unwrap();
    let targets = intents.iter().filter(|intent| intent.action == "credential.switch");
    let targets: Vec<&String> = targets.map(|intent| &intent.target).collect();
    assert_eq!(targets.len(), 5);
    assert!(servers.iter().chain([&from]).all(|id| targets.contains(&id)), "{targets:?}");
}

#[tokio::test]
async fn a_binding_keeps_its_own_user_and_follows_the_credential_otherwise() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let (from, _, servers) = fleet(&world, &owner, &["follows", "own"]).await;
    let own = proto::BindCredentialRequest {
        server_id: servers[1].clone(),
        credential_id: from.clone(),
        username: "root".to_owned(),
        skip_test: true,
    };
    world.servers(&owner).bind_credential(own).await.unwrap();
    let create = |username: &str| proto::CreateSshCredentialRequest {
        name: "new".to_owned(),
        private_key: key_text(),
        username: username.to_owned(),
        ..Default::default()
    };
    let named = answer(world.credentials(&owner).create_ssh_credential(create("robot")).await).unwrap();
    let nameless = answer(world.credentials(&owner).create_ssh_credential(create("")).await).unwrap();
    let (named, nameless) = (named.credential.unwrap().id, nameless.credential.unwrap().id);
    let users = async || {
        let mut users = Vec::new();
        for server in &servers {
            users.push(binding(&world, &owner, server).await.username);
        }
        users
    };

    switch(&world, &owner, asked(&from, &named)).await.unwrap();
    assert_eq!(users().await, ["robot", "root"]);
    switch(&world, &owner, asked(&named, &nameless)).await.unwrap();
    assert_eq!(users().await, ["robot", "root"]);
    let request = proto::SwitchSshCredentialRequest { username: "ops".to_owned(), ..asked(&nameless, &from) };
    switch(&world, &owner, request).await.unwrap();
    assert_eq!(users().await, ["ops", "ops"]);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_moved() {
    let world = World::new().await;
    let (mine, theirs) = (world.tenant().await, world.tenant().await);
    let (owner, stranger) = (owner(&mine), super::world::owner(&theirs));
    let (from, to, servers) = fleet(&world, &owner, &["web"]).await;
    let foreign = world.saved(&stranger).await.id;
    let foreign_server = world.server(&stranger, "web").await.id;
    let (managed, _) = world.managed(Some(&mine), &[]).await;
    let refused = async |caller: &Caller, request: proto::SwitchSshCredentialRequest| {
        switch(&world, caller, request).await.unwrap_err().reason
    };

    assert_eq!(refused(&stranger, asked(&from, &to)).await, Reason::CredentialNotFound);
    assert_eq!(refused(&owner, asked(&from, &foreign)).await, Reason::CredentialNotFound);
    assert_eq!(refused(&operator(), asked(&from, &foreign)).await, Reason::CredentialNotFound);
    assert_eq!(refused(&owner, asked(&from, &managed)).await, Reason::CredentialIsManaged);
    assert_eq!(refused(&owner, asked(&from, &from)).await, Reason::ValidationFailed);
    let request = proto::SwitchSshCredentialRequest {
        server_ids: vec![servers[0].clone(), foreign_server],
        ..asked(&from, &to)
    };
    assert_eq!(refused(&owner, request).await, Reason::ServerNotFound);
    let request =
        proto::SwitchSshCredentialRequest { expected_usage_revision: "old".to_owned(), ..asked(&from, &to) };
    assert_eq!(refused(&owner, request).await, Reason::UsageChanged);
    crate::store::testing::set_lifecycle(&world.db, &servers[0], "unreadable").await;
    assert_eq!(refused(&owner, asked(&from, &to)).await, Reason::UsageUnavailable);
    crate::store::testing::set_lifecycle(&world.db, &servers[0], "ACTIVE").await;
    assert_eq!(binding(&world, &owner, &servers[0]).await.credential_id, from);
    assert_eq!(world.count("switch_step").await, 0);
    switch(&world, &operator(), asked(&from, &to)).await.unwrap();
    assert_eq!(binding(&world, &owner, &servers[0]).await.credential_id, to);
}

#[tokio::test]
async fn a_server_that_is_bound_otherwise_is_not_touched() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let (from, to, servers) = fleet(&world, &owner, &["web", "db"]).await;
    let third = world.saved(&owner).await.id;
    world.bind(&owner, &servers[1], &third).await.unwrap();
    let request = proto::SwitchSshCredentialRequest { server_ids: servers.clone(), ..asked(&from, &to) };
    let answer = switch(&world, &owner, request).await.unwrap();
    assert_eq!(outcomes(&answer), [("db", ChangedMeanwhile, "USAGE_CHANGED"), ("web", Switched, "")]);
    assert_eq!(binding(&world, &owner, &servers[1]).await.credential_id, third);
}

#[tokio::test]
async fn what_the_deadline_cut_off_is_said_and_the_same_request_goes_on_with_it() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let (from, to, servers) = fleet(&world, &owner, &["quick", "slow"]).await;
    world.prober.silent.lock().unwrap().insert(servers[1].clone());
    let request = proto::SwitchSshCredentialRequest {
        test: true,
        idempotency_key: "k".to_owned(),
        ..asked(&from, &to)
    };

    let peer = world.within(&owner, Duration::from_secs(3));
    let mut client =
        keywright_proto::credential::ssh_credential_service_client::SshCredentialServiceClient::new(peer);
    let first = answer(client.switch_ssh_credential(request.clone()).await).unwrap();
    assert_eq!(outcomes(&first), [("quick", Switched, ""), ("slow", Refused, "DEADLINE_EXCEEDED")]);
    assert_eq!(binding(&world, &owner, &servers[1]).await.credential_id, from);

    world.prober.silent.lock().unwrap().clear();
    let second = switch(&world, &owner, request.clone()).await.unwrap();
    assert_eq!(outcomes(&second), [("quick", Switched, ""), ("slow", Switched, "")]);
    assert_eq!(switch(&world, &owner, request.clone()).await.unwrap(), second);
    let tested = world.prober.tested.lock().unwrap().clone();
    let times = |server: &String| tested.iter().filter(|it| *it == server).count();
    assert_eq!((times(&servers[0]), times(&servers[1])), (1, 2), "what is done is not done again");
    let other = proto::SwitchSshCredentialRequest { test: false, ..request };
    assert_eq!(switch(&world, &owner, other).await.unwrap_err().reason, Reason::IdempotencyKeyReused);
}

#[tokio::test]
async fn a_test_that_cannot_be_run_leaves_the_server_to_the_next_request() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let (from, to, _) = fleet(&world, &owner, &["web"]).await;
    let request = proto::SwitchSshCredentialRequest {
        test: true,
        idempotency_key: "k".to_owned(),
        ..asked(&from, &to)
    };
    world.prober.down.store(true, std::sync::atomic::Ordering::SeqCst);
    let first = switch(&world, &owner, request.clone()).await.unwrap();
    assert_eq!(outcomes(&first), [("web", Refused, "SERVICE_UNAVAILABLE")]);
    world.prober.down.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(outcomes(&switch(&world, &owner, request).await.unwrap()), [("web", Switched, "")]);
}

#[tokio::test]
async fn of_two_switches_under_one_key_there_is_one() {
    for world in [World::new().await, World::on_postgres().await] {
        let owner = owner(&world.tenant().await);
        let names: Vec<String> = (0..12).map(|n| format!("web{n:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (from, to, _) = fleet(&world, &owner, &names).await;
        let request =
            proto::SwitchSshCredentialRequest { idempotency_key: "k".to_owned(), ..asked(&from, &to) };
        let (one, two) =
            tokio::join!(switch(&world, &owner, request.clone()), switch(&world, &owner, request));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!(one, two);
        assert_eq!((one.switched, one.kept), (12, 0));
    }
}

async fn update(
    world: &World,
    caller: &Caller,
    request: proto::UpdateSshCredentialRequest,
) -> Result<proto::SshCredential, Failure> {
    answer(world.credentials(caller).update_ssh_credential(request).await).map(|it| it.credential.unwrap())
}

#[tokio::test]
async fn an_update_changes_the_revision_once_and_only_owners_let_a_key_be_resolved() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let owner = owner(&tenant);
    let credential = world.saved(&owner).await;
    assert!(!credential.allow_resolve && !credential.revision.is_empty());
    let allow = proto::UpdateSshCredentialRequest {
        credential_id: credential.id.clone(),
        name: Some(" new name ".to_owned()),
        allow_resolve: Some(true),
        expected_revision: credential.revision.clone(),
        certificate: None,
    };

    let refused = update(&world, &operator(), allow.clone()).await.unwrap_err();
    assert_eq!(refused.reason, Reason::PermissionDenied);
    let updated = update(&world, &owner, allow.clone()).await.unwrap();
    assert!(updated.allow_resolve && updated.name == "new name" && updated.revision != credential.revision);
    assert_eq!(update(&world, &owner, allow.clone()).await.unwrap_err().reason, Reason::RevisionMismatch);
    let again = proto::UpdateSshCredentialRequest { expected_revision: String::new(), ..allow.clone() };
    assert_eq!(update(&world, &owner, again).await.unwrap().revision, updated.revision);
    let nothing =
        proto::UpdateSshCredentialRequest { credential_id: credential.id.clone(), ..Default::default() };
    assert_eq!(update(&world, &owner, nothing).await.unwrap_err().reason, Reason::ValidationFailed);
    let rotate = proto::RotateSshCredentialRequest {
        credential_id: credential.id.clone(),
        private_key: key_text(),
        confirmation: Some(proto::CredentialConfirmation {
            credential_id: credential.id.clone(),
            acknowledge_server_usage: false,
        }),
        ..Default::default()
    };
    let rotated = answer(world.credentials(&owner).rotate_ssh_credential(rotate).await).unwrap();
    let rotated = rotated.credential.unwrap();
    assert!(rotated.allow_resolve && rotated.revision != updated.revision);

    let create = proto::CreateSshCredentialRequest {
        tenant_id: tenant.to_string(),
        name: "open".to_owned(),
        private_key: key_text(),
        allow_resolve: true,
        ..Default::default()
    };
    let by_operator = world.credentials(&operator()).create_ssh_credential(create.clone()).await;
    assert_eq!(reason(by_operator), Reason::PermissionDenied);
    let created = answer(world.credentials(&owner).create_ssh_credential(create).await).unwrap();
    assert!(created.credential.unwrap().allow_resolve);
}
