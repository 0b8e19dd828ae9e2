//! Logging in and running commands.

use std::time::Duration;

use keywright_ssh::{ExecLimits, Session, Stage};

use crate::hosts::{Host, dialer, dropbear, key, openssh, root};

async fn logged_in(start: impl Fn(&[crate::hosts::Line<'_>]) -> Host, kind: &str) -> (Host, Session) {
    let key = key(kind);
    let host = start(&[("", key.public())]);
    let connected = dialer().connect(&host.target(), &host.host_keys, &root(key)).await.unwrap();
    let stages: Vec<_> = connected.times.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(stages, [Stage::Dns, Stage::Tcp, Stage::Handshake, Stage::HostKey, Stage::Authentication]);
    (host, connected.session)
}

fn limits() -> ExecLimits {
    ExecLimits::default()
}

#[tokio::test]
async fn every_kind_of_key_logs_in_on_openssh() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let (host, session) = logged_in(|keys| openssh(keys, ""), kind).await;
        assert!(session.server_version().starts_with("SSH-2.0-OpenSSH_"), "{}", session.server_version());
        session.check().await.unwrap();
        let port = session.local().port();
        session.close().await;
        host.log_with(&format!("Accepted publickey for root from 127.0.0.1 port {port}")).await;
        host.log_with("Received disconnect from").await;
    }
}

#[tokio::test]
async fn every_kind_of_key_logs_in_on_dropbear() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let (_host, session) = logged_in(dropbear, kind).await;
        session.check().await.unwrap();
        let said = session.exec("cat; echo done; exit 3", b"input\n", limits()).await.unwrap();
        assert_eq!((said.status, said.stdout.as_slice()), (Some(3), &b"input\ndone\n"[..]));
        session.close().await;
    }
}

#[tokio::test]
async fn commands_get_input_and_give_output_and_status() {
    let (_host, session) = logged_in(|keys| openssh(keys, ""), "ed25519").await;
    let said = session.exec("cat; echo oops >&2; exit 7", b"hello", limits()).await.unwrap();
    assert_eq!(said.status, Some(7));
    assert_eq!((said.stdout.as_slice(), said.stderr.as_slice()), (&b"hello"[..], &b"oops\n"[..]));
    assert!(!said.truncated && !said.timed_out && !said.succeeded());

    let killed = session.exec("kill -9 $$", b"", limits()).await.unwrap();
    assert_eq!(killed.status, None);

    // Much more than every window on the way, in both directions at once.
    let big: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let wide = ExecLimits { output: 4_000_000, ..limits() };
    let said = session.exec("cat", &big, wide).await.unwrap();
    assert!(said.succeeded() && said.stdout == big);

    // A command that does not read its input.
    assert!(session.exec("true", &big, wide).await.unwrap().succeeded());
}

#[tokio::test]
async fn output_and_time_are_bounded_and_the_session_goes_on() {
    let (_host, session) = logged_in(|keys| openssh(keys, ""), "ed25519").await;
    let cut = session.exec("yes", b"", ExecLimits { output: 1000, ..limits() }).await.unwrap();
    assert!(cut.truncated && cut.status.is_none());
    assert_eq!(cut.stdout.len(), 1000);
    let brief = ExecLimits { deadline: Duration::from_secs(1), ..limits() };
    let late = session.exec("echo begun; sleep 60", b"", brief).await.unwrap();
    assert!(late.timed_out && late.status.is_none());
    assert!(b"begun\n".starts_with(&late.stdout));
    session.check().await.unwrap();
}
