//! Tests with a key that stays with the caller: asked at one replica, answered at another, by a real agent.

use crate::rig::{LIMIT, World, assert_failed_at, assert_healthy, check, fingerprints, person, with_alice};
use keywright_connectivity_probe::SIGNATURE_WAIT;
use keywright_domain::caller::{Caller, Role};
use keywright_domain::key::{PublicKey, SignatureAlgorithm, UserauthRequest};
use keywright_kit::{
    HeldKeys, HostOptions, KeyPair, KeyType, TestHost, eventually, keygen, postgres_database,
};
use keywright_proto::audit::AuditOutcome;
use keywright_proto::credential::Server;
use keywright_proto::probe as proto;
use keywright_proto::probe::connectivity_test_service_client::ConnectivityTestServiceClient;
use keywright_runtime::failure::Failure;
use keywright_runtime::peer::Peer;
use std::time::Duration;
use tonic::Streaming;

/// A host with an account that the agent's key opens.
struct Scene {
    world: World,
    host: TestHost,
    server: Server,
    key: KeyPair,
    agent: HeldKeys,
    owner: Caller,
}

impl Scene {
    async fn set(world: World, kind: KeyType) -> Self {
        let key = keygen(kind, "").await.unwrap();
        let agent = HeldKeys::start().await.unwrap();
        agent.add(&key, &[]).await;
        let host = with_alice(TestHost::openssh(HostOptions::default()).await.unwrap(), &key.public_line());
        let server = world.register(&host, &host.host_keys());
        let owner = world.owner();
        Self { world, host, server, key, agent, owner }
    }

    fn probe(&self) -> Peer {
        self.world.probe(self.owner.clone())
    }

    fn callers_key(&self) -> proto::CallersKey {
        proto::CallersKey { public_key: self.key.public_line(), username: "alice".to_owned() }
    }

    async fn begin(&self, probe: Peer) -> Result<Streaming<proto::RunConnectivityTestResponse>, Failure> {
        let request = proto::RunConnectivityTestRequest {
            server_id: self.server.id.clone(),
            key: Some(self.callers_key()),
        };
        let mut client = ConnectivityTestServiceClient::new(probe);
        Ok(client.run_connectivity_test(request).await?.into_inner())
    }

    /// Begun, and the question that it asks.
    async fn asked(
        &self,
        probe: Peer,
    ) -> (Streaming<proto::RunConnectivityTestResponse>, proto::SignatureWanted) {
        let mut words = self.begin(probe).await.unwrap();
        let word = words.message().await.unwrap().unwrap();
        (words, word.signature_wanted.unwrap())
    }

    /// By the agent, which checks the host's own signature of the session.
    fn signed(&self, wanted: &proto::SignatureWanted) -> Vec<u8> {
        let key = PublicKey::parse_openssh(&wanted.public_key).unwrap();
        let algorithm = SignatureAlgorithm::parse(&wanted.algorithm).unwrap();
        let session = wanted.session_id.clone();
        let login = UserauthRequest::new(session, wanted.username.clone(), algorithm, key.clone()).unwrap();
        let flags = if algorithm == SignatureAlgorithm::RsaSha512 { 4 } else { 0 };
        let session = [&wanted.host_key[..], &wanted.session_id, &wanted.host_signature];
        self.agent.sign(session, key.blob(), &login.signed_bytes(), flags).unwrap()
    }

    /// How many questions stand in the database.
    async fn open(&self) -> i64 {
        let row = sqlx::query_scalar("SELECT COUNT(*) FROM signature_request");
        row.fetch_one(self.world.db.read()).await.unwrap()
    }

    async fn closed(&self) -> bool {
        eventually(LIMIT, async || self.open().await == 0).await
    }
}

async fn supply(
    probe: Peer,
    request: &str,
    signature: Vec<u8>,
    refusal: proto::SignatureRefusal,
) -> Result<(), Failure> {
    let request =
        proto::SupplySignatureRequest { request_id: request.to_owned(), signature, refusal: refusal.into() };
    ConnectivityTestServiceClient::new(probe).supply_signature(request).await?;
    Ok(())
}

