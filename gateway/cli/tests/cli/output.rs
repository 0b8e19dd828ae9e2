//! Answers: tables for people, the REST answer for programs, lists page by page.

use serde_json::{Value, json};

use crate::gateway::{Gateway, Reply, Request};

const SERVER: &str =
    r#"{"id":"srv_1", "name":"web\u001b[2J","host":"192.0.2.7","port":22,"hostKeys":[],"revision":"7"}"#;

#[test]
fn json_is_the_answer_unchanged() {
    let gateway = Gateway::start(|_| Reply::json(200, SERVER));
    let run = gateway.run(&["server", "show", "srv_1", "--output", "json"]);
    assert_eq!((run.code, run.stdout), (0, format!("{SERVER}\n")));
    assert_eq!(run.stderr, "");
}

#[test]
fn a_table_is_safe_for_the_terminal() {
    let gateway = Gateway::start(|_| Reply::json(200, SERVER));
    let run = gateway.run(&["server", "show", "srv_1"]);
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains("Host keys:  unpinned"), "{}", run.stdout);
    assert!(!run.stdout.contains('\x1b'));
}

/// A list of 7 tenants; a page token is the next one's number.
fn tenants(request: &Request) -> Reply {
    let parameter = |name: &str| {
        let query = request.target.split_once('?').map_or("", |(_, query)| query);
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(&format!("{name}=")))
            .map(|v| v.parse::<usize>().unwrap())
    };
    let from = parameter("pageToken").unwrap_or(0);
    let size = parameter("pageSize").unwrap().min(3);
    let items: Vec<Value> = (from..7.min(from + size)).map(|n| json!({"id": format!("ten_{n}")})).collect();
    let next = if from + size < 7 { (from + size).to_string() } else { String::new() };
    Reply::json(200, &json!({"items": items, "nextPageToken": next}).to_string())
}

fn ids(stdout: &str) -> Vec<String> {
    let answer: Value = serde_json::from_str(stdout).unwrap();
    answer["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn all_pages_become_one_list() {
    let gateway = Gateway::start(tenants);
    let run = gateway.run(&["tenant", "list", "--all", "-o", "json"]);
    assert_eq!(ids(&run.stdout), (0..7).map(|n| format!("ten_{n}")).collect::<Vec<_>>());
    assert_eq!(gateway.lines()[2], "GET /api/tenants?pageSize=500&pageToken=6");
}

#[test]
fn a_limit_is_kept_exactly_and_says_where_it_goes_on() {
    let gateway = Gateway::start(tenants);
    let run = gateway.run(&["tenant", "list", "--limit", "5", "-o", "json"]);
    assert_eq!(ids(&run.stdout).len(), 5);
    assert!(run.stdout.contains(r#""nextPageToken":"5""#), "{}", run.stdout);
    assert_eq!(gateway.lines(), ["GET /api/tenants?pageSize=5", "GET /api/tenants?pageSize=2&pageToken=3"]);
    let run = gateway.run(&["tenant", "list", "--limit", "2"]);
    assert!(run.stderr.contains("There are more"), "{}", run.stderr);
}

#[test]
fn filters_become_query_parameters() {
    let gateway = Gateway::start(|_| Reply::json(200, r#"{"items":[],"nextPageToken":""}"#));
    let run =
        gateway.run(&["audit", "list", "--outcome", "denied", "--from", "2026-03-01", "--actor", "a b&c"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""));
    let expected =
        "GET /api/audit/events?actor=a+b%26c&outcome=denied&from=2026-03-01T00%3A00%3A00Z&pageSize=100";
    assert_eq!(gateway.lines(), [expected]);
}

#[test]
fn help_lists_the_exit_codes() {
    let gateway = Gateway::start(|_| Reply::json(200, "{}"));
    let run = gateway.run(&["--help"]);
    assert_eq!(run.code, 0);
    for part in ["Exit codes:", "  6  conflict", "KEYWRIGHT_TOKEN", "config.toml"] {
        assert!(run.stdout.contains(part), "{part} in {}", run.stdout);
    }
}

#[test]
fn an_unhealthy_test_is_an_answer_with_exit_code_9() {
    let gateway = Gateway::start(|_| {
        Reply::json(
            200,
            r#"{"id":"ctest_1","serverId":"srv_1","host":"h","port":22,"username":"u","status":"unreachable",
            "checks":[{"name":"key","status":"passed","message":"It parses.","durationMs":1},
            {"name":"tcp","status":"failed","code":"CONNECTION_REFUSED","message":"Refused.","remedy":"Start sshd.","durationMs":2},
            {"name":"handshake","status":"skipped","message":"Not reached."}]}"#,
        )
    });
    let run = gateway.run(&["server", "doctor", "srv_1"]);
    assert_eq!(run.code, 9, "{}", run.stderr);
    for part in ["CONNECTION_REFUSED", "Start sshd.", "SKIPPED"] {
        assert!(run.stdout.contains(part), "{part} in {}", run.stdout);
    }
    assert!(run.stderr.contains("UNREACHABLE (tcp: CONNECTION_REFUSED)"), "{}", run.stderr);
}
