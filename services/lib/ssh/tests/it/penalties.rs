//! What our own probes cost at a server that keeps account of its clients, as OpenSSH does by itself since 9.8: a source
//! that has gathered more than 15 seconds of penalties is turned away until they have passed. Whoever goes without a login
//! pays: 1 second if it tried none, 5 if it did, and an offer counts as a try even where the key was accepted.

use keywright_domain::key::PublicKey;
use keywright_kit::{HostOptions, TestHost};
use keywright_ssh::{FailureCode, LoginError};

use crate::busy::{greet, pins, target};
use crate::hosts::{dialer, failure, key, root};

const PROBES: usize = 30;
const NO_TRY: &str = "connections without attempting authentication";
const FAILED: &str = "failed authentication";

/// How a series of equal probes ended, one after the other as fast as they go, and what the server wrote down.
struct Toll {
    answered: usize,
    busy: usize,
    /// Of the first probe.
    connections: usize,
    penalty: Option<String>,
}

/// At a host with OpenSSH's defaults that has penalized nobody yet, where `known` opens root.
async fn toll(
    name: &str,
    known: &PublicKey,
    probe: impl AsyncFn(&TestHost) -> Result<(), FailureCode>,
) -> Toll {
    let host = TestHost::openssh_10(HostOptions::default()).await.unwrap();
    host.write_authorized_keys("root", known.openssh());
    let mut toll = Toll { answered: 0, busy: 0, connections: 0, penalty: None };
    for n in 0..PROBES {
        match probe(&host).await {
            Ok(()) => toll.answered += 1,
            Err(FailureCode::ServerBusy) => toll.busy += 1,
            Err(code) => panic!("{name}: {code}: {}", host.log()),
        }
        if n == 0 {
            toll.connections = host.log().matches("Connection from").count();
        }
    }
    let log = host.log();
    let penalty = log.lines().find_map(|line| Some(line.split_once(" for penalty: ")?.1.to_owned()));
    toll.penalty = penalty;
    let Toll { answered, busy, connections, penalty } = &toll;
    let penalty = penalty.as_deref().unwrap_or("none");
    println!(
        "{name:<26} {connections} connections each; {answered:>2} answered, {busy:>2} turned away; {penalty}"
    );
    toll
}

fn code(error: LoginError) -> FailureCode {
    error.failure().expect("the server's failure").code
}

#[tokio::test]
async fn table_of_logins_that_cost_nothing() {
    let login = key("ed25519");
    let (known, identity) = (login.public().clone(), root(login));
    let tests = toll("login and a command", &known, async |host| {
        let session = dialer().connect(&target(host), &pins(host), &identity).await.map_err(code)?.session;
        session.check().await.map_err(|failure| failure.code)?;
        session.close().await;
        Ok(())
    });
    let tests = tests.await;
    let proofs = toll("proof by login", &known, async |host| {
        dialer().prove_login(&target(host), &pins(host), &identity).await.map(|_| ()).map_err(code)
    });
    for toll in [tests, proofs.await] {
        assert_eq!((toll.answered, toll.connections, toll.penalty), (PROBES, 1, None));
    }
}

#[tokio::test]
async fn table_of_scans_that_cost_a_second_for_each_connection() {
    let known = key("ed25519").public().clone();
    let scans = toll("scan of three host keys", &known, async |host| {
        dialer().scan_host_keys(&target(host)).await.map(|_| ()).map_err(|error| failure(error).code)
    });
    let scans = scans.await;
    // One for each key, and one that is answered with the list of what the server has.
    assert_eq!((scans.connections, scans.penalty.as_deref()), (4, Some(NO_TRY)));
    assert!(scans.answered >= 3, "{} were answered", scans.answered);
    let greetings = toll("handshake alone", &known, async |host| {
        greet(host).await.map(|_| ()).map_err(|failure| failure.code)
    });
    let greetings = greetings.await;
    assert_eq!((greetings.connections, greetings.penalty.as_deref()), (1, Some(NO_TRY)));
    assert!(greetings.answered >= 15, "{} were answered", greetings.answered);
}

#[tokio::test]
async fn table_of_offers_that_cost_five_seconds_also_where_the_key_is_accepted() {
    let (known, stranger) = (key("ed25519").public().clone(), key("ed25519").public().clone());
    for (name, offered, is_known) in
        [("offer of an accepted key", &known, true), ("offer of a refused key", &stranger, false)]
    {
        let offers = toll(name, &known, async |host| {
            let receipt = dialer().prove_offer(&target(host), &pins(host), "root", offered).await;
            assert_eq!(receipt.map_err(|error| failure(error).code)?.accepted, is_known);
            Ok(())
        });
        let offers = offers.await;
        assert_eq!((offers.connections, offers.penalty.as_deref()), (1, Some(FAILED)));
        assert!(offers.answered >= 3, "{} were answered", offers.answered);
    }
}