async fn sign(probe: Peer, wanted: &proto::SignatureWanted, signature: Vec<u8>) -> Result<(), Failure> {
    supply(probe, &wanted.request_id, signature, proto::SignatureRefusal::Unspecified).await
}

async fn ended(
    mut words: Streaming<proto::RunConnectivityTestResponse>,
) -> Result<proto::ConnectivityTest, Failure> {
    let test = words.message().await?.unwrap().test.unwrap();
    assert!(words.message().await.unwrap().is_none(), "a word after the last one");
    Ok(test)
}

#[tokio::test]
async fn a_login_is_signed_by_the_agent_and_handed_in_at_another_replica() {
    signed_elsewhere(World::new().await, KeyType::Ed25519).await;
    let postgres = World::on_postgres(&postgres_database().await.unwrap()).await;
    signed_elsewhere(postgres, KeyType::Rsa(2048)).await;
}

async fn signed_elsewhere(world: World, kind: KeyType) {
    let scene = Scene::set(world, kind).await;
    let other = scene.world.replica(SIGNATURE_WAIT).await;

    let (words, wanted) = scene.asked(scene.probe()).await;

    assert_eq!((wanted.username.as_str(), wanted.host.as_str()), ("alice", "127.0.0.1"));
    assert_eq!(wanted.port, i32::from(scene.host.port()));
    let shown = PublicKey::from_blob(&wanted.host_key).unwrap();
    assert!(fingerprints(&scene.host.host_keys()).contains(&shown.fingerprint().to_string()));
    shown.verify(&wanted.session_id, &wanted.host_signature).unwrap();
    sign(other.probe(scene.owner.clone()), &wanted, scene.signed(&wanted)).await.unwrap();
    let test = ended(words).await.unwrap();
    assert_healthy(&test);
    assert_eq!(check(&test, "key").message, "The key stays in the caller's agent.");
    assert_eq!(check(&test, "key").metadata["fingerprint"], scene.key.fingerprint().await);
    assert_eq!((scene.open().await, test.credential_id.as_str()), (0, ""));
    assert_eq!(scene.world.list(&scene.server, 0, "").await.items, std::slice::from_ref(&test));

    let intents = scene.world.log.intents();
    let [begun, signed] = intents.as_slice() else { panic!("{} intents", intents.len()) };
    assert_eq!((begun.action.as_str(), &begun.details["testId"]), ("connectivity_test.create", &test.id));
    assert_eq!(begun.details["credential"], "caller's agent");
    assert_eq!((signed.action.as_str(), &signed.target), ("connectivity_test.sign", &wanted.request_id));
    for intent in [begun, signed] {
        assert_eq!(intent.details["fingerprint"], scene.key.fingerprint().await);
        let logged = || scene.world.log.outcome_of(&intent.event_id);
        assert!(eventually(LIMIT, async || logged().is_some()).await, "no outcome of {}", intent.action);
        assert_eq!(logged().unwrap().outcome(), AuditOutcome::Succeeded);
    }
}

#[tokio::test]
async fn only_whoever_began_the_test_answers_and_only_once() {
    let scene = Scene::set(World::new().await, KeyType::Ed25519).await;
    let (words, wanted) = scene.asked(scene.probe()).await;
    let signature = scene.signed(&wanted);

    let same_tenant = scene.world.probe(scene.world.owner());
    let operator = scene.world.probe(person("op", Role::Operator, None));
    for stranger in [same_tenant, operator] {
        let failure = sign(stranger, &wanted, signature.clone()).await.unwrap_err();
        assert_eq!(failure.reason.as_str(), "SIGNATURE_REQUEST_NOT_FOUND");
        assert_eq!(scene.world.last_outcome().await.outcome(), AuditOutcome::Denied);
    }
    sign(scene.probe(), &wanted, signature.clone()).await.unwrap();
    let again = sign(scene.probe(), &wanted, signature.clone()).await.unwrap_err();
    assert_eq!(again.reason.as_str(), "SIGNATURE_REQUEST_NOT_FOUND");
    assert_healthy(&ended(words).await.unwrap());
    let late = sign(scene.probe(), &wanted, signature).await.unwrap_err();
    assert_eq!(late.reason.as_str(), "SIGNATURE_REQUEST_NOT_FOUND");
}

