//! What answers in place of an SSH server, and servers that stop half-way: each has a name, and none holds up a test for
//! longer than its time.

use std::future::Future;
use std::time::Duration;

use crate::rig::{World, assert_failed_at, check, with_alice};
use keywright_kit::{Fault, Harm, HostOptions, KeyPair, KeyType, Proxy, Stage, TestHost, keygen};
use keywright_proto::credential::Server;
use keywright_proto::probe::ConnectivityTest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A whole test ends by itself before that, whatever the server does.
const BOUND: Duration = Duration::from_secs(45);
/// SSH_MSG_IGNORE in the clear: packet length, padding length, message, an empty string, padding.
const IGNORE: [u8; 16] = [0, 0, 0, 12, 6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

async fn bounded(world: &World, server: &Server, key: &KeyPair, user: &str) -> ConnectivityTest {
    tokio::time::timeout(BOUND, world.test_once(server, key, user)).await.expect("the test has no end")
}

/// The test of a listener that treats whoever comes like this.
async fn of_listener<F, Fut>(behave: F) -> ConnectivityTest
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = world.register_at("127.0.0.1", listener.local_addr().unwrap().port(), &[key.public_line()]);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(behave(socket));
        }
    });
    bounded(&world, &server, &key, "alice").await
}

/// Says this, and then nothing, for as long as the other end is there.
async fn says(bytes: &'static [u8]) -> ConnectivityTest {
    of_listener(move |mut socket| async move {
        let _ = socket.write_all(bytes).await;
        let mut sink = [0; 4096];
        while matches!(socket.read(&mut sink).await, Ok(n) if n > 0) {}
    })
    .await
}

/// Says this again and again, with a pause after each.
async fn repeats(first: &'static [u8], again: &'static [u8], pause: Duration) -> ConnectivityTest {
    of_listener(move |mut socket| async move {
        let mut said = socket.write_all(first).await;
        while said.is_ok() {
            tokio::time::sleep(pause).await;
            said = socket.write_all(again).await;
        }
    })
    .await
}

#[tokio::test]
async fn table_of_what_is_no_ssh_server() {
    for (cause, bytes) in [
        ("a web server", &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..]),
        ("a mail server", b"220 mail.example.org ESMTP\r\n"),
        ("a server of TLS", b"\x15\x03\x01\x00\x02\x02\x46"),
        ("a database", b"\x4a\x00\x00\x00\x0a8.0.36\x00"),
        ("a remote desktop", b"RFB 003.008\n"),
        ("SSH in name only", b"SSH-2.0-liar\r\nthis is not a packet at all, not even remotely"),
    ] {
        println!("{cause}");
        assert_failed_at(&says(bytes).await, "handshake", "NOT_AN_SSH_SERVER");
    }
    let floods = repeats(b"welcome\r\n", b"to our house\r\n", Duration::ZERO).await;
    assert_failed_at(&floods, "handshake", "NOT_AN_SSH_SERVER");
    assert_failed_at(&says(b"SSH-1.5-old\r\n").await, "handshake", "NO_COMMON_ALGORITHM");
}

#[tokio::test]
async fn table_of_exchanges_that_never_end() {
    let pause = Duration::from_millis(50);
    let tests = tokio::join!(
        says(b""),
        says(b"SSH-2.0-half"),
        says(b"SSH-2.0-stalls\r\n"),
        repeats(b"SSH-2.0-", b"x", pause),
        repeats(b"SSH-2.0-endless\r\n", &IGNORE, pause),
        repeats(b"SSH-2.0-flood\r\n", &IGNORE, Duration::ZERO),
    );
    for (cause, test) in [
        ("silence", tests.0),
        ("half a banner", tests.1),
        ("a banner and silence", tests.2),
        ("a banner byte by byte", tests.3),
        ("a key exchange that never begins", tests.4),
        ("a flood in its place", tests.5),
    ] {
        println!("{cause}");
        assert_failed_at(&test, "handshake", "HANDSHAKE_TIMEOUT");
    }
}

#[tokio::test]
async fn a_server_that_closes_at_once_or_after_its_banner_is_named() {
    for banner in [&b""[..], b"SSH-2.0-closes\r\n"] {
        let test = of_listener(move |mut socket| async move {
            let _ = socket.write_all(banner).await;
        });
        assert_failed_at(&test.await, "handshake", "CONNECTION_CLOSED");
    }
}

