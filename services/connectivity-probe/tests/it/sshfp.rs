//! What DNS says of host keys stands beside them, and decides nothing. With names that only this test has, a real name
//! server, records that `ssh-keygen -r` made, and real SSH servers.

use std::time::Duration;

use crate::networks::is_alone;
use crate::rig::{World, assert_failed_at, assert_healthy, check, with_alice};
use keywright_connectivity_probe::{Sshfp, SshfpResolver};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_kit::{HostOptions, KeyPair, KeyType, NameServer, TestHost, keygen, sshfp};
use keywright_proto::credential::Server;
use keywright_proto::probe::host_key_scan_service_client::HostKeyScanServiceClient;
use keywright_proto::probe::proof_service_client::ProofServiceClient;
use keywright_proto::probe::{
    ConnectivityTest, ScanHostKeysRequest, ScanHostKeysResponse, ScanTargetRequest, SshfpDnssec, SshfpVerdict,
};
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// A name of this host, in the network of these tests.
const NAME: &str = "web.example.test";

async fn world(server: &NameServer) -> World {
    World::asking(Sshfp::new(SshfpResolver::At(server.address()), server.anchor()).unwrap()).await
}

async fn scan(world: &World, server: &Server) -> ScanHostKeysResponse {
    let mut client = HostKeyScanServiceClient::new(world.probe(world.owner()));
    let request = ScanHostKeysRequest { server_id: server.id.clone() };
    client.scan_host_keys(request).await.unwrap().into_inner()
}

fn verdicts(scan: &ScanHostKeysResponse) -> Vec<SshfpVerdict> {
    scan.items.iter().map(|item| item.sshfp()).collect()
}

/// What the host key's check of a test says.
fn hint(test: &ConnectivityTest) -> (&str, &str, &str) {
    let found = check(test, "host-key");
    (&found.metadata["sshfp"], &found.metadata["sshfpDnssec"], &found.remedy)
}

async fn key() -> KeyPair {
    keygen(KeyType::Ed25519, "").await.unwrap()
}

#[tokio::test]
async fn each_scanned_key_matches_differs_or_is_absent() {
    if !is_alone("sshfp::each_scanned_key_matches_differs_or_is_absent") {
        return;
    }
    let host = TestHost::openssh(HostOptions::default()).await.unwrap();
    let keys = host.host_keys();
    // The first as it is; for the second that of another host; for the third nothing.
    let other = TestHost::openssh(HostOptions::default()).await.unwrap().host_keys();
    let records = sshfp(NAME, &[keys[0].clone(), other[1].clone()]).await.unwrap();
    let expected = [SshfpVerdict::Matches, SshfpVerdict::Differs, SshfpVerdict::Absent];
    for (zone, dnssec) in [
        (NameServer::signed(&records).await.unwrap(), SshfpDnssec::Verified),
        (NameServer::plain(&records).await.unwrap(), SshfpDnssec::Unverified),
    ] {
        let world = world(&zone).await;
        let server = world.register_at(NAME, host.port(), &keys[1..2]);
        let scan = scan(&world, &server).await;
        assert_eq!(scan.items.iter().map(|item| item.public_key.clone()).collect::<Vec<_>>(), keys);
        assert_eq!((verdicts(&scan), scan.dnssec()), (expected.to_vec(), dnssec));
        assert!(scan.items[1].pinned && scan.sshfp_note.is_empty(), "{}", scan.sshfp_note);
        let outcome = world.last_outcome().await;
        assert!(outcome.details["sshfp"].contains(" MATCHES, "), "{outcome:?}");

        let own = Caller::background(ServiceName::CredentialStore, "");
        let request = ScanTargetRequest {
            host: NAME.to_owned(),
            port: host.port().into(),
            jump_host_id: String::new(),
        };
        let mut client = ProofServiceClient::new(world.probe(own));
        let target = client.scan_target(request).await.unwrap().into_inner();
        assert_eq!(target.items.iter().map(|item| item.sshfp()).collect::<Vec<_>>(), expected);
        assert_eq!(target.dnssec(), dnssec);

        // By its address it has no name to ask about.
        let server = world.register_at(host.address(), host.port(), &[]);
        let scan = self::scan(&world, &server).await;
        assert_eq!(verdicts(&scan), [SshfpVerdict::Unknown; 3]);
        assert!(scan.sshfp_note.contains("address"), "{}", scan.sshfp_note);
    }
    let forged = NameServer::forged(&records, &sshfp(NAME, &other).await.unwrap()).await.unwrap();
    let world = world(&forged).await;
    let scan = scan(&world, &world.register_at(NAME, host.port(), &[])).await;
    assert_eq!((verdicts(&scan), scan.dnssec()), (vec![SshfpVerdict::Unknown; 3], SshfpDnssec::Bogus));
    assert!(scan.sshfp_note.contains("DNSSEC"), "{}", scan.sshfp_note);
}

