//! How servers are reached and recognized: jump hosts, authorities, mismatches, algorithms.

use serde_json::json;

use crate::gateway::{Gateway, Reply};

#[test]
fn a_jump_host_is_set_and_taken_away() {
    let gateway = Gateway::start(|_| Reply::json(200, r#"{"id":"srv_1","jumpHostId":"srv_2"}"#));
    let run = gateway.run(&["server", "jump-host", "srv_1", "srv_2"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains("Reached through") && run.stderr.contains("server test srv_1"),
        "{}",
        run.stderr
    );
    assert_eq!(gateway.run(&["server", "jump-host", "srv_1", "--none"]).code, 0);
    for wrong in [&["server", "jump-host", "srv_1"][..], &["server", "jump-host", "srv_1", "srv_2", "--none"]]
    {
        assert_eq!(gateway.run(wrong).code, 2, "{wrong:?}");
    }
    let register = ["server", "register", "--name", "db", "--host", "10.0.0.5", "--jump-host", "srv_2"];
    assert_eq!(gateway.run(&register).code, 0);
    let requests = gateway.requests();
    assert!(requests[..2].iter().all(|request| request.line() == "PUT /api/servers/srv_1/jump-host"));
    assert_eq!(
        requests.iter().map(|request| request.body["jumpHostId"].clone()).collect::<Vec<_>>(),
        [json!("srv_2"), json!(""), json!("srv_2")]
    );
}

#[test]
fn a_draft_is_tested_through_a_jump_host() {
    let gateway = Gateway::start(|_| Reply::json(200, r#"{"host":"10.0.0.5","port":22,"status":"healthy"}"#));
    let key = gateway.write("key", "PRIVATE\n");
    let draft = ["server", "test", "--host", "10.0.0.5", "--jump-host", "srv_2", "--username", "deploy"];
    let run = gateway.run(&[&draft[..], &["--private-key-file", &key]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(gateway.requests()[0].body["jumpHostId"], "srv_2");
    assert_eq!(gateway.run(&["server", "test", "srv_1", "--jump-host", "srv_2"]).code, 2);
}

#[test]
fn authorities_come_from_files_without_comments() {
    let gateway = Gateway::start(|_| {
        Reply::json(
            200,
            r#"{"items":[{"algorithm":"ssh-ed25519","fingerprint":"SHA256:ca","certificateAuthority":true}]}"#,
        )
    });
    let one = gateway.write("one.pub", "# ours\n\n  ssh-ed25519 AAAA ca\n");
    let two = gateway.write("two.pub", "ssh-rsa BBBB\nssh-rsa CCCC\n");
    let run = gateway.run(&["server", "host-key", "trust-authority", "srv_1", &one, &two]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("KIND") && run.stdout.contains("authority"), "{}", run.stdout);
    let requests = gateway.requests();
    assert_eq!(requests[0].line(), "POST /api/servers/srv_1/host-keys");
    assert_eq!(
        requests[0].body,
        json!({"action": "trust_authority", "authorities": ["ssh-ed25519 AAAA ca", "ssh-rsa BBBB", "ssh-rsa CCCC"]})
    );
    let empty = gateway.write("empty.pub", "# nothing\n");
    let run = gateway.run(&["server", "host-key", "trust-authority", "srv_1", &empty]);
    assert!(run.code == 2 && run.stderr.contains("holds no public key"), "{}", run.stderr);
    assert_eq!(gateway.requests().len(), 1);
}

#[test]
fn a_mismatch_is_seen_in_the_list_and_explained_where_it_is_shown() {
    let gateway = Gateway::start(|request| {
        let server = r#"{"id":"srv_1","name":"web","hostKeys":[{"fingerprint":"SHA256:old"}],"hostKeyMismatch":{"fingerprint":"SHA256:new","seenAt":"2026-03-01T12:00:00Z"}}"#;
        match request.target.as_str() {
            "/api/servers/srv_1" => Reply::json(200, server),
            _ => Reply::json(200, &format!(r#"{{"items":[{server}],"nextPageToken":""}}"#)),
        }
    });
    let list = gateway.run(&["server", "list"]);
    assert!(list.stdout.contains("MISMATCH"), "{}", list.stdout);
    let show = gateway.run(&["server", "show", "srv_1"]);
    assert_eq!(show.code, 0, "{}", show.stderr);
    for told in ["SHA256:new", "2026-03-01 12:00:00 UTC", "host-key approve srv_1", "host-key repin srv_1"] {
        assert!(show.stdout.contains(told), "{told}: {}", show.stdout);
    }
}

#[test]
fn a_bad_grade_ends_with_a_code_only_where_that_was_asked_for() {
    let gateway = Gateway::start(|request| {
        assert_eq!(request.line(), "POST /api/servers/srv_1/algorithms/assess");
        Reply::json(
            200,
            r#"{"grade":"C","postQuantum":true,"strictKeyExchange":true,"findings":[{"kind":"mac","name":"hmac-sha1","severity":"weak","reason":"Old.","remedy":"Out."}],"macs":["hmac-sha1","umac-128-etm@openssh.com"]}"#,
        )
    });
    let run = |rest: &[&str]| gateway.run(&[&["server", "algorithms", "srv_1"][..], rest].concat());
    let plain = run(&[]);
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    assert!(plain.stdout.contains("WEAK") && plain.stdout.contains("C (something weak)"), "{}", plain.stdout);
    assert!(!plain.stdout.contains("umac-128-etm") && run(&["--all"]).stdout.contains("umac-128-etm"));
    for (wanted, code) in [("A", 9), ("b", 9), ("C", 0), ("F", 2)] {
        assert_eq!(run(&["--at-least", wanted]).code, code, "{wanted}");
    }
}
