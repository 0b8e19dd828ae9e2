//! Errors: exit codes, what a person reads, what a program reads.

use serde_json::Value;

use crate::gateway::{Gateway, Reply};

#[test]
fn each_status_has_its_exit_code() {
    let gateway = Gateway::start(|request| {
        let status: u16 = request.target.rsplit("ten").next().unwrap().parse().unwrap();
        Reply::error(status, 2, "SOME_REASON")
    });
    let expected =
        [(401, 3), (403, 4), (404, 5), (409, 6), (400, 7), (413, 7), (429, 8), (503, 8), (504, 8), (500, 1)];
    for (status, code) in expected {
        let run = gateway.run(&["tenant", "show", &format!("ten{status}")]);
        assert_eq!(run.code, code, "HTTP {status}: {}", run.stderr);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn a_person_reads_message_reason_and_request_id() {
    let gateway = Gateway::start(|_| Reply::error(404, 5, "TENANT_NOT_FOUND"));
    let run = gateway.run(&["tenant", "show", "ten_1"]);
    assert_eq!(
        run.stderr,
        "error: TENANT_NOT_FOUND happened. Do this about it.\nreason: TENANT_NOT_FOUND\nrequest id: req_test\n"
    );
}

#[test]
fn a_program_reads_the_status() {
    let gateway = Gateway::start(|_| Reply::error(404, 5, "TENANT_NOT_FOUND"));
    let run = gateway.run(&["tenant", "show", "ten_1", "-o", "json"]);
    assert_eq!((run.code, run.stdout.as_str()), (5, ""));
    let status: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(status["code"], 5);
    assert_eq!(status["details"][0]["reason"], "TENANT_NOT_FOUND");
    assert_eq!(status["details"][1]["requestId"], "req_test");
}

#[test]
fn a_missing_confirmation_is_a_usage_error_before_anything_is_sent() {
    let gateway = Gateway::start(|_| Reply::json(200, "{}"));
    let key = gateway.write("key", "PRIVATE");
    let commands: [&[&str]; 8] = [
        &["server", "credential-rotate", "sshcred_1", "--private-key-file", &key],
        &["server", "credential-delete", "sshcred_1"],
        &["server", "delete", "srv_1"],
        &["access", "rotate", "acc_1", "--tenant", "ten_1"],
        &["access", "revoke", "acc_1", "--tenant", "ten_1"],
        &["access", "regenerate", "acc_1", "--tenant", "ten_1"],
        &["access", "download", "acc_1", "--tenant", "ten_1"],
        &["access", "rotate", "--tenant", "ten_1"],
    ];
    for command in commands {
        let run = gateway.run(command);
        assert_eq!(run.code, 2, "{command:?}: {}", run.stderr);
        assert!(run.stderr.contains("--confirm"), "{command:?}: {}", run.stderr);
    }
    assert!(gateway.requests().is_empty());
}

#[test]
fn no_gateway_is_unavailable() {
    let gateway = Gateway::start(|_| Reply::json(200, "{}"));
    let run = gateway.run_with(
        &["whoami", "-o", "json"],
        &[("KEYWRIGHT_URL", "http://127.0.0.1:1"), ("KEYWRIGHT_TOKEN", "t")],
    );
    assert_eq!(run.code, 8, "{}", run.stderr);
    let status: Value = serde_json::from_str(run.stderr.trim()).unwrap();
    assert_eq!(status["details"][0]["reason"], "GATEWAY_UNREACHABLE");
}

#[test]
fn a_token_is_sent_and_never_shown() {
    let gateway = Gateway::start(|_| Reply::error(401, 16, "UNAUTHENTICATED"));
    let run = gateway.run(&["whoami"]);
    assert_eq!(run.code, 3);
    assert!(!run.stderr.contains("kwt_secret"));
    assert_eq!(gateway.requests()[0].token.as_deref(), Some("Bearer kwt_secret"));
    let run = gateway.run_with(&["whoami"], &[("KEYWRIGHT_URL", &gateway.url)]);
    assert!(run.stderr.contains("KEYWRIGHT_TOKEN"), "{}", run.stderr);
    assert_eq!(gateway.requests()[1].token, None);
}

#[test]
fn doctor_tells_what_is_wrong() {
    let gateway = Gateway::start(|request| match request.target.as_str() {
        "/readyz" => Reply::json(503, "{}"),
        _ => Reply::json(200, r#"{"id":"prn_1","role":"operator"}"#),
    });
    let run = gateway.run(&["doctor"]);
    assert_eq!(run.code, 9, "{}", run.stderr);
    assert!(run.stdout.contains("readyz   FAILED  HTTP status 503"), "{}", run.stdout);
    assert!(run.stdout.contains("OPERATOR"), "{}", run.stdout);
}

#[test]
fn a_person_reads_the_facts_that_a_refusal_carries() {
    let body = r#"{"code":9,"message":"The previous key is still in its grace period.","details":[{
        "@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"GRACE_IN_PROGRESS","domain":"keywright",
        "metadata":{"code":"grace_in_progress","graceEndsAt":"2026-03-02T12:00:00Z"}}]}"#;
    let gateway = Gateway::start(move |_| Reply::json(409, body));
    let run = gateway.run(&["tenant", "show", "ten_1"]);
    assert!(run.stderr.contains("  graceEndsAt: 2026-03-02T12:00:00Z\n"), "{}", run.stderr);
    assert!(!run.stderr.contains("code:"), "{}", run.stderr);
}

#[test]
fn a_test_message_that_did_not_arrive_is_no_success() {
    let gateway =
        Gateway::start(|_| Reply::json(200, r#"{"id":"msg_1","state":"failed","error":"refused"}"#));
    let run = gateway.run(&["notify", "test", "ntf_1"]);
    assert_eq!(run.code, 9, "{}", run.stderr);
    assert!(run.stdout.contains("refused"), "{}", run.stdout);
}

#[test]
fn a_brake_is_pulled_or_released_and_nothing_between() {
    let gateway = Gateway::start(|_| Reply::json(200, r#"{"items":[]}"#));
    for half in [&["--tenant", "ten_1"][..], &["--reason", "x"], &["--on", "--off"]] {
        let run = gateway.run(&[&["admin", "freeze"], half].concat());
        assert_eq!(run.code, 2, "{half:?} {}", run.stderr);
    }
    assert!(gateway.lines().is_empty());
    assert_eq!(gateway.run(&["admin", "freeze", "--off", "--tenant", "ten_1"]).code, 0);
    assert_eq!(gateway.lines(), ["POST /api/admin/freeze"]);
}

#[test]
fn what_belongs_to_another_kind_of_test_is_a_usage_error() {
    let gateway = Gateway::start(|_| Reply::json(200, "{}"));
    let key = gateway.write("key", "PRIVATE");
    let commands: [&[&str]; 7] = [
        &["server", "test"],
        &["server", "test", "srv_1", "--all"],
        &["server", "test", "srv_1", "--parallel", "3"],
        &["server", "test", "srv_1", "--port", "22"],
        &["server", "test", "--all", "--username", "deploy"],
        &["server", "test", "--all", "--private-key-file", &key],
        &["server", "test", "--host", "web", "--private-key-file", &key, "--label", "a=b"],
    ];
    for command in commands {
        let run = gateway.run(command);
        assert_eq!(run.code, 2, "{command:?}: {} {}", run.stdout, run.stderr);
    }
}
