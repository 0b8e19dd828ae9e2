//! Lookups at real name servers, of records that `ssh-keygen -r` made, and at such as answer nothing or nonsense.

use super::*;
use crate::sshfp::Verdict;
use keywright_domain::key::PublicKey;
use keywright_kit::{KeyType, NameServer, keygen, sshfp};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::UdpSocket;

const HOST: &str = "web.example.test";

/// A public key and another one of its kind, each in a line.
async fn two_keys() -> (String, String) {
    let made = async || keygen(KeyType::Ed25519, "").await.unwrap().public_line();
    (made().await, made().await)
}

async fn records(lines: &[&String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| (*line).clone()).collect();
    sshfp(HOST, &lines).await.unwrap()
}

fn asking(server: &NameServer) -> Sshfp {
    Sshfp::new(SshfpResolver::At(server.address()), server.anchor()).unwrap()
}

/// What the answer says of the key.
async fn of(sshfp: &Sshfp, host: &str, line: &str) -> (Verdict, Dnssec) {
    let hint = sshfp.ask(host).await;
    (hint.verdict(&PublicKey::parse_openssh(line).unwrap()), hint.dnssec())
}

#[tokio::test]
async fn without_signatures_every_answer_is_unverified() {
    let (own, other) = two_keys().await;
    let rsa = keygen(KeyType::Rsa(2048), "").await.unwrap().public_line();
    let server = NameServer::plain(&records(&[&own]).await).await.unwrap();
    let sshfp = asking(&server);
    for (line, verdict) in [(&own, Verdict::Matches), (&other, Verdict::Differs), (&rsa, Verdict::Absent)] {
        assert_eq!(of(&sshfp, HOST, line).await, (verdict, Dnssec::Unverified));
    }
    for host in ["WEB.Example.test", "web.example.test."] {
        assert_eq!(of(&sshfp, host, &own).await.0, Verdict::Matches, "{host}");
    }
    for host in ["db.example.test", "web", "example.test", "localhost"] {
        assert_eq!(of(&sshfp, host, &own).await, (Verdict::Absent, Dnssec::Unverified), "{host}");
    }
}

#[tokio::test]
async fn sha1_alone_does_not_count() {
    let (own, other) = two_keys().await;
    let both = records(&[&own]).await;
    let sha1: String =
        both.lines().filter(|line| line.contains("SSHFP 4 1")).map(|l| format!("{l}\n")).collect();
    assert_eq!(sha1.lines().count(), 1, "{both}");
    let server = NameServer::plain(&sha1).await.unwrap();
    let sshfp = asking(&server);
    assert_eq!(of(&sshfp, HOST, &own).await.0, Verdict::Absent);
    let key = PublicKey::parse_openssh(&own).unwrap();
    assert!(sshfp.ask(HOST).await.note(&[key]).contains("SHA-1"));
    assert_eq!(of(&sshfp, HOST, &other).await.0, Verdict::Differs);
}

#[tokio::test]
async fn an_alias_is_followed_and_only_its_records_count() {
    let (own, other) = two_keys().await;
    let text = format!(
        "{}alias.example.test. IN CNAME {HOST}.\nround.example.test. IN CNAME trip.example.test.\n\
         trip.example.test. IN CNAME round.example.test.\nloose.example.test. IN CNAME nowhere.test.\n",
        records(&[&own]).await
    );
    for server in [NameServer::plain(&text).await.unwrap(), NameServer::signed(&text).await.unwrap()] {
        let sshfp = asking(&server);
        let dnssec = if server.anchor().is_empty() { Dnssec::Unverified } else { Dnssec::Verified };
        assert_eq!(of(&sshfp, "alias.example.test", &own).await, (Verdict::Matches, dnssec));
        assert_eq!(of(&sshfp, "alias.example.test", &other).await, (Verdict::Differs, dnssec));
        for host in ["round.example.test", "loose.example.test"] {
            let (verdict, dnssec) = of(&sshfp, host, &own).await;
            assert!(matches!(verdict, Verdict::Absent | Verdict::Unknown), "{host}: {verdict:?}");
            assert_ne!(dnssec, Dnssec::Verified, "{host}");
        }
    }
}

#[tokio::test]
async fn what_is_signed_up_to_an_anchor_is_verified_and_what_was_changed_counts_for_nothing() {
    let (own, other) = two_keys().await;
    let (of_own, of_other) = (records(&[&own]).await, records(&[&other]).await);
    let server = NameServer::signed(&of_own).await.unwrap();
    let sshfp = asking(&server);
    assert_eq!(of(&sshfp, HOST, &own).await, (Verdict::Matches, Dnssec::Verified));
    assert_eq!(of(&sshfp, HOST, &other).await, (Verdict::Differs, Dnssec::Verified));
    assert_eq!(of(&sshfp, "db.example.test", &own).await.0, Verdict::Absent);

    // Whoever does not know the zone's key takes the answer as one that nobody vouches for.
    let stranger = Sshfp::new(SshfpResolver::At(server.address()), "").unwrap();
    assert_eq!(of(&stranger, HOST, &own).await, (Verdict::Matches, Dnssec::Unverified));

    let forged = NameServer::forged(&of_own, &of_other).await.unwrap();
    let misled = asking(&forged);
    assert_eq!(of(&misled, HOST, &other).await, (Verdict::Unknown, Dnssec::Bogus));
    assert_eq!(of(&misled, HOST, &own).await, (Verdict::Unknown, Dnssec::Bogus));
    let key = PublicKey::parse_openssh(&own).unwrap();
    assert!(misled.ask(HOST).await.note(&[key]).contains("failed DNSSEC validation"));
}

