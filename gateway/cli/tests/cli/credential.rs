//! Saved credentials: exactly the flags and words of the reference.

use serde_json::json;

use crate::gateway::{Gateway, Reply};

const USAGE: &str = r#"{"totalServers":1,"activeServers":1,"servers":[{"serverId":"srv_1","serverName":"web","lifecycleStatus":"ACTIVE"}],"revision":"5"}"#;

fn gateway() -> Gateway {
    Gateway::start(|request| match request.line().as_str() {
        "GET /api/credentials/ssh/sshcred_1/usage" => Reply::json(200, USAGE),
        "POST /api/credentials/ssh/sshcred_1/rotate"
            if request.body["confirmation"]["acknowledgeServerUsage"] != true =>
        {
            Reply::error(409, 9, "USAGE_ACKNOWLEDGEMENT_REQUIRED")
        }
        "POST /api/credentials/ssh/sshcred_1/rotate" | "POST /api/credentials/ssh" => {
            Reply::json(200, r#"{"id":"sshcred_1","name":"deploy","version":2}"#)
        }
        "DELETE /api/credentials/ssh/sshcred_1" => Reply::json(200, "{}"),
        other => panic!("{other}"),
    })
}

#[test]
fn a_rotation_says_that_it_proves_nothing_and_names_the_test() {
    let gateway = gateway();
    let (key, pass) = (gateway.write("new", "PRIVATE\n"), gateway.write("pass", "pw\n"));
    let run = gateway.run(&[
        "server",
        "credential-rotate",
        "sshcred_1",
        "--private-key-file",
        &key,
        "--passphrase-file",
        &pass,
        "--confirm",
        "sshcred_1",
        "--acknowledge-server-usage",
        "--clear-username",
        "-o",
        "json",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(
        gateway.requests()[0].body,
        json!({"privateKey": "PRIVATE\n", "passphrase": "pw", "clearUsername": true,
            "confirmation": {"credentialId": "sshcred_1", "acknowledgeServerUsage": true}})
    );
    assert!(run.stderr.contains("does not prove that the new key reaches the servers"), "{}", run.stderr);
    assert!(run.stderr.contains("keywright server test srv_1"), "{}", run.stderr);
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("PRIVATE"));
}

#[test]
fn without_the_acknowledgement_the_gateway_refuses() {
    let gateway = gateway();
    let key = gateway.write("new", "PRIVATE\n");
    let command =
        ["server", "credential-rotate", "sshcred_1", "--private-key-file", &key, "--confirm", "sshcred_1"];
    let run = gateway.run(&command);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("reason: USAGE_ACKNOWLEDGEMENT_REQUIRED"), "{}", run.stderr);
    assert_eq!(gateway.requests().len(), 1);
}

#[test]
fn a_deletion_carries_the_confirmation_in_its_body() {
    let gateway = gateway();
    let run = gateway.run(&["server", "credential-delete", "sshcred_1", "--confirm", "sshcred_1"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(gateway.requests()[0].body, json!({"confirmation": {"credentialId": "sshcred_1"}}));
}

#[test]
fn a_key_file_that_is_not_there_is_a_usage_error() {
    let gateway = gateway();
    let run = gateway.run(&["server", "credential-create", "--name", "n", "--private-key-file", "nowhere"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(gateway.requests().is_empty());
}

#[test]
fn what_is_not_given_is_not_sent() {
    let gateway = gateway();
    let key = gateway.write("key", "PRIVATE\n");
    let run = gateway.run(&["server", "credential-create", "--name", "n", "--private-key-file", &key]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(gateway.requests()[0].body, json!({"name": "n", "privateKey": "PRIVATE\n"}));
}

const DONE: &str = r#"{"serverId":"srv_1","serverName":"a","outcome":"switched","connectivityTestId":"ctest_1","message":"It uses the new credential."}"#;

fn results(second: &str, switched: u8) -> String {
    format!(r#"{{"results":[{DONE},{second}],"switched":{switched},"kept":{}}}"#, 2 - switched)
}

#[test]
fn a_switch_goes_on_with_the_same_key_until_every_server_was_come_to() {
    let asked = std::sync::atomic::AtomicU8::new(0);
    let gateway = Gateway::start(move |request| {
        assert_eq!(request.line(), "POST /api/credentials/ssh/sshcred_1/switch");
        match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Reply::error(503, 14, "REQUEST_IN_PROGRESS"),
            1 => Reply::json(
                200,
                &results(
                    r#"{"serverId":"srv_2","serverName":"b","outcome":"refused","reason":"DEADLINE_EXCEEDED"}"#,
                    1,
                ),
            ),
            _ => Reply::json(
                200,
                &results(
                    r#"{"serverId":"srv_2","serverName":"b","outcome":"test_failed","reason":"AUTHENTICATION_REJECTED"}"#,
                    1,
                ),
            ),
        }
    });

    let run = gateway.run(&["server", "credential-switch", "sshcred_1", "--to", "sshcred_2", "--test"]);

    assert_eq!(run.code, 9, "{}", run.stderr);
    let bodies: Vec<_> = gateway.requests().iter().map(|request| request.body.clone()).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert_eq!((&bodies[0]["toCredentialId"], &bodies[0]["test"]), (&json!("sshcred_2"), &json!(true)));
    assert!(bodies[0]["idempotencyKey"].as_str().unwrap().starts_with("credential-switch-"));
    assert!(run.stderr.contains("1 of 2 servers are done"), "{}", run.stderr);
    assert!(
        run.stdout.contains("AUTHENTICATION_REJECTED") && run.stdout.contains("SWITCHED"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_switch_without_a_test_says_that_it_proves_nothing() {
    let gateway =
        Gateway::start(|_| Reply::json(200, &format!(r#"{{"results":[{DONE}],"switched":1,"kept":0}}"#)));
    let run = gateway.run(&[
        "server",
        "credential-switch",
        "sshcred_1",
        "--to",
        "sshcred_2",
        "--server",
        "srv_1",
        "--username",
        "root",
        "--idempotency-key",
        "k",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(
        gateway.requests()[0].body,
        json!({"toCredentialId": "sshcred_2", "serverIds": ["srv_1"], "username": "root", "idempotencyKey": "k"})
    );
    assert!(run.stderr.contains("does not prove that the new key reaches the servers"), "{}", run.stderr);
}

#[test]
fn an_update_sends_what_was_given_and_nothing_else() {
    let gateway = Gateway::start(|request| match request.line().as_str() {
        "PATCH /api/credentials/ssh/sshcred_1" => Reply::json(
            200,
            r#"{"id":"sshcred_1","name":"deploy","version":1,"allowResolve":true,"revision":"2"}"#,
        ),
        other => panic!("{other}"),
    });
    let run = gateway.run(&["server", "credential-update", "sshcred_1", "--allow-resolve", "true"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(gateway.requests()[0].body, json!({"allowResolve": true}));
    assert!(run.stdout.contains("May be resolved"), "{}", run.stdout);
    let run = gateway.run(&["server", "credential-update", "sshcred_1"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert_eq!(gateway.requests().len(), 1, "nothing was sent");
}

#[test]
fn a_certificate_comes_from_its_file_and_is_removed_by_empty_text() {
    let gateway = Gateway::start(|_| {
        Reply::json(
            200,
            r#"{"id":"sshcred_1","certificate":{"keyId":"ops","serial":"7","principals":["root"],"validBefore":"2030-01-01T00:00:00Z","authority":"SHA256:ca"}}"#,
        )
    });
    let (key, certificate) =
        (gateway.write("key", "PRIVATE\n"), gateway.write("key-cert.pub", "ssh-cert AAAA\n"));
    let create = ["server", "credential-create", "--name", "n", "--private-key-file", &key];
    let run = gateway.run(&[&create[..], &["--certificate-file", &certificate]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("2030-01-01 00:00:00 UTC") && run.stdout.contains("ops"), "{}", run.stdout);
    let rotate =
        ["server", "credential-rotate", "sshcred_1", "--private-key-file", &key, "--confirm", "sshcred_1"];
    gateway.run(&[&rotate[..], &["--certificate-file", &certificate]].concat());
    let update = ["server", "credential-update", "sshcred_1"];
    gateway.run(&[&update[..], &["--certificate-file", &certificate]].concat());
    gateway.run(&[&update[..], &["--clear-certificate"]].concat());
    let sent: Vec<_> = gateway
        .requests()
        .iter()
        .filter(|request| request.method != "GET")
        .map(|request| request.body["certificate"].clone())
        .collect();
    assert_eq!(sent, [json!("ssh-cert AAAA"), json!("ssh-cert AAAA"), json!("ssh-cert AAAA"), json!("")]);

    let empty = gateway.write("empty", "\n");
    for wrong in
        [&["--certificate-file", &empty][..], &["--certificate-file", &certificate, "--clear-certificate"]]
    {
        assert_eq!(gateway.run(&[&update[..], wrong].concat()).code, 2, "{wrong:?}");
    }
}