#[tokio::test]
async fn a_wrong_signature_is_the_suppliers_mistake_three_times() {
    let scene = Scene::set(World::new().await, KeyType::Rsa(2048)).await;
    let refused = async |wanted: &proto::SignatureWanted, signature: Vec<u8>| {
        let failure = sign(scene.probe(), wanted, signature).await.unwrap_err();
        assert_eq!(failure.violations.first().map(|it| it.field.as_str()), Some("signature"), "{failure}");
    };

    let (words, wanted) = scene.asked(scene.probe()).await;
    let older = proto::SignatureWanted { algorithm: "rsa-sha2-256".to_owned(), ..wanted.clone() };
    refused(&wanted, vec![0; 64]).await;
    // Ours, and under another name than the one that the server is told.
    assert_ne!(wanted.algorithm, older.algorithm);
    refused(&wanted, with_sha256(&scene, &older)).await;
    sign(scene.probe(), &wanted, scene.signed(&wanted)).await.unwrap();
    assert_healthy(&ended(words).await.unwrap());

    let (words, wanted) = scene.asked(scene.probe()).await;
    let other_session = proto::SignatureWanted { username: "root".to_owned(), ..wanted.clone() };
    for _ in 0..3 {
        refused(&wanted, scene.signed(&other_session)).await;
    }
    let ended = ended(words).await.unwrap_err();
    assert_eq!(ended.reason.as_str(), "SIGNATURE_NOT_SUPPLIED");
    assert!(ended.message.contains("wrong signatures"), "{ended}");
    let over = sign(scene.probe(), &wanted, scene.signed(&wanted)).await.unwrap_err();
    assert_eq!(over.reason.as_str(), "SIGNATURE_REQUEST_NOT_FOUND");
}

