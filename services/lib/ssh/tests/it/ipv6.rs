//! Servers that are reached by IPv6, and names that have addresses of both kinds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use keywright_domain::host::{HostName, Port, host_keys};
use keywright_kit::{HostOptions, TestHost};
use keywright_ssh::{FailureCode, Stage, Target};

use crate::busy::pins;
use crate::hosts::{dialer, failure, key, root};

async fn hosts() -> [TestHost; 2] {
    let options = HostOptions::default().ipv6();
    [TestHost::openssh(options.clone()).await.unwrap(), TestHost::dropbear(options).await.unwrap()]
}

#[tokio::test]
async fn a_host_is_reached_by_its_ipv6_address_in_every_spelling() {
    for host in hosts().await {
        for spelling in ["::1", "[::1]", "0:0:0:0:0:0:0:1"] {
            let login = key("ed25519");
            host.write_authorized_keys("root", login.public().openssh());
            let target = Target::new(spelling, host.port());
            let session = dialer().connect(&target, &pins(&host), &root(login)).await.unwrap().session;
            assert_eq!(session.address(), SocketAddr::from((Ipv6Addr::LOCALHOST, host.port())));
            assert_eq!(session.local().ip(), IpAddr::V6(Ipv6Addr::LOCALHOST));
            session.check().await.unwrap();
            session.close().await;
        }
    }
}

#[tokio::test]
async fn host_keys_are_judged_there_as_anywhere() {
    for host in hosts().await {
        let target = Target::new("::1", host.port());
        let mut found = dialer().scan_host_keys(&target).await.unwrap().keys;
        let mut real = pins(&host);
        found.sort_by_key(|key| key.openssh());
        real.sort_by_key(|key| key.openssh());
        assert_eq!(found, real);
        let lines = host.host_keys();
        let file: String = lines.iter().map(|line| format!("[::1]:{} {line}\n", host.port())).collect();
        let name = HostName::parse("::1").unwrap();
        let known = host_keys(&file, &name, Port::try_from(i64::from(host.port())).unwrap()).unwrap();
        let stranger = key("ed25519");
        let offered = dialer().prove_offer(&target, &known, "root", stranger.public()).await.unwrap();
        assert!(!offered.accepted);
        assert_eq!(offered.address, SocketAddr::from((Ipv6Addr::LOCALHOST, host.port())));
        let foreign = [stranger.public().clone()];
        let offered = dialer().prove_offer(&target, &foreign, "root", stranger.public()).await;
        let failure = failure(offered.unwrap_err());
        assert_eq!((failure.code, failure.stage), (FailureCode::HostKeyMismatch, Stage::HostKey));
    }
}

#[tokio::test]
async fn an_address_where_nothing_listens_is_named() {
    let host = TestHost::openssh(HostOptions::default()).await.unwrap();
    let resolved = dialer().resolve(&Target::new("::1", host.port())).await.unwrap().value;
    let failure = failure(dialer().dial(&resolved).await.unwrap_err());
    assert_eq!((failure.code, failure.stage), (FailureCode::ConnectionRefused, Stage::Tcp));
    assert_eq!(failure.fact("address"), Some(format!("[::1]:{}", host.port()).as_str()));
    let resolved = dialer().resolve(&Target::new("127.0.0.1", host.port())).await.unwrap().value;
    let dialed = dialer().dial(&resolved).await.unwrap().value;
    assert_eq!(dialed.address().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
}
