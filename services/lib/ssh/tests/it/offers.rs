//! Offers of servers that do not mean well, or that take a way of their own.

use std::time::{Duration, Instant};

use keywright_ssh::{Failure, FailureCode, ServerOffer, Stage};
use tokio::io::AsyncWriteExt;

use crate::hostile::serve;
use crate::hosts::impatient;

const STAGE: Duration = Duration::from_millis(400);

/// A packet before encryption.
fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 8 - (payload.len() + 5) % 8 + 8;
    let length = u32::try_from(1 + payload.len() + padding).unwrap();
    let padding_length = [u8::try_from(padding).unwrap()];
    [&length.to_be_bytes(), &padding_length[..], payload, &vec![0; padding]].concat()
}

fn kexinit(names: &[u8]) -> Vec<u8> {
    let list = [&u32::try_from(names.len()).unwrap().to_be_bytes(), names].concat();
    [&[20][..], &[0; 16], &list.repeat(8), &[0; 8], &[0; 5]].concat()
}

/// What comes of a server that says this; it must come in time and leave no connection behind.
async fn offered(parts: Vec<Vec<u8>>, stay: bool) -> Result<ServerOffer, Failure> {
    let (target, gone) = serve(move |mut socket| async move {
        for part in [b"SSH-2.0-of-its-own\r\n".to_vec()].into_iter().chain(parts) {
            let _ = socket.write_all(&part).await;
        }
        stay.then_some(socket)
    })
    .await;
    let dialer = impatient(STAGE);
    let started = Instant::now();
    let resolved = dialer.resolve(&target).await.unwrap().value;
    let read = dialer.read_offer(&resolved).await;
    assert!(started.elapsed() < STAGE * 10, "took {:?}", started.elapsed());
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the connection was left open").unwrap();
    read.map(|staged| staged.value).map_err(|error| error.failure().cloned().unwrap())
}

async fn failure(parts: Vec<Vec<u8>>, stay: bool) -> FailureCode {
    let failure = offered(parts, stay).await.expect_err("a failure");
    assert_eq!(failure.stage, Stage::Handshake);
    failure.code
}

#[tokio::test]
async fn an_offer_is_read_after_what_may_come_before_it() {
    let ignore = packet(&[2, 0, 0, 0, 0]);
    let debug = packet(&[4, 0, 0, 0, 0, 2, b'h', b'i', 0, 0, 0, 0]);
    let ServerOffer { server_version, offer, .. } =
        offered(vec![ignore, debug, packet(&kexinit(b"one,two@example.org"))], true).await.unwrap();
    assert_eq!(server_version, "SSH-2.0-of-its-own");
    assert_eq!(offer.kex, ["one", "two@example.org"]);
    assert_eq!(offer.macs, offer.kex);
}

#[tokio::test]
async fn an_offer_may_come_in_pieces() {
    let whole = packet(&kexinit(b"one"));
    let pieces = whole.iter().map(|&byte| vec![byte]).collect();
    assert_eq!(offered(pieces, true).await.unwrap().offer.ciphers, ["one"]);
}

#[tokio::test]
async fn what_is_no_offer_is_no_ssh_server() {
    let mut cut_off = kexinit(b"one");
    cut_off.truncate(60);
    let (tiny, huge, uneven) =
        (vec![0, 0, 0, 4, 4, 0, 0, 0], vec![0xff; 64], vec![0, 0, 0, 13, 4, 20, 0, 0, 0, 0]);
    for parts in [
        vec![b"HTTP/1.1 400 Bad Request\r\n".to_vec()],
        vec![tiny],
        vec![huge],
        vec![uneven],
        vec![packet(&[])],
        vec![packet(&[21])],
        vec![packet(&cut_off)],
        vec![packet(&[kexinit(b"one"), vec![0]].concat())],
        vec![packet(&kexinit(b"one,,two"))],
        vec![packet(&kexinit(b"\x1b[2J"))],
        vec![packet(&kexinit(&[b'x'; 65]))],
        vec![packet(&kexinit(&b"x,".repeat(257)))],
        vec![packet(&[2, 0, 0, 0, 0]).repeat(1000)],
    ] {
        let shown = format!("{:?}", parts[0].get(..40));
        assert_eq!(failure(parts, true).await, FailureCode::NotAnSshServer, "{shown}");
    }
}

#[tokio::test]
async fn a_flaw_is_named_in_our_words() {
    let failure = offered(vec![packet(&kexinit(b"\x1b[2J"))], true).await.expect_err("a failure");
    assert_eq!(failure.fact("flaw"), Some("something that is no algorithm name"));
}

#[tokio::test]
async fn silence_ends_with_the_stage_and_a_closed_connection_is_told() {
    assert_eq!(failure(vec![], true).await, FailureCode::HandshakeTimeout);
    assert_eq!(failure(vec![vec![0, 0, 4]], true).await, FailureCode::HandshakeTimeout);
    assert_eq!(failure(vec![], false).await, FailureCode::ConnectionClosed);
    assert_eq!(failure(vec![vec![0, 0, 4]], false).await, FailureCode::ConnectionClosed);
}

#[tokio::test]
async fn a_server_that_turns_us_away_is_busy_only_if_it_says_so() {
    let goodbye = |reason| packet(&[&[1, 0, 0, 0, reason][..], &[0; 8]].concat());
    assert_eq!(failure(vec![goodbye(12)], true).await, FailureCode::ServerBusy);
    assert_eq!(failure(vec![goodbye(11)], true).await, FailureCode::ConnectionClosed);
}
