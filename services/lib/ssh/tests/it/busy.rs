//! Servers that take no more connections for now, by their real limits: told from those that refuse or are no servers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use keywright_domain::key::PublicKey;
use keywright_kit::{HostOptions, TestHost, eventually};
use keywright_ssh::{Failure, FailureCode, Greeted, Stage, Target};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::hosts::{dialer, failure, key, root};

pub const LIMIT: Duration = Duration::from_secs(20);
/// A server that turns away closes at once, on a client that still talks: whether its words arrive must not be luck.
const MANY: usize = 40;

pub fn target(host: &TestHost) -> Target {
    Target::new(host.address(), host.port())
}

pub fn pins(host: &TestHost) -> Vec<PublicKey> {
    host.host_keys().iter().map(|line| PublicKey::parse_openssh(line).unwrap()).collect()
}

pub async fn greet(host: &TestHost) -> Result<Greeted, Failure> {
    let dialer = dialer();
    let resolved = dialer.resolve(&target(host)).await?.value;
    let dialed = dialer.dial(&resolved).await.map_err(failure)?.value;
    Ok(dialer.handshake(dialed, &pins(host)).await?.value)
}

fn is_busy(result: Result<Greeted, Failure>) -> Failure {
    let failure = result.err().expect("the server took the connection");
    assert_eq!((failure.code, failure.stage), (FailureCode::ServerBusy, Stage::Handshake));
    assert!(failure.remedy.contains("MaxStartups") && failure.remedy.contains("PerSourcePenaltyExemptList"));
    failure
}

/// A connection that is under way at the server, from this address of loopback, until it is dropped.
async fn held(host: &TestHost, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, host.port()));
    let mut stream = socket.connect(to).await.unwrap();
    stream.read_exact(&mut [0; 8]).await.unwrap();
    stream
}

/// The older counts connections only; the newer is told to do no more.
async fn both(lines: &[&str]) -> [TestHost; 2] {
    let options = lines.iter().copied().fold(HostOptions::default(), HostOptions::config);
    let forgiving = options.clone().config("PerSourcePenalties no");
    [TestHost::openssh(options).await.unwrap(), TestHost::openssh_10(forgiving).await.unwrap()]
}

#[tokio::test]
async fn a_host_at_its_limit_of_startups_is_busy_until_one_ends() {
    for host in both(&["MaxStartups 1:100:1"]).await {
        let held = held(&host, Ipv4Addr::LOCALHOST).await;
        for _ in 0..MANY {
            is_busy(greet(&host).await);
        }
        drop(held);
        assert!(eventually(LIMIT, async || greet(&host).await.is_ok()).await, "{}", host.log());
    }
}

#[tokio::test]
async fn a_host_that_drops_some_connections_is_busy_for_these_and_takes_the_others() {
    for host in both(&["MaxStartups 2:50:60"]).await {
        let _held = [held(&host, Ipv4Addr::LOCALHOST).await, held(&host, Ipv4Addr::LOCALHOST).await];
        let (mut taken, mut busy) = (0, 0);
        // Each draws anew: that one side never wins in so many has a chance of one in a billion.
        for _ in 0..MANY {
            match greet(&host).await {
                Ok(greeted) => {
                    taken += usize::from(greeted.verify().is_ok());
                }
                refused => {
                    is_busy(refused);
                    busy += 1;
                }
            }
        }
        assert!(taken > 0 && busy > 0 && taken + busy == MANY, "{taken} taken, {busy} busy");
    }
}

#[tokio::test]
async fn a_host_that_counts_by_source_is_busy_for_this_source_alone() {
    for host in both(&["PerSourceMaxStartups 1"]).await {
        let _neighbour = held(&host, Ipv4Addr::new(127, 0, 0, 2)).await;
        assert!(eventually(LIMIT, async || greet(&host).await.is_ok()).await, "{}", host.log());
        assert!(eventually(LIMIT, async || held_alone(&host).await).await, "{}", host.log());
    }
}

