//! Host-key scans.

use crate::rig::{World, fingerprints};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_kit::{HostOptions, TestHost, free_port};
use keywright_proto::audit::AuditOutcome;
use keywright_proto::credential::Server;
use keywright_proto::probe::host_key_scan_service_client::HostKeyScanServiceClient;
use keywright_proto::probe::proof_service_client::ProofServiceClient;
use keywright_proto::probe::{ScanHostKeysRequest, ScanTargetRequest, ScanTargetResponse, ScannedHostKey};
use keywright_runtime::failure::Failure;

async fn scan(world: &World, server: &Server) -> Result<Vec<ScannedHostKey>, Failure> {
    let mut client = HostKeyScanServiceClient::new(world.probe(world.owner()));
    Ok(client.scan_host_keys(ScanHostKeysRequest { server_id: server.id.clone() }).await?.into_inner().items)
}

async fn scan_target(world: &World, host: &str, port: u16) -> Result<ScanTargetResponse, Failure> {
    let mut client =
        ProofServiceClient::new(world.probe(Caller::background(ServiceName::CredentialStore, "")));
    let request = ScanTargetRequest { host: host.to_owned(), port: port.into(), jump_host_id: String::new() };
    Ok(client.scan_target(request).await?.into_inner())
}

#[tokio::test]
async fn a_scan_shows_every_key_and_which_are_pinned() {
    let world = World::new().await;
    for host in [
        TestHost::openssh(HostOptions::default()).await.unwrap(),
        TestHost::dropbear(HostOptions::default()).await.unwrap(),
    ] {
        let server = world.register(&host, &host.host_keys()[1..2]);
        let items = scan(&world, &server).await.unwrap();
        let shown: Vec<String> = items.iter().map(|item| item.public_key.clone()).collect();
        assert_eq!(shown, host.host_keys());
        assert_eq!(items.iter().map(|item| item.pinned).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(
            items.iter().map(|item| item.fingerprint.clone()).collect::<Vec<_>>(),
            fingerprints(&host.host_keys())
        );
        assert_eq!(world.last_outcome().await.outcome(), AuditOutcome::Succeeded);

        let seen = scan_target(&world, host.address(), host.port()).await.unwrap();
        assert_eq!(
            seen.items.iter().map(|item| item.public_key.clone()).collect::<Vec<_>>(),
            host.host_keys()
        );
        assert!(seen.server_version.starts_with("SSH-2.0-"), "{}", seen.server_version);
    }
}

/// A server may charge for each connection that ends without a login (PerSourcePenalties), and soon takes no more.
#[tokio::test]
async fn a_scan_needs_one_connection_for_each_key_and_one_for_the_list() {
    let world = World::new().await;
    let host = TestHost::openssh(HostOptions::default()).await.unwrap();
    let seen = scan_target(&world, host.address(), host.port()).await.unwrap();
    assert_eq!((seen.items.len(), host.log().matches("Connection from").count()), (3, 4));
    assert!(seen.server_version.starts_with("SSH-2.0-OpenSSH_"), "{}", seen.server_version);
}

#[tokio::test]
async fn what_cannot_be_scanned_says_why() {
    let world = World::new().await;
    let port = free_port().unwrap();
    let server = world.register_at("127.0.0.1", port.number(), &[]);
    let failure = scan(&world, &server).await.unwrap_err();
    assert_eq!(
        (failure.reason.as_str(), failure.metadata["check"].as_str()),
        ("HOST_UNREACHABLE", "CONNECTION_REFUSED")
    );
    let outcome = world.last_outcome().await;
    assert_eq!((outcome.outcome(), outcome.reason.as_str()), (AuditOutcome::Failed, "HOST_UNREACHABLE"));

    let failure = scan_target(&world, "169.254.169.254", 22).await.unwrap_err();
    assert_eq!(failure.reason.as_str(), "TARGET_NOT_ALLOWED");
    let failure = scan_target(&world, "10.0.0.0/8", 22).await.unwrap_err();
    assert_eq!(
        (failure.reason.as_str(), failure.violations[0].field.as_str()),
        ("VALIDATION_FAILED", "host")
    );
    let failure = scan_target(&world, "127.0.0.1", 0).await.unwrap_err();
    assert_eq!(failure.violations[0].field, "port");
}