#[tokio::test]
async fn a_silent_name_server_holds_no_scan_up() {
    if !is_alone("sshfp::a_silent_name_server_holds_no_scan_up") {
        return;
    }
    let host = TestHost::openssh(HostOptions::default()).await.unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = SshfpResolver::At(silent.local_addr().unwrap());
    let world = World::asking(Sshfp::new(resolver, "").unwrap()).await;
    let server = world.register_at(NAME, host.port(), &[]);
    let started = Instant::now();
    let scan = scan(&world, &server).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(verdicts(&scan), [SshfpVerdict::Unknown; 3]);
    assert!(scan.sshfp_note.contains("did not answer"), "{}", scan.sshfp_note);
}

#[tokio::test]
async fn a_test_that_knows_no_host_key_says_what_dns_says_and_fails_all_the_same() {
    if !is_alone("sshfp::a_test_that_knows_no_host_key_says_what_dns_says_and_fails_all_the_same") {
        return;
    }
    let key = key().await;
    let options = HostOptions::default();
    let mut host = with_alice(TestHost::openssh(options).await.unwrap(), &key.public_line());
    let before = host.host_keys();
    let zone = NameServer::signed(&sshfp(NAME, &before).await.unwrap()).await.unwrap();
    let world = self::world(&zone).await;

    let unpinned = world.register_at(NAME, host.port(), &[]);
    let test = world.test_once(&unpinned, &key, "alice").await;
    assert_failed_at(&test, "host-key", "HOST_KEY_UNKNOWN");
    let (said, dnssec, remedy) = hint(&test);
    assert_eq!((said.matches(" MATCHES").count(), dnssec), (3, "VERIFIED"), "{said}");
    assert!(remedy.contains("compare the fingerprint all the same"), "{remedy}");

    let pinned = world.register_at(NAME, host.port(), &before);
    assert_healthy(&world.test_once(&pinned, &key, "alice").await);
    host.replace_host_keys().await;
    let test = world.test_once(&pinned, &key, "alice").await;
    assert_failed_at(&test, "host-key", "HOST_KEY_MISMATCH");
    let (said, dnssec, remedy) = hint(&test);
    assert_eq!((said, dnssec), ("DIFFERS", "VERIFIED"));
    assert!(remedy.contains("records of other keys"), "{remedy}");

    // The zone has the new keys: that is said, and nothing logs in by it.
    let zone = NameServer::signed(&sshfp(NAME, &host.host_keys()).await.unwrap()).await.unwrap();
    let world = self::world(&zone).await;
    let pinned = world.register_at(NAME, host.port(), &before);
    let test = world.test_once(&pinned, &key, "alice").await;
    assert_failed_at(&test, "host-key", "HOST_KEY_MISMATCH");
    assert_eq!((hint(&test).0, hint(&test).1), ("MATCHES", "VERIFIED"));
    assert_eq!(world.store.mismatches().len(), 1, "it is reported as before");
}
