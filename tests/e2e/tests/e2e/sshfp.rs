//! What DNS says of host keys, through the whole server: a name server of the test's own, named by `resolv.conf`, with
//! records that `ssh-keygen -r` made.

use keywright_e2e::world::{create_tenant, start_host};
use keywright_e2e::{LIMIT, Sshd, audit_log, text};
use keywright_kit::{Keywright, KeywrightOptions, NameServer, eventually, sshfp};
use serde_json::{Value, json};

async fn register(keywright: &Keywright, tenant: &str, name: &str, port: u16, accept: bool) -> String {
    let body = json!({"tenantId": tenant, "name": name, "host": format!("{name}.example.test"), "port": port,
        "acceptNew": accept});
    text(&keywright.post("/api/servers", body).await.success(), "/id")
}

fn said(scan: &Value) -> Vec<String> {
    scan["items"].as_array().unwrap().iter().map(|item| text(item, "/sshfp")).collect()
}

/// What the outcome of this kind says of the server, once it has reached the log.
async fn audited(keywright: &Keywright, action: &str, server: &str) -> String {
    let mut said = None;
    let reached = async || {
        let events = audit_log::whole(keywright).await;
        let about = |event: &&Value| event["action"] == action && event["target"] == server;
        let mut outcomes = events.iter().filter(about).filter_map(|event| event["details"]["sshfp"].as_str());
        said = outcomes.next().map(str::to_owned);
        said.is_some()
    };
    assert!(eventually(LIMIT, reached).await, "{action} says nothing");
    said.unwrap()
}

#[tokio::test]
async fn a_scan_says_what_dns_says_and_whoever_compares_decides() {
    let (host, other) = (start_host(Sshd::OpenSsh).await, start_host(Sshd::OpenSsh).await);
    let mut zone = String::new();
    for (name, keys) in [("web", host.host_keys()), ("db", other.host_keys()), ("bare", Vec::new())] {
        let name = format!("{name}.example.test");
        zone.push_str(&format!("{name} IN A 127.0.0.1\n{}", sshfp(&name, &keys).await.unwrap()));
    }
    let names = NameServer::for_resolv_conf(&zone).await.unwrap();
    let options = KeywrightOptions::default().resolver(names.resolv_conf());
    let keywright = Keywright::start(options).await.unwrap();
    let tenant = create_tenant(&keywright, "Acme").await;

    for (name, verdict, shown, below) in [
        ("web", "matches", "this key, not verified", false),
        ("db", "differs", "ANOTHER KEY, not verified", true),
        ("bare", "absent", "no record", false),
    ] {
        let server = register(&keywright, &tenant, name, host.port(), false).await;
        let scan =
            keywright.post(&format!("/api/servers/{server}/host-keys/scan"), json!({})).await.success();
        assert_eq!(
            (said(&scan), &scan["dnssec"]),
            (vec![verdict.to_owned(); 3], &json!("unverified")),
            "{scan}"
        );
        let output = keywright.cli(&["server", "host-key", "scan", &server]).await;
        assert_eq!(output.stdout.matches(shown).count(), 3, "{output:?}");
        assert_eq!(output.stdout.contains("approve only what it says"), below, "{output:?}");
        let output = keywright.cli(&["-o", "json", "server", "host-key", "scan", &server]).await;
        let printed: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!((said(&printed), &printed["dnssec"]), (said(&scan), &scan["dnssec"]));

        // Nothing was pinned by it; what is approved is what was named, whatever DNS says.
        let path = format!("/api/servers/{server}/host-keys");
        assert_eq!(keywright.get(&path).await.success()["items"], json!([]));
        let fingerprint = text(&scan, "/items/0/fingerprint");
        let body = json!({"action": "approve", "fingerprints": [fingerprint]});
        let pinned = keywright.post(&path, body).await.success();
        assert_eq!(text(&pinned, "/items/0/fingerprint"), fingerprint);
        let logged = audited(&keywright, "server.host_key", &server).await;
        assert!(logged.contains(&verdict.to_uppercase()) && logged.ends_with("(UNVERIFIED)"), "{logged}");
    }

    // Trust on first use stays that; the log says what DNS said.
    let another = create_tenant(&keywright, "Globex").await;
    let trusted = register(&keywright, &another, "db", other.port(), true).await;
    let logged = audited(&keywright, "server.register", &trusted).await;
    assert_eq!(logged.matches(" MATCHES").count(), 3, "{logged}");
}

#[tokio::test]
async fn turned_off_nothing_is_asked() {
    let host = start_host(Sshd::OpenSsh).await;
    let name = "web.example.test";
    let records = sshfp(name, &host.host_keys()).await.unwrap();
    let names = NameServer::for_resolv_conf(&format!("{name} IN A 127.0.0.1\n{records}")).await.unwrap();
    let options = KeywrightOptions::default().resolver(names.resolv_conf()).arg("--sshfp-resolver=off");
    let keywright = Keywright::start(options).await.unwrap();
    let tenant = create_tenant(&keywright, "Acme").await;
    let server = register(&keywright, &tenant, "web", host.port(), false).await;
    let scan = keywright.post(&format!("/api/servers/{server}/host-keys/scan"), json!({})).await.success();
    assert_eq!(said(&scan), ["unknown"; 3], "{scan}");
    assert!(text(&scan, "/sshfpNote").contains("--sshfp-resolver off"), "{scan}");
}