fn with_sha256(scene: &Scene, wanted: &proto::SignatureWanted) -> Vec<u8> {
    let key = PublicKey::parse_openssh(&wanted.public_key).unwrap();
    let (session, user) = (wanted.session_id.clone(), wanted.username.clone());
    let login = UserauthRequest::new(session, user, SignatureAlgorithm::RsaSha256, key.clone()).unwrap();
    let session = [&wanted.host_key[..], &wanted.session_id, &wanted.host_signature];
    scene.agent.sign(session, key.blob(), &login.signed_bytes(), 2).unwrap()
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_the_limit() {
    let scene = Scene::set(World::new().await, KeyType::Ed25519).await;
    let hasty = scene.world.replica(Duration::from_millis(300)).await;

    let (words, wanted) = scene.asked(hasty.probe(scene.owner.clone())).await;
    let failure = ended(words).await.unwrap_err();

    assert_eq!(failure.reason.as_str(), "SIGNATURE_NOT_SUPPLIED");
    assert!(failure.message.contains("in time"), "{failure}");
    assert_eq!(scene.open().await, 0);
    let outcome = scene.world.last_outcome().await;
    assert_eq!(
        (outcome.outcome(), outcome.reason.as_str()),
        (AuditOutcome::Failed, "SIGNATURE_NOT_SUPPLIED")
    );
    let late = sign(scene.probe(), &wanted, scene.signed(&wanted)).await.unwrap_err();
    assert_eq!(late.reason.as_str(), "SIGNATURE_REQUEST_NOT_FOUND");
    assert!(
        scene.world.list(&scene.server, 0, "").await.items.is_empty(),
        "it says nothing about the server"
    );
}

#[tokio::test]
async fn a_caller_who_goes_and_one_who_refuses_end_the_test_at_once() {
    let scene = Scene::set(World::new().await, KeyType::Ed25519).await;

    let (words, _) = scene.asked(scene.probe()).await;
    assert_eq!(scene.open().await, 1);
    drop(words);
    assert!(scene.closed().await, "the test goes on without its caller");
    let outcome = scene.world.last_outcome().await;
    assert_eq!(
        (outcome.outcome(), outcome.reason.as_str()),
        (AuditOutcome::Failed, "SIGNATURE_NOT_SUPPLIED")
    );

    for (refusal, said) in [
        (proto::SignatureRefusal::Declined, "did not sign"),
        (proto::SignatureRefusal::Unexpected, "not the one that he expected"),
    ] {
        let (words, wanted) = scene.asked(scene.probe()).await;
        supply(scene.probe(), &wanted.request_id, Vec::new(), refusal).await.unwrap();
        let failure = ended(words).await.unwrap_err();
        assert_eq!(failure.reason.as_str(), "SIGNATURE_NOT_SUPPLIED");
        assert!(failure.message.contains(said), "{failure}");
    }
    assert!(!scene.host.log().contains("Accepted publickey"), "{}", scene.host.log());
}

#[tokio::test]
async fn a_draft_is_tested_with_the_agent_and_only_on_an_expected_host() {
    let scene = Scene::set(World::new().await, KeyType::EcdsaP256).await;
    let run = async |expected: &[String]| {
        let request = proto::RunDraftConnectivityTestRequest {
            host: scene.host.address().to_owned(),
            port: scene.host.port().into(),
            key: Some(scene.callers_key()),
            expected_host_keys: expected.to_vec(),
            jump_host_id: String::new(),
        };
        let mut client = ConnectivityTestServiceClient::new(scene.probe());
        client.run_draft_connectivity_test(request).await.unwrap().into_inner()
    };

    let mut words = run(&fingerprints(&scene.host.host_keys())[..1]).await;
    let wanted = words.message().await.unwrap().unwrap().signature_wanted.unwrap();
    sign(scene.probe(), &wanted, scene.signed(&wanted)).await.unwrap();
    let test = words.message().await.unwrap().unwrap().test.unwrap();
    assert_healthy(&test);
    assert!(test.id.is_empty() && test.server_id.is_empty());

    let mut words = run(&[scene.key.fingerprint().await]).await;
    let test = words.message().await.unwrap().unwrap().test.unwrap();
    assert_failed_at(&test, "host-key", "HOST_KEY_MISMATCH");
}

#[tokio::test]
async fn what_cannot_be_tested_is_refused_before_anything_is_logged() {
    let scene = Scene::set(World::new().await, KeyType::Ed25519).await;
    let token = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAmvM3F0bOPRkVvLjqwRQ+zOvY9PyTt6RxEvjdp3gkqbAAAABHNzaDo=";
    for (public_key, username, told) in [
        (token, "alice", "KEY_UNSUPPORTED"),
        ("", "alice", "VALIDATION_FAILED"),
        (&scene.key.public_line(), "", "VALIDATION_FAILED"),
        (&scene.key.private_text(), "alice", "KEY_UNPARSABLE"),
    ] {
        let key = proto::CallersKey { public_key: public_key.to_owned(), username: username.to_owned() };
        let request =
            proto::RunConnectivityTestRequest { server_id: scene.server.id.clone(), key: Some(key) };
        let mut client = ConnectivityTestServiceClient::new(scene.probe());
        let failure = Failure::from(client.run_connectivity_test(request).await.unwrap_err());
        assert_eq!(failure.reason.as_str(), told, "{failure}");
    }
    for (request, signature, refusal) in [
        ("sigreq_", Vec::new(), proto::SignatureRefusal::Unspecified),
        ("sigreq_", vec![1], proto::SignatureRefusal::Declined),
        ("sigreq_", vec![1; 5000], proto::SignatureRefusal::Unspecified),
    ] {
        let failure = supply(scene.probe(), request, signature, refusal).await.unwrap_err();
        assert_eq!(failure.reason.as_str(), "VALIDATION_FAILED");
    }
    assert!(scene.world.log.intents().is_empty());
}
