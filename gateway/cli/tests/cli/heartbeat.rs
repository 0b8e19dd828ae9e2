//! Heartbeats: of one server or of several, and one that is refused holds up no other.

use serde_json::{Value, json};

use crate::gateway::{Gateway, Reply};

const SET: &str = r#"{"serverId":"srv_1", "serverName":"web","interval":"300s","status":"unspecified"}"#;

fn gateway() -> Gateway {
    Gateway::start(|request| match request.target.as_str() {
        "/api/servers/srv_gone/heartbeat" => Reply::error(404, 5, "SERVER_NOT_FOUND"),
        "/api/servers/srv_busy/heartbeat" => Reply::error(429, 8, "RATE_LIMITED"),
        _ => Reply::json(200, SET),
    })
}

fn set(gateway: &Gateway, rest: &[&str]) -> crate::gateway::Run {
    gateway.run(&[&["server", "heartbeat", "set", "--every", "5m"][..], rest].concat())
}

#[test]
fn one_server_is_the_answer_or_the_error_of_the_gateway() {
    let gateway = gateway();
    let run = set(&gateway, &["srv_1", "-o", "json"]);
    assert_eq!((run.code, run.stdout), (0, format!("{SET}\n")));
    let requests = gateway.requests();
    assert_eq!(requests[0].line(), "PUT /api/servers/srv_1/heartbeat");
    assert_eq!(requests[0].body, json!({"interval": "300s"}));
    let run = set(&gateway, &["srv_1"]);
    assert!(run.stdout.contains("every 5m"), "{}", run.stdout);
    assert!(run.stderr.contains("--status unreachable"), "{}", run.stderr);
    assert_eq!(set(&gateway, &["srv_gone"]).code, 5);
}

#[test]
fn one_that_is_refused_holds_up_no_other() {
    let gateway = gateway();
    let run = set(&gateway, &["srv_1", "srv_gone", "srv_2", "-o", "json"]);
    assert_eq!(run.code, 10, "{}", run.stderr);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(told["items"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&told["failed"][0]["serverId"], &told["failed"][0]["reason"]),
        (&"srv_gone".into(), &"SERVER_NOT_FOUND".into())
    );
    assert!(run.stderr.starts_with("srv_gone: SERVER_NOT_FOUND happened."), "{}", run.stderr);
    assert_eq!(gateway.requests().len(), 3);
    assert_eq!(set(&gateway, &["srv_1", "srv_2"]).code, 0);
}

#[test]
fn what_would_meet_the_next_one_too_is_the_end() {
    let gateway = gateway();
    let run = set(&gateway, &["srv_1", "srv_busy", "srv_2"]);
    assert_eq!(run.code, 8, "{}", run.stderr);
    assert!(
        run.stdout.contains("srv_1") && run.stderr.contains("srv_busy and those after it"),
        "{}",
        run.stderr
    );
    assert_eq!(gateway.requests().len(), 2);
}

#[test]
fn a_list_is_narrowed_by_tenant_and_status() {
    let gateway = Gateway::start(|_| Reply::json(200, r#"{"items":[],"nextPageToken":""}"#));
    let list = ["server", "heartbeat", "list", "--tenant", "ten_1", "--status", "unreachable"];
    assert_eq!(gateway.run(&list).code, 0);
    assert_eq!(gateway.run(&["server", "heartbeat", "changes", "srv_1", "--limit", "5"]).code, 0);
    let expected = [
        "GET /api/heartbeats?tenantId=ten_1&status=unreachable&pageSize=100",
        "GET /api/servers/srv_1/state-changes?pageSize=5",
    ];
    assert_eq!(gateway.lines(), expected);
}
