//! Which addresses are dialled: nobody talks Keywright into reaching what it must not, by number or by name.

use keywright_e2e::names::Names;
use keywright_e2e::world::create_tenant;
use keywright_kit::{HostOptions, KeyType, Keywright, KeywrightOptions, TestHost, keygen};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A draft test of `host` with a key that nobody accepts: answers how far it came.
async fn draft(keywright: &Keywright, key: &str, host: &str, port: u16) -> Value {
    let body = json!({"host": host, "port": port, "oneTime": {"privateKey": key, "username": "root"},
        "expectedHostKeys": ["SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]});
    keywright.post("/api/servers/connectivity-tests", body).await.json
}

fn first_failure(result: &Value) -> (String, String) {
    let checks = result["checks"].as_array().unwrap_or_else(|| panic!("{result}"));
    let failed = checks.iter().find(|check| check["status"] == "failed");
    let text = |name: &str| failed.map_or("", |check| check[name].as_str().unwrap_or_default()).to_owned();
    (text("name"), text("code"))
}

/// Counts who connects, and hangs up.
async fn listener(address: Ipv4Addr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, count)
}

#[tokio::test]
async fn forbidden_numbers_are_refused_in_every_spelling() {
    let (own, count) = listener(Ipv4Addr::LOCALHOST).await;
    let keywright =
        Keywright::start(KeywrightOptions::default().arg("--allow-loopback-targets=false")).await.unwrap();
    let key = keygen(KeyType::Ed25519, "").await.unwrap().private_text();
    for host in [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
        "localhost",
        "169.254.169.254",
        "169.254.0.1",
        "::ffff:169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ] {
        let result = draft(&keywright, &key, host, own.port()).await;
        assert_eq!(first_failure(&result), ("dns".into(), "TARGET_NOT_ALLOWED".into()), "{host}: {result}");
    }
    for host in ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "[::1]", "127.0.0.1%lo"] {
        let result = draft(&keywright, &key, host, own.port()).await;
        let refused = result["checks"].is_null() || first_failure(&result).1 != "CONNECTION_CLOSED";
        assert!(refused, "{host}: {result}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0, "somebody was let through to loopback");
}

#[tokio::test]
async fn its_own_port_is_never_a_target() {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let key = keygen(KeyType::Ed25519, "").await.unwrap().private_text();
    let own = keywright.url().rsplit(':').next().unwrap().parse().unwrap();
    for host in ["127.0.0.1", "localhost", "::ffff:127.0.0.1", "127.0.0.2", "0.0.0.0"] {
        let result = draft(&keywright, &key, host, own).await;
        let code = first_failure(&result).1;
        assert!(["TARGET_NOT_ALLOWED", "CONNECTION_REFUSED"].contains(&code.as_str()), "{host}: {result}");
    }
}

/// The name answers an allowed address and a forbidden one in turn, with no time to live: whoever asked it twice for
/// one connection would check one and dial the other.
#[tokio::test]
async fn a_name_that_changes_its_answer_leads_nowhere_else() {
    let host = TestHost::openssh(HostOptions::default()).await.unwrap();
    let trap = tokio::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, 9), host.port())).await.unwrap();
    let trapped = Arc::new(AtomicUsize::new(0));
    let count = trapped.clone();
    tokio::spawn(async move {
        while trap.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let names = Names::start(&[Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 9)]);
    let options = KeywrightOptions::default().arg("--deny-target=127.0.0.9/32").resolver(names.resolv_conf());
    let keywright = Keywright::start(options).await.unwrap();
    let key = keygen(KeyType::Ed25519, "").await.unwrap().private_text();

    let (mut reached, mut refused) = (0, 0);
    for _ in 0..40 {
        match first_failure(&draft(&keywright, &key, "flips.example", host.port()).await) {
            (name, _) if name == "host-key" => reached += 1,
            (_, code) if code == "TARGET_NOT_ALLOWED" => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(
        reached > 0 && refused > 0,
        "the name did not flip: {reached} reached, {refused} refused, asked {}",
        names.asked()
    );
    assert_eq!(trapped.load(Ordering::SeqCst), 0, "the forbidden address was dialled");
    assert!(names.asked() >= 40);

    // Registered while it answered well, it is checked anew with every connection.
    names.answer_in_turn(&[Ipv4Addr::LOCALHOST]);
    let tenant = create_tenant(&keywright, "Acme").await;
    let server = json!({"tenantId": tenant, "name": "flips", "host": "flips.example", "port": host.port(),
        "acceptNew": true});
    let server = keywright.post("/api/servers", server).await.success();
    names.answer_in_turn(&[Ipv4Addr::new(127, 0, 0, 9)]);
    let path = format!("/api/servers/{}/host-keys/scan", server["id"].as_str().unwrap());
    assert_eq!(keywright.post(&path, json!({})).await.reason(), "TARGET_NOT_ALLOWED");
    names.answer_together(&[Ipv4Addr::LOCALHOST, Ipv4Addr::new(169, 254, 169, 254)]);
    let result = draft(&keywright, &key, "flips.example", host.port()).await;
    assert_eq!(
        first_failure(&result).1,
        "TARGET_NOT_ALLOWED",
        "one forbidden address forbids the name: {result}"
    );
    assert_eq!(trapped.load(Ordering::SeqCst), 0);
}
