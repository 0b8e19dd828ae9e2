//! Servers that take nobody for now, or not from here: a test says so, and not that the server is no SSH server or that
//! somebody is not allowed in.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::rig::{LIMIT, World, assert_failed_at, assert_healthy, check, with_alice};
use keywright_kit::{HostOptions, KeyType, TestHost, eventually, keygen};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_server_that_penalizes_refused_logins_is_busy_from_the_first_penalized_test_on() {
    let world = World::new().await;
    let (key, other) =
        (keygen(KeyType::Ed25519, "").await.unwrap(), keygen(KeyType::Ed25519, "").await.unwrap());
    // Its own defaults need four refusals within five seconds.
    let options = HostOptions::default().config("PerSourcePenalties authfail:300s min:400s");
    let host = with_alice(TestHost::openssh_10(options).await.unwrap(), &key.public_line());
    let server = world.register(&host, &host.host_keys());
    for _ in 0..2 {
        let test = world.test_once(&server, &other, "alice").await;
        assert_failed_at(&test, "authentication", "AUTHENTICATION_REJECTED");
    }
    assert!(eventually(LIMIT, async || host.log().contains("activating")).await, "{}", host.log());
    for _ in 0..2 {
        let test = world.test_once(&server, &key, "alice").await;
        assert_failed_at(&test, "handshake", "SERVER_BUSY");
        assert_eq!(check(&test, "handshake").metadata["attempts"], "3");
        let remedy = &check(&test, "handshake").remedy;
        assert!(remedy.contains("MaxStartups") && remedy.contains("PerSourcePenaltyExemptList"), "{remedy}");
    }
}

#[tokio::test]
async fn a_server_at_its_limit_of_logins_under_way_is_busy_until_one_ends() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let options = HostOptions::default().config("MaxStartups 1:100:1");
    for host in [
        TestHost::openssh(options.clone()).await.unwrap(),
        TestHost::openssh_10(options.clone()).await.unwrap(),
    ] {
        let host = with_alice(host, &key.public_line());
        let server = world.register(&host, &host.host_keys());
        let mut held = TcpStream::connect((Ipv4Addr::LOCALHOST, host.port())).await.unwrap();
        held.read_exact(&mut [0; 8]).await.unwrap();
        assert_failed_at(&world.test_once(&server, &key, "alice").await, "handshake", "SERVER_BUSY");
        // One that becomes free meanwhile is healthy: it is asked again.
        let test = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(held);
        };
        let (tested, ()) = tokio::join!(world.test_once(&server, &key, "alice"), test);
        assert_healthy(&tested);
        assert!(check(&tested, "handshake").metadata.contains_key("attempts"), "{tested:?}");
        let is_free = async || world.test_once(&server, &key, "alice").await.checks[4].code.is_empty();
        assert!(eventually(LIMIT, is_free).await, "{}", host.log());
        assert_healthy(&world.test_once(&server, &key, "alice").await);
    }
}

/// A fleet that is tested all day long is not penalized for it.
#[tokio::test]
async fn healthy_tests_cost_nothing_at_a_server_that_keeps_account() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let host = with_alice(TestHost::openssh_10(HostOptions::default()).await.unwrap(), &key.public_line());
    let server = world.register(&host, &host.host_keys());
    for _ in 0..30 {
        assert_healthy(&world.test_once(&server, &key, "alice").await);
    }
    assert!(!host.log().contains("penalty"), "{}", host.log());
}