/// More than a datagram carries: the answer is cut off, and asked for by TCP.
#[tokio::test]
async fn a_long_answer_comes_by_tcp() {
    let (own, other) = two_keys().await;
    let mut text = records(&[&own]).await;
    for number in 0..120 {
        text.push_str(&format!("{HOST} IN SSHFP 3 2 {number:064x}\n"));
    }
    for server in [NameServer::plain(&text).await.unwrap(), NameServer::signed(&text).await.unwrap()] {
        let sshfp = asking(&server);
        assert_eq!(of(&sshfp, HOST, &own).await.0, Verdict::Matches);
        assert_eq!(of(&sshfp, HOST, &other).await.0, Verdict::Differs);
    }
}

/// To a query; None: nothing at all.
type Reply = fn(&[u8]) -> Option<Vec<u8>>;

/// How a name server that answers each query by `reply` is taken.
async fn badly_answered(reply: Reply) -> (Hint, Duration, usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let answering = tokio::spawn(async move {
        let mut query = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            counted.fetch_add(1, Ordering::SeqCst);
            if let Some(reply) = reply(&query[..length]) {
                socket.send_to(&reply, from).await.unwrap();
            }
        }
    });
    let sshfp = Sshfp::new(SshfpResolver::At(address), "").unwrap();
    let started = Instant::now();
    let hint = sshfp.ask(HOST).await;
    answering.abort();
    (hint, started.elapsed(), asked.load(Ordering::SeqCst))
}

fn said_with(query: &[u8], flags: [u8; 2]) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2..4].copy_from_slice(&flags);
    reply
}

#[tokio::test]
async fn no_answer_and_nonsense_are_unknown_and_end_in_time() {
    let (own, _) = two_keys().await;
    let key = PublicKey::parse_openssh(&own).unwrap();
    let replies: [(&str, Reply); 6] = [
        ("silence", |_| None),
        ("nonsense", |query| Some([&query[..2], &[0xff; 40]].concat())),
        ("another question's answer", |query| {
            Some(said_with(&[&[0, 0], &query[2..]].concat(), [0x81, 0x80]))
        }),
        ("its own question", |query| Some(query.to_vec())),
        ("failure", |query| Some(said_with(query, [0x81, 0x82]))),
        ("cut off, and no TCP", |query| Some(said_with(query, [0x83, 0x80]))),
    ];
    for (what, reply) in replies {
        let (hint, took, asked) = badly_answered(reply).await;
        assert_eq!(hint.verdict(&key), Verdict::Unknown, "{what}");
        assert_ne!(hint.dnssec(), Dnssec::Verified, "{what}");
        assert!(!hint.note(&[]).is_empty() && asked > 0, "{what}");
        assert!(took < LIMIT + Duration::from_secs(1), "{what}: {took:?}");
    }
}

#[tokio::test]
async fn what_is_not_to_be_asked_is_not_asked() {
    let (own, _) = two_keys().await;
    let server = NameServer::plain(&records(&[&own]).await).await.unwrap();
    for host in ["192.0.2.1", "2001:db8::1", "::1"] {
        let hint = asking(&server).ask(host).await;
        assert_eq!((hint.note(&[]), hint.dnssec()), (ADDRESS, Dnssec::Unverified), "{host}");
    }
    let off = Sshfp::new(SshfpResolver::Off, "").unwrap();
    assert_eq!(off.ask(HOST).await.note(&[]), TURNED_OFF);
}

/// A scan that fails does not wait for the name server.
#[tokio::test]
async fn a_failed_scan_gives_the_lookup_up() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let sshfp = Sshfp::new(SshfpResolver::At(silent.local_addr().unwrap()), "").unwrap();
    let started = Instant::now();
    let failed = sshfp.beside(HOST, std::future::ready(Err::<(), _>("refused"))).await;
    assert_eq!(failed.map(|_| ()), Err("refused"));
    assert!(started.elapsed() < LIMIT);
    let (_, hint) = sshfp.beside(HOST, std::future::ready(Ok::<_, ()>(()))).await.unwrap();
    assert_eq!(hint.note(&[]), SILENT);
}

#[test]
fn only_dnskey_records_are_anchors() {
    let key = ". IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n";
    assert!(Sshfp::new(SshfpResolver::Off, key).is_ok());
    for text in ["nonsense", ". IN DS 20326 8 2 00", ". IN DNSKEY 257 3 15"] {
        assert!(Sshfp::new(SshfpResolver::Off, text).is_err(), "{text}");
    }
}