/// Between the probe and a real server, cut or stalled where the protocol has come to that stage.
#[tokio::test]
async fn table_of_connections_that_are_lost_on_the_way() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let host = with_alice(TestHost::openssh(HostOptions::default()).await.unwrap(), &key.public_line());
    let proxy = Proxy::before(host.port()).await.unwrap();
    let server = world.register_at("127.0.0.1", proxy.port(), &host.host_keys());
    for (stage, harm, check, code) in [
        (Stage::Connected, Harm::Cut, "handshake", "CONNECTION_CLOSED"),
        (Stage::Banner, Harm::Cut, "handshake", "CONNECTION_CLOSED"),
        (Stage::KeyExchange, Harm::Cut, "handshake", "CONNECTION_CLOSED"),
        (Stage::Login, Harm::Cut, "authentication", "CONNECTION_CLOSED"),
        (Stage::Session, Harm::Cut, "session", "CONNECTION_CLOSED"),
        (Stage::KeyExchange, Harm::Stall, "handshake", "HANDSHAKE_TIMEOUT"),
        (Stage::Login, Harm::Stall, "authentication", "HANDSHAKE_TIMEOUT"),
        (Stage::Session, Harm::Stall, "session", "SESSION_REFUSED"),
    ] {
        println!("{stage:?} {harm:?} {check} {code}");
        proxy.hurts(Fault { after_connections: 0, stage, harm });
        assert_failed_at(&bounded(&world, &server, &key, "alice").await, check, code);
        assert!(proxy.heals(), "the connection did not come to {stage:?}");
    }
}

/// Login shells that do what no shell should.
#[tokio::test]
async fn table_of_sessions_that_never_end() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    // Answers the question of the session, and does this where the facts are asked for.
    let facts = |deed: &str| format!("case \"$2\" in *' -s') {deed} ;; esac; exec /bin/sh \"$@\"");
    let shells = [
        ("stalls", "exec sleep 600".to_owned(), "session", "SESSION_REFUSED"),
        ("floods", "exec yes".to_owned(), "session", "FORCED_COMMAND"),
        ("trickles", "while :; do echo; sleep 0.1; done".to_owned(), "session", "SESSION_REFUSED"),
        ("kills", "kill -9 $PPID; exec sleep 600".to_owned(), "session", "CONNECTION_CLOSED"),
        ("facts-stall", facts("exec sleep 600"), "runtime", "RUNTIME_UNREADABLE"),
        ("facts-flood", facts("exec yes"), "runtime", "RUNTIME_UNREADABLE"),
        ("facts-kill", facts("kill -9 $PPID; exec sleep 600"), "runtime", "RUNTIME_UNREADABLE"),
    ];
    let options = shells.iter().fold(HostOptions::default(), |options, (user, deed, ..)| {
        options.program(format!("/usr/local/bin/{user}"), format!("#!/bin/sh\n{deed}\n"))
    });
    let host = TestHost::openssh(options).await.unwrap();
    let server = world.register(&host, &host.host_keys());
    for (user, _, check, code) in shells {
        host.add_user(user);
        host.write_authorized_keys(user, format!("{}\n", key.public_line()));
        host.exec(&["usermod", "--shell", &format!("/usr/local/bin/{user}"), user]).await.success();
        println!("{user:<16} {check:<16} {code}");
        assert_failed_at(&bounded(&world, &server, &key, user).await, check, code);
    }
}

/// As one that asks a directory for the keys which does not answer.
#[tokio::test]
async fn a_server_that_stalls_within_the_login_is_named() {
    let options = HostOptions::default()
        .program("/usr/local/bin/keys", "#!/bin/sh\nexec sleep 600\n")
        .config("AuthorizedKeysCommand /usr/local/bin/keys")
        .config("AuthorizedKeysCommandUser nobody")
        .config("AuthorizedKeysFile none");
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let host = with_alice(TestHost::openssh(options).await.unwrap(), &key.public_line());
    let server = world.register(&host, &host.host_keys());
    let test = bounded(&world, &server, &key, "alice").await;
    assert_failed_at(&test, "authentication", "HANDSHAKE_TIMEOUT");
    assert!(check(&test, "authentication").message.contains("login"), "{test:?}");
}
