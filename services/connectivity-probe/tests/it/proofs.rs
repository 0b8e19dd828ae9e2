//! Receipts for key-lifecycle, in the background of a rotation.

use crate::rig::{World, fingerprints, with_alice};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::ids::{RotationId, VersionId};
use keywright_kit::{HostOptions, KeyPair, KeyType, TestHost, eventually, free_port, keygen};
use keywright_proto::credential::{CredentialKind, Server, SshCredential};
use keywright_proto::probe::proof_service_client::ProofServiceClient;
use keywright_proto::probe::{ProofMethod, ProveLoginRequest, ProveOfferRequest, Receipt};
use keywright_runtime::failure::Failure;
use keywright_runtime::peer::Peer;

fn lifecycle(world: &World, work: &str) -> ProofServiceClient<Peer> {
    ProofServiceClient::new(world.probe(Caller::background(ServiceName::KeyLifecycle, work)))
}

fn managed(world: &World, key: &KeyPair) -> SshCredential {
    let mut credential = world.save(key, "");
    credential.kind = CredentialKind::Managed.into();
    world.store.put_credential(credential.clone(), &key.private_text());
    credential
}

fn login(server: &Server, credential: &SshCredential) -> ProveLoginRequest {
    ProveLoginRequest {
        server_id: server.id.clone(),
        credential_id: credential.id.clone(),
        version_id: VersionId::random().unwrap().to_string(),
        public_key: credential.public_key.clone(),
        username: "alice".to_owned(),
    }
}

async fn offer(world: &World, server: &Server, key: &KeyPair) -> Result<Receipt, Failure> {
    let request = ProveOfferRequest {
        server_id: server.id.clone(),
        public_key: key.public_line(),
        username: "alice".to_owned(),
    };
    Ok(lifecycle(world, "rot_offer").prove_offer(request).await?.into_inner().receipt.unwrap())
}

async fn hosts(line: &str) -> [TestHost; 2] {
    [
        with_alice(TestHost::openssh(HostOptions::default()).await.unwrap(), line),
        with_alice(TestHost::dropbear(HostOptions::default()).await.unwrap(), line),
    ]
}

#[tokio::test]
async fn a_login_is_proven_under_the_id_of_the_work_and_opens_no_session() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let credential = managed(&world, &key);
    for host in hosts(&format!("command=\"touch /home/alice/ran\" {}", key.public_line())).await {
        let server = world.register(&host, &host.host_keys());
        let (request, work) = (login(&server, &credential), RotationId::random().unwrap());
        let answer = lifecycle(&world, work.as_str()).prove_login(request.clone()).await.unwrap();
        let receipt = answer.into_inner().receipt.unwrap();
        assert!(receipt.accepted && receipt.proven_at.is_some());
        assert_eq!(receipt.method(), ProofMethod::Login);
        assert!(fingerprints(&host.host_keys()).contains(&receipt.host_key));
        assert_eq!(receipt.address, "127.0.0.1");
        let port = format!("{}", receipt.source_port);
        assert!(eventually(crate::rig::LIMIT, async || host.log().contains(&port)).await, "{}", host.log());
        assert!(!host.home("alice").join("ran").exists(), "the forced command ran");

        let signed = world.store.signed().pop().unwrap();
        assert_eq!((signed.version_id, signed.server_id), (request.version_id, server.id.clone()));
        let asked = world.store.asked();
        assert!(asked.iter().rev().take(2).all(|asked| asked.who == format!("work:{work}")), "{asked:?}");
        let intent = world.log.intents().pop().unwrap();
        assert_eq!((intent.action.as_str(), intent.details["work"].as_str()), ("proof.login", work.as_str()));
        let outcome = world.last_outcome().await;
        assert_eq!(
            (&outcome.details["accepted"], &outcome.details["sourcePort"]),
            (&"true".to_owned(), &port)
        );
    }
}

#[tokio::test]
async fn a_refused_login_is_a_receipt_and_not_an_error() {
    let world = World::new().await;
    let (key, other) =
        (keygen(KeyType::Ed25519, "").await.unwrap(), keygen(KeyType::Rsa(2048), "").await.unwrap());
    let credential = managed(&world, &other);
    for host in hosts(&key.public_line()).await {
        let server = world.register(&host, &host.host_keys());
        let answer = lifecycle(&world, "rot_refused").prove_login(login(&server, &credential)).await.unwrap();
        let receipt = answer.into_inner().receipt.unwrap();
        assert!(!receipt.accepted && receipt.source_port > 0 && !receipt.host_key.is_empty());
        assert_eq!(world.last_outcome().await.details["accepted"], "false");
    }
}

#[tokio::test]
async fn an_offer_proves_both_ways_without_a_private_key() {
    let world = World::new().await;
    let (key, other) =
        (keygen(KeyType::Ed25519, "").await.unwrap(), keygen(KeyType::Rsa(2048), "").await.unwrap());
    for host in hosts(&key.public_line()).await {
        let server = world.register(&host, &host.host_keys());
        let accepted = offer(&world, &server, &key).await.unwrap();
        assert!(accepted.accepted && accepted.method() == ProofMethod::Offer);
        assert_eq!(world.last_outcome().await.details["accepted"], "true");
        let refused = offer(&world, &server, &other).await.unwrap();
        assert!(!refused.accepted && !refused.host_key.is_empty() && refused.proven_at.is_some());
        assert!(world.store.signed().is_empty());
    }
}

#[tokio::test]
async fn what_proves_nothing_is_an_error_with_its_cause() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let credential = managed(&world, &key);
    let mut host = with_alice(TestHost::openssh(HostOptions::default()).await.unwrap(), &key.public_line());
    let unpinned = world.register(&host, &[]);
    let pinned = world.register(&host, &host.host_keys());
    let port = free_port().unwrap();
    let gone = world.register_at("127.0.0.1", port.number(), &host.host_keys());
    let before = host.host_keys();
    host.replace_host_keys().await;
    for (server, reason, check) in [
        (&unpinned, "HOST_KEY_UNPINNED", None),
        (&pinned, "HOST_KEY_MISMATCH", Some("HOST_KEY_MISMATCH")),
        (&gone, "HOST_UNREACHABLE", Some("CONNECTION_REFUSED")),
    ] {
        let answer = lifecycle(&world, "rot_x").prove_login(login(server, &credential)).await;
        let login = Failure::from(answer.unwrap_err());
        let offer = offer(&world, server, &key).await.unwrap_err();
        for failure in [login, offer] {
            assert_eq!(failure.reason.as_str(), reason);
            assert_eq!(failure.metadata.get("check").map(String::as_str), check);
            if reason == "HOST_KEY_MISMATCH" {
                assert!(failure.metadata["pinned"].contains(&fingerprints(&before)[0]), "{failure:?}");
            }
        }
    }
    assert!(world.store.signed().is_empty() && !host.log().contains("alice"));

    world.log.take_down();
    let refused = lifecycle(&world, "rot_x").prove_login(login(&pinned, &credential)).await.unwrap_err();
    assert_eq!(Failure::from(refused).reason.as_str(), "AUDIT_UNAVAILABLE");
}
