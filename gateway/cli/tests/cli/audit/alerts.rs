//! Alerts, their rules, segments and erasures; and the help that teaches all of it.

use serde_json::{Value, json};

use crate::gateway::{Gateway, Reply, Request};

const RULE: &str = r#"{"id":"failed-logins","description":"","actions":["session.create"],"outcome":"failed","reason":"",
    "subject":"source","threshold":5,"windowSeconds":300,"hours":"","disabled":false,"builtIn":true}"#;

fn gateway() -> Gateway {
    Gateway::start(|request: &Request| match (request.method.as_str(), request.path()) {
        ("GET", "/api/audit/alert-rules") => Reply::json(200, &format!("{{\"items\":[{RULE}]}}")),
        ("PUT", _) => Reply::json(200, &request.body.to_string()),
        ("POST", "/api/audit/erasures") => Reply::json(200, r#"{"entries":"12"}"#),
        ("POST", "/api/audit/segments/0/retire") => {
            Reply::json(200, r#"{"id":"0","state":"retired","from":"0","size":"65536"}"#)
        }
        ("POST", "/api/audit/alerts/alt_1/acknowledge") => {
            Reply::json(200, r#"{"id":"alt_1","state":"acknowledged","count":3}"#)
        }
        ("GET", _) => {
            Reply::json(200, r#"{"items":[{"id":"7","state":"open","size":"65536"}],"nextPageToken":""}"#)
        }
        _ => Reply::json(200, "{}"),
    })
}

fn sent(gateway: &Gateway) -> Request {
    gateway.requests().pop().unwrap()
}

#[test]
fn what_is_given_of_a_rule_is_changed_and_the_rest_stays() {
    let gateway = gateway();
    let run = gateway.run(&[
        "audit",
        "alerts",
        "set-rule",
        "failed-logins",
        "--threshold",
        "3",
        "--window",
        "10m",
        "--disable",
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("10m"), "{}", run.stdout);
    let request = sent(&gateway);
    assert_eq!(request.line(), "PUT /api/audit/alert-rules/failed-logins");
    let mut expected: Value = serde_json::from_str(RULE).unwrap();
    (expected["threshold"], expected["windowSeconds"], expected["disabled"]) =
        (3.into(), 600.into(), true.into());
    expected.as_object_mut().unwrap().retain(|name, _| name != "id" && name != "builtIn");
    assert_eq!(request.body, expected);
}

#[test]
fn a_new_rule_says_what_it_counts() {
    let gateway = gateway();
    let new = ["audit", "alerts", "set-rule", "night"];
    assert_eq!(gateway.run(&new).code, 2);
    let run = gateway
        .run(&[&new[..], &["--action", "session.*", "--hours", "02:00-06:00", "--by", "actor"]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(
        sent(&gateway).body,
        json!({"actions": ["session.*"], "hours": "02:00-06:00", "subject": "actor"})
    );
    assert_eq!(gateway.run(&["audit", "alerts", "delete-rule", "night"]).code, 0);
    assert_eq!(sent(&gateway).line(), "DELETE /api/audit/alert-rules/night");
    assert!(
        gateway
            .run(&["audit", "alerts", "rules"])
            .stdout
            .contains("failed-logins  yes  yes       session.create")
    );
}

#[test]
fn alerts_are_listed_and_acknowledged() {
    let gateway = gateway();
    let run =
        gateway.run(&["audit", "alerts", "list", "--state", "open", "--rule", "night", "--tenant", "ten_1"]);
    assert!(run.stdout.contains("OPEN"), "{}{}", run.stdout, run.stderr);
    assert_eq!(
        sent(&gateway).line(),
        "GET /api/audit/alerts?tenantId=ten_1&state=open&ruleId=night&pageSize=100"
    );
    let run = gateway.run(&["audit", "alerts", "ack", "alt_1", "--comment", "seen"]);
    assert!(run.stdout.contains("ACKNOWLEDGED"), "{}{}", run.stdout, run.stderr);
    assert_eq!(sent(&gateway).body, json!({"comment": "seen"}));
}

#[test]
fn what_cannot_be_undone_is_confirmed_by_its_name() {
    let gateway = gateway();
    assert_eq!(gateway.run(&["audit", "segments", "list"]).code, 0);
    for arguments in
        [&["audit", "segments", "retire", "0"][..], &["audit", "erase", "prn_1", "--reason", "asked"]]
    {
        let run = gateway.run(arguments);
        assert_eq!((run.code, gateway.requests().len()), (2, 1), "{}", run.stderr);
    }
    let run = gateway.run(&["audit", "segments", "retire", "0", "--confirm", "0"]);
    assert!(run.stdout.contains("RETIRED"), "{}{}", run.stdout, run.stderr);
    assert_eq!(sent(&gateway).body, json!({"confirmation": {"segmentId": "0"}}));
    let run = gateway.run(&["audit", "erase", "prn_1", "--reason", "asked", "--confirm", "prn_1"]);
    assert!(run.stderr.contains("of 12 entries about prn_1"), "{}", run.stderr);
    let expected = json!({"subject": "prn_1", "confirmation": {"subject": "prn_1"}, "reason": "asked"});
    assert_eq!(sent(&gateway).body, expected);
}

#[test]
fn the_help_of_each_command_teaches_with_an_example() {
    let gateway = gateway();
    for command in [
        "list",
        "tail",
        "export",
        "verify",
        "checkpoint",
        "proof inclusion",
        "proof consistency",
        "alerts list",
        "alerts ack",
        "alerts set-rule",
        "segments retire",
        "erase",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let run = gateway.run(&[&["audit"][..], &words, &["--help"]].concat());
        assert_eq!(run.code, 0, "{command}");
        let example = format!("  keywright audit {command} ");
        let bare = format!("  keywright audit {command}\n");
        assert!(run.stdout.contains(&example) || run.stdout.contains(&bare), "{command}: {}", run.stdout);
    }
}
