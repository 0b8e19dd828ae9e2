//! Proofs: accepted, refused, and never refused by accident.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keywright_ssh::{FailureCode, ProofMethod, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::hosts::{Host, Line, dialer, dropbear, dropbear_with, key, openssh, root};

async fn offers_are_told_apart(start: impl Fn(&[Line<'_>]) -> Host) {
    let keys = ["ed25519", "ecdsa", "rsa"].map(key);
    let lines: Vec<Line<'_>> = keys.iter().map(|k| ("", k.public())).collect();
    let host = start(&lines);
    for known in &keys {
        let receipt =
            dialer().prove_offer(&host.target(), &host.host_keys, "root", known.public()).await.unwrap();
        assert!(receipt.accepted, "{:?}", known.public());
        assert_eq!((receipt.method, &receipt.key), (ProofMethod::Offer, &known.public().fingerprint()));
        assert!(host.host_keys.iter().any(|k| k.fingerprint() == receipt.host_key));
        host.log_with(&receipt.source_port.to_string()).await;
    }
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let stranger = key(kind).public().clone();
        let receipt = dialer().prove_offer(&host.target(), &host.host_keys, "root", &stranger).await.unwrap();
        assert!(!receipt.accepted, "{kind}");
    }
    assert!(!host.log().contains("Accepted publickey"), "an offer is not a login");
}

#[tokio::test]
async fn openssh_tells_accepted_offers_from_refused() {
    offers_are_told_apart(|lines| openssh(lines, "")).await;
}

#[tokio::test]
async fn dropbear_tells_accepted_offers_from_refused() {
    offers_are_told_apart(dropbear).await;
}

#[tokio::test]
async fn a_server_that_hangs_up_on_the_first_refusal_is_asked_for_every_name() {
    let known = key("rsa");
    let config = "MaxAuthTries 1\nPubkeyAcceptedAlgorithms ssh-rsa,ssh-ed25519";
    for host in [openssh(&[("", known.public())], config), dropbear_with(&[("", known.public())], "-T 1")] {
        for stranger in [key("ed25519"), key("rsa")] {
            let pins = &host.host_keys;
            let receipt =
                dialer().prove_offer(&host.target(), pins, "root", stranger.public()).await.unwrap();
            assert!(!receipt.accepted);
        }
        let receipt =
            dialer().prove_offer(&host.target(), &host.host_keys, "root", known.public()).await.unwrap();
        assert!(receipt.accepted);
    }
}

#[tokio::test]
async fn a_key_that_a_server_knows_by_its_old_name_only_is_found_but_not_signed_with() {
    let login = key("rsa");
    let host = openssh(&[("", login.public())], "PubkeyAcceptedAlgorithms ssh-rsa");
    let offer = async |key| dialer().prove_offer(&host.target(), &host.host_keys, "root", key).await.unwrap();
    assert!(offer(login.public()).await.accepted);
    assert!(!offer(key("rsa").public()).await.accepted);
    let error = dialer().prove_login(&host.target(), &host.host_keys, &root(login)).await.unwrap_err();
    let code = error.failure().unwrap().code;
    assert!(matches!(code, FailureCode::AuthenticationRejected | FailureCode::NoCommonAlgorithm), "{code}");
    assert!(!host.log().contains("Accepted publickey"));
}

#[tokio::test]
async fn a_login_proof_runs_no_forced_command() {
    let (login, trace) = (key("ed25519"), tempfile::tempdir().unwrap());
    let touched = trace.path().join("touched");
    let options = format!("command=\"touch {}\"", touched.display());
    let host = openssh(&[(&options, login.public())], "");
    let identity = root(login);
    let receipt = dialer().prove_login(&host.target(), &host.host_keys, &identity).await.unwrap();
    assert!(receipt.accepted && receipt.method == ProofMethod::Login);
    host.log_with(&format!("Accepted publickey for root from 127.0.0.1 port {}", receipt.source_port)).await;
    host.log_with("Received disconnect from").await;
    assert!(!touched.exists());

    let connected = dialer().connect(&host.target(), &host.host_keys, &identity).await.unwrap();
    let failure = connected.session.check().await.unwrap_err();
    assert_eq!(failure.code, FailureCode::ForcedCommand);
    assert!(touched.exists());
}

/// Passes bytes between a client and `to`, and cuts both off after `budget` bytes from the server.
async fn cutting_proxy(to: u16, budget: usize) -> (Target, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let passed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&passed);
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let mut buffer = [0; 16 * 1024];
        while let Ok(n @ 1..) = from_server.read(&mut buffer).await {
            let n = n.min(budget - count.load(Ordering::SeqCst));
            count.fetch_add(n, Ordering::SeqCst);
            if to_client.write_all(&buffer[..n]).await.is_err() || count.load(Ordering::SeqCst) == budget {
                break;
            }
        }
        up.abort();
    });
    (Target::new("127.0.0.1", port), passed)
}

#[tokio::test]
async fn a_lost_connection_is_never_a_refusal() {
    let known = key("rsa").public().clone();
    let host = openssh(&[("", &known)], "");
    let (target, passed) = cutting_proxy(host.port, usize::MAX).await;
    assert!(dialer().prove_offer(&target, &host.host_keys, "root", &known).await.unwrap().accepted);
    let whole = passed.load(Ordering::SeqCst);
    let mut lost = 0;
    for step in 1..24 {
        let (target, _) = cutting_proxy(host.port, whole * step / 24).await;
        match dialer().prove_offer(&target, &host.host_keys, "root", &known).await {
            Ok(receipt) => assert!(receipt.accepted, "cut at {step}/24"),
            Err(error) => {
                let failure = error.failure().unwrap();
                assert_eq!(
                    failure.code,
                    FailureCode::ConnectionClosed,
                    "cut at {step}/24 in {}",
                    failure.stage
                );
                lost += 1;
            }
        }
    }
    assert!(lost > 15, "only {lost} connections were lost");
}