/// Whether a connection of our own keeps the next one out. The end of the one before is counted a moment later.
async fn held_alone(host: &TestHost) -> bool {
    let mut first = TcpStream::connect((Ipv4Addr::LOCALHOST, host.port())).await.unwrap();
    let mut said = [0; 4];
    let is_taken = first.read_exact(&mut said).await.is_ok() && said == *b"SSH-";
    if is_taken {
        is_busy(greet(host).await);
    }
    is_taken
}

#[tokio::test]
async fn a_host_that_counts_by_network_is_busy_for_its_neighbours_too() {
    for host in both(&["PerSourceMaxStartups 1", "PerSourceNetBlockSize 24:64"]).await {
        let _neighbour = held(&host, Ipv4Addr::new(127, 0, 0, 2)).await;
        for _ in 0..MANY {
            is_busy(greet(&host).await);
        }
    }
}

#[tokio::test]
async fn a_penalized_source_is_turned_away_from_the_first_connection_on() {
    let login = key("ed25519");
    let options = HostOptions::default().config("PerSourcePenalties authfail:300s min:1s");
    let host = TestHost::openssh_10(options).await.unwrap();
    host.write_authorized_keys("root", login.public().openssh());
    dialer().connect(&target(&host), &pins(&host), &root(key("ed25519"))).await.err().expect("a rejection");
    let penalized = async || host.log().contains("penalty of 300 seconds for penalty: failed authentication");
    assert!(eventually(LIMIT, penalized).await, "{}", host.log());
    for _ in 0..MANY {
        is_busy(greet(&host).await);
    }
    // Whatever asks, the answer is the same, and the right key is not the wrong one.
    let busy = FailureCode::ServerBusy;
    let stranger = key("ed25519");
    assert_eq!(dialer().scan_host_keys(&target(&host)).await.map_err(failure).unwrap_err().code, busy);
    let offer = dialer().prove_offer(&target(&host), &pins(&host), "root", stranger.public()).await;
    assert_eq!(offer.map_err(failure).unwrap_err().code, busy);
    let login = dialer().prove_login(&target(&host), &pins(&host), &root(login)).await.unwrap_err();
    assert_eq!(login.failure().unwrap().code, busy);
}

#[tokio::test]
async fn a_penalty_ends_and_an_exempt_source_has_none() {
    let refuse = async |host: &TestHost| {
        dialer().connect(&target(host), &pins(host), &root(key("ed25519"))).await.err().expect("a rejection")
    };
    let options = HostOptions::default().config("PerSourcePenalties authfail:3s min:1s");
    let host = TestHost::openssh_10(options.clone()).await.unwrap();
    refuse(&host).await;
    assert!(eventually(LIMIT, async || greet(&host).await.is_err()).await, "no penalty: {}", host.log());
    assert!(eventually(LIMIT, async || greet(&host).await.is_ok()).await, "no end: {}", host.log());

    let host = TestHost::openssh_10(options.config("PerSourcePenaltyExemptList 127.0.0.0/8")).await.unwrap();
    for _ in 0..5 {
        refuse(&host).await;
    }
    assert!(greet(&host).await.is_ok());
    assert!(!host.log().contains("penalty of"), "{}", host.log());
}

/// It has no words for it; the remedy has.
#[tokio::test]
async fn a_dropbear_at_its_limit_closes_and_the_remedy_names_that_cause() {
    let host = TestHost::dropbear(HostOptions::default()).await.unwrap();
    let mut under_way = Vec::new();
    for _ in 0..5 {
        under_way.push(held(&host, Ipv4Addr::LOCALHOST).await);
    }
    let failure = greet(&host).await.err().expect("the server took the connection");
    assert_eq!((failure.code, failure.stage), (FailureCode::ConnectionClosed, Stage::Handshake));
    assert!(failure.remedy.contains("overloaded (MaxStartups)"), "{}", failure.remedy);
}
