//! Two requests under one idempotency key: the second waits for the first, wherever that is worked on.

use super::world::{World, answer, owner};
use keywright_domain::caller::Caller;
use keywright_domain::reason::{Reason, Retry};
use keywright_proto::credential as proto;
use keywright_runtime::failure::Failure;
use keywright_storage::idempotency::{Scope, Turn, claim, release};
use std::time::Duration;

const KEY: &str = "k";

fn registration() -> proto::RegisterServerRequest {
    proto::RegisterServerRequest {
        name: "web".to_owned(),
        host: "web.example".to_owned(),
        idempotency_key: KEY.to_owned(),
        ..Default::default()
    }
}

async fn register(world: &World, caller: &Caller) -> Result<proto::Server, Failure> {
    answer(world.servers(caller).register_server(registration()).await).map(|it| it.server.unwrap())
}

/// As another process would hold it that works on the same request.
async fn held_elsewhere(world: &World, caller: &Caller) -> Scope {
    let scope = Scope {
        caller: caller.principal.id.clone(),
        method: "RegisterServer",
        key: KEY.to_owned(),
        request_hash: String::new(),
    };
    let turn = claim(&world.db, &scope, "elsewhere", Duration::from_secs(75)).await.unwrap();
    assert_eq!(turn, Turn::Mine);
    scope
}

#[tokio::test]
async fn a_repetition_waits_until_the_first_request_has_ended() {
    for world in [World::new().await, World::on_postgres().await] {
        let owner = owner(&world.tenant().await);
        let scope = held_elsewhere(&world, &owner).await;
        let mut second = Box::pin(register(&world, &owner));
        let early = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
        assert!(early.is_err(), "it did not wait");
        assert_eq!(world.count("server").await, 0);
        release(&world.db, &scope, "elsewhere").await.unwrap();
        let server = second.await.unwrap();
        assert_eq!(register(&world, &owner).await.unwrap().id, server.id);
        assert_eq!((world.count("server").await, world.count("idempotency_claim").await), (1, 0));
    }
}

#[tokio::test]
async fn it_does_not_wait_for_ever_and_a_dead_request_is_not_in_its_way() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let (owner, other) = (owner(&tenant), super::world::owner(&tenant));
    held_elsewhere(&world, &owner).await;
    let refused = register(&world, &owner).await.unwrap_err();
    assert_eq!((refused.reason, refused.reason.retry()), (Reason::RequestInProgress, Retry::AfterDelay));
    assert_eq!(world.count("server").await, 0);
    register(&world, &other).await.expect("another caller's key is another key");
    world.pass(Duration::from_secs(76));
    let failure = register(&world, &owner).await.unwrap_err();
    assert_eq!(failure.reason, Reason::AlreadyExists, "its turn has come, and the name is taken");
    assert_eq!(world.count("idempotency_claim").await, 0, "a refused request leaves its key free");
}

#[tokio::test]
async fn a_request_that_is_given_up_gives_its_key_back() {
    let world = World::new().await;
    let owner = owner(&world.tenant().await);
    let (from, to) = (world.saved(&owner).await.id, world.saved(&owner).await.id);
    let server = world.server(&owner, "web").await.id;
    world.bind(&owner, &server, &from).await.unwrap();
    world.prober.silent.lock().unwrap().insert(server);
    let request = proto::SwitchSshCredentialRequest {
        credential_id: from,
        to_credential_id: to,
        test: true,
        idempotency_key: KEY.to_owned(),
        ..Default::default()
    };
    let mut client = world.credentials(&owner);
    let given_up =
        tokio::time::timeout(Duration::from_secs(2), client.switch_ssh_credential(request.clone())).await;
    assert!(given_up.is_err());
    world.prober.silent.lock().unwrap().clear();
    let done = answer(world.credentials(&owner).switch_ssh_credential(request).await).unwrap();
    assert_eq!(done.switched, 1);
}
