//! Servers that do not mean well: what they are called, and that they cost us no more than the stage's time.

use std::future::Future;
use std::time::{Duration, Instant};

use keywright_ssh::{Failure, FailureCode, Stage, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

use crate::hosts::{free_port, impatient, openssh};

const STAGE: Duration = Duration::from_millis(400);

/// Serves one connection with `behave`, then tells whether our side ended it.
pub async fn serve<F, Fut>(behave: F) -> (Target, oneshot::Receiver<()>)
where
    F: FnOnce(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = Option<TcpStream>> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new("127.0.0.1", listener.local_addr().unwrap().port());
    let (left, gone) = oneshot::channel();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        if let Some(mut socket) = behave(socket).await {
            let mut sink = [0; 4096];
            while matches!(socket.read(&mut sink).await, Ok(n) if n > 0) {}
        }
        let _ = left.send(());
    });
    (target, gone)
}

/// The handshake's failure, which must come in time and leave no connection behind.
async fn greeting(target: Target, gone: oneshot::Receiver<()>) -> Failure {
    let dialer = impatient(STAGE);
    let started = Instant::now();
    let resolved = dialer.resolve(&target).await.unwrap().value;
    let dialed = dialer.dial(&resolved).await.unwrap().value;
    let failure = dialer.handshake(dialed, &[]).await.err().expect("a failure");
    assert!(started.elapsed() < STAGE * 10, "took {:?}", started.elapsed());
    assert_eq!(failure.stage, Stage::Handshake);
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the connection was left open").unwrap();
    failure
}

async fn says(bytes: &'static [u8], stay: bool) -> Failure {
    let (target, gone) = serve(move |mut socket| async move {
        let _ = socket.write_all(bytes).await;
        stay.then_some(socket)
    })
    .await;
    greeting(target, gone).await
}

#[tokio::test]
async fn other_services_are_recognised() {
    for (text, stay) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], true),
        (b"220 mail.example.org ESMTP\r\n", true),
        (b"\x15\x03\x01\x00\x02\x02\x46", true),
        (b"hello there\n", true),
        (b"hello there\n", false),
        (b"SSH-2.0-liar\r\nthis is not a packet at all, not even remotely", true),
    ] {
        let failure = says(text, stay).await;
        assert_eq!(failure.code, FailureCode::NotAnSshServer, "{}", text.escape_ascii());
    }
}

#[tokio::test]
async fn a_web_server_that_waits_for_its_client_is_recognised() {
    let (target, gone) = serve(|mut socket| async move {
        let mut request = [0; 64];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.unwrap();
        None
    })
    .await;
    assert_eq!(greeting(target, gone).await.code, FailureCode::NotAnSshServer);
}

#[tokio::test]
async fn silence_and_stalling_end_with_the_stage() {
    for text in [&b""[..], b"SSH-2.0-half", b"SSH-2.0-stalls\r\n"] {
        assert_eq!(says(text, true).await.code, FailureCode::HandshakeTimeout, "{}", text.escape_ascii());
    }
}

#[tokio::test]
async fn a_dribbling_server_gains_no_time() {
    let (target, gone) = serve(|mut socket| async move {
        let mut tick = tokio::time::interval(STAGE / 8);
        for byte in b"SSH-2.0-".iter().chain(std::iter::repeat_n(&b'x', 200)) {
            tick.tick().await;
            if socket.write_all(&[*byte]).await.is_err() {
                return None;
            }
        }
        Some(socket)
    })
    .await;
    assert_eq!(greeting(target, gone).await.code, FailureCode::HandshakeTimeout);
}

#[tokio::test]
async fn an_endless_key_exchange_gains_no_time() {
    let (target, gone) = serve(|mut socket| async move {
        socket.write_all(b"SSH-2.0-endless\r\n").await.unwrap();
        let mut tick = tokio::time::interval(STAGE / 8);
        // SSH_MSG_IGNORE, for ever: packet length, padding length, message, an empty string, padding.
        let ignore = [0, 0, 0, 12, 6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        loop {
            tick.tick().await;
            if socket.write_all(&ignore).await.is_err() {
                return None;
            }
        }
    })
    .await;
    assert_eq!(greeting(target, gone).await.code, FailureCode::HandshakeTimeout);
}

#[tokio::test]
async fn a_closing_server_is_told_from_a_busy_one() {
    assert_eq!(says(b"", false).await.code, FailureCode::ConnectionClosed);
    assert_eq!(says(b"SSH-2.0-closes\r\n", false).await.code, FailureCode::ConnectionClosed);
    assert_eq!(says(b"Exceeded MaxStartups\r\n", false).await.code, FailureCode::ServerBusy);
    assert_eq!(says(b"Not allowed at this time\r\n", false).await.code, FailureCode::ServerBusy);
}

#[tokio::test]
async fn a_real_server_at_its_limit_is_busy() {
    let host = openssh(&[], "MaxStartups 1:100:1");
    let mut first = TcpStream::connect(("127.0.0.1", host.port)).await.unwrap();
    let mut banner = [0; 8];
    first.read_exact(&mut banner).await.unwrap();
    let failure = dial_and_greet(&host.target()).await;
    assert_eq!(failure.code, FailureCode::ServerBusy);
}

async fn dial_and_greet(target: &Target) -> Failure {
    let dialer = crate::hosts::dialer();
    let resolved = dialer.resolve(target).await.unwrap().value;
    let dialed = dialer.dial(&resolved).await.unwrap().value;
    dialer.handshake(dialed, &[]).await.err().expect("a failure")
}

#[tokio::test]
async fn nobody_listens() {
    let dialer = impatient(STAGE);
    let resolved = dialer.resolve(&Target::new("127.0.0.1", free_port())).await.unwrap().value;
    let failure = dialer.dial(&resolved).await.unwrap_err().failure().cloned().unwrap();
    assert_eq!((failure.code, failure.stage), (FailureCode::ConnectionRefused, Stage::Tcp));
}

#[tokio::test]
async fn a_server_that_does_not_answer_the_connection_attempt() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // Nobody accepts: when the queue is full, the kernel leaves further attempts without an answer.
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(STAGE, TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    let dialer = impatient(STAGE);
    let resolved = dialer.resolve(&Target::new("127.0.0.1", address.port())).await.unwrap().value;
    let failure = dialer.dial(&resolved).await.unwrap_err().failure().cloned().unwrap();
    assert_eq!((failure.code, failure.stage), (FailureCode::ConnectTimeout, Stage::Tcp));
}
