//! Long work: followed by events, by asking where events break off, and never praised before it is proven.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::gateway::{Gateway, Reply};

const ACCESS: &str = r#"{"id":"acc_1","account":"tenant-k3","hosts":[{"serverId":"srv_1","serverName":"web"}],"recentRotations":[{"id":"rot_1"}]}"#;
const ROTATE: [&str; 7] = ["access", "rotate", "acc_1", "--tenant", "ten_1", "--confirm", "acc_1"];

fn rotation(state: &str, prove: &str) -> Value {
    json!({"id": "rot_1", "accessId": "acc_1", "state": state, "graceEndsAt": "2026-03-02T12:00:00Z", "steps": [
        {"name": "generate", "state": "done"}, {"name": "prove", "serverId": "srv_1", "state": prove}]})
}

fn events(snapshots: &[Value]) -> Reply {
    let text: String = snapshots.iter().map(|snapshot| format!("data: {snapshot}\n\n")).collect();
    Reply::of(200, "text/event-stream", text.as_bytes())
}

/// A gateway whose watch goes as the closure says and whose rotation is in the given state when asked for the nth time.
fn gateway(watch: impl Fn() -> Reply + Send + Sync + 'static, states: &'static [&'static str]) -> Gateway {
    let asked = AtomicUsize::new(0);
    Gateway::start(move |request| match request.line().as_str() {
        "GET /api/tenants/ten_1/ssh-access/acc_1" | "POST /api/tenants/ten_1/ssh-access" => {
            Reply::json(200, ACCESS)
        }
        "GET /api/policies/tenants/ten_1/ssh-access/acc_1" => {
            Reply::json(200, r#"{"effective":{"gracePeriod":"43200s"}}"#)
        }
        "POST /api/tenants/ten_1/ssh-access/acc_1/rotate" => {
            Reply::json(200, &rotation("running", "pending").to_string())
        }
        "GET /api/rotations/rot_1/watch" => watch(),
        "GET /api/rotations/rot_1" => {
            let state = states[asked.fetch_add(1, Ordering::SeqCst).min(states.len() - 1)];
            Reply::json(200, &rotation(state, "done").to_string())
        }
        other => panic!("{other}"),
    })
}

#[test]
fn a_rotation_is_shown_step_by_step() {
    let watch = || events(&[rotation("running", "started"), rotation("succeeded", "done")]);
    let gateway = gateway(watch, &["succeeded"]);
    let run = gateway.run(&ROTATE);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for part in [
        "valid for 12 hours from then on",
        "generate: done",
        "prove on web: started",
        "prove on web: done",
        "The old key stays valid until 2026-03-02 12:00:00 UTC",
        "keywright access download acc_1",
    ] {
        assert!(run.stderr.contains(part), "{part} in {}", run.stderr);
    }
    assert!(run.stdout.contains("SUCCEEDED"), "{}", run.stdout);
}

#[test]
fn where_events_break_off_asking_takes_over() {
    let gateway = gateway(|| events(&[rotation("running", "started")]), &["running", "succeeded"]);
    let run = gateway.run(&ROTATE);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stderr.matches("prove on web: done").count(), 1, "{}", run.stderr);
}

#[test]
fn a_gateway_without_events_is_asked() {
    let gateway = gateway(|| Reply::error(404, 5, "ROUTE_NOT_FOUND"), &["failed"]);
    let run = gateway.run(&[&ROTATE[..], &["-o", "json"]].concat());
    assert_eq!(run.code, 10, "{}", run.stderr);
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(answer["state"], "failed");
}

#[test]
fn when_the_time_is_up_the_work_is_not_called_done() {
    let gateway = gateway(|| Reply::error(503, 14, "SERVICE_UNAVAILABLE"), &["converging"]);
    let run = gateway.run(&[&ROTATE[..], &["--wait-timeout", "1s"]].concat());
    assert_eq!(run.code, 9, "{}", run.stderr);
    assert!(run.stderr.contains("keywright rotation watch rot_1"), "{}", run.stderr);
}

#[test]
fn a_provision_waits_for_its_rotation() {
    let gateway = gateway(|| events(&[rotation("succeeded", "done")]), &["succeeded"]);
    let run =
        gateway.run(&["access", "provision", "--tenant", "ten_1", "--server", "srv_1", "--create-account"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(gateway.requests()[0].body, json!({"serverIds": ["srv_1"], "createAccount": true}));
    assert!(run.stderr.contains("keywright access download acc_1"), "{}", run.stderr);
}

fn revoke(state: &'static str, host: Value) -> Gateway {
    let revocation = json!({"id": "rev_1", "accessId": "acc_1", "state": state, "hosts": [host]}).to_string();
    Gateway::start(move |request| match request.target.as_str() {
        "/api/revocations/rev_1/watch" => Reply::error(404, 5, "ROUTE_NOT_FOUND"),
        _ => Reply::json(200, &revocation),
    })
}

const REVOKE: [&str; 9] =
    ["access", "revoke", "acc_1", "--tenant", "ten_1", "--confirm", "acc_1", "--wait-timeout", "1s"];

#[test]
fn an_unreachable_host_stays_exposed() {
    let host =
        json!({"serverId": "srv_1", "serverName": "web", "state": "REMOVAL_PENDING", "exposedMinutes": 3});
    let run = revoke("running", host).run(&REVOKE);
    assert_eq!(run.code, 9, "{}", run.stderr);
    assert!(run.stdout.contains("web: exposed for 3 minutes"), "{}", run.stdout);
    assert!(!run.stdout.to_lowercase().contains("access revoked"), "{}", run.stdout);
}

#[test]
fn other_ways_in_are_listed() {
    let host = json!({"serverId": "srv_1", "serverName": "web", "state": "REMOVED_PROVEN",
        "provenAt": "2026-03-01T12:00:00Z", "sessionsEnded": "2", "residualAccess": ["FOREIGN_KEYS 1"]});
    let run = revoke("succeeded", host).run(&REVOKE);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for part in
        ["REMOVED_PROVEN at 2026-03-01 12:00:00 UTC", "residual access: FOREIGN_KEYS 1", "sessions ended: 2"]
    {
        assert!(run.stdout.contains(part), "{part} in {}", run.stdout);
    }
    assert!(!run.stdout.to_lowercase().contains("access revoked"), "{}", run.stdout);
}

#[test]
fn the_last_rotations_of_an_access_are_listed() {
    let gateway = gateway(|| panic!("nothing is watched"), &["succeeded"]);
    let list = ["rotation", "list", "acc_1", "--tenant", "ten_1"];
    let run = gateway.run(&list);
    assert!(run.code == 0 && run.stdout.contains("rot_1"), "{} {}", run.stdout, run.stderr);
    let run = gateway.run(&[&list[..], &["-o", "json"]].concat());
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(answer, json!({"items": [{"id": "rot_1"}]}));
}

#[test]
fn a_host_that_is_waited_for_is_named_with_its_reason() {
    let down = json!({"id": "rot_1", "accessId": "acc_1", "state": "running", "steps": [
        {"name": "install", "serverId": "srv_1", "state": "pending", "reason": "HOST_UNREACHABLE", "attempts": 2}]});
    let gateway = gateway(move || events(&[down.clone(), rotation("succeeded", "done")]), &["succeeded"]);
    let run = gateway.run(&ROTATE);
    assert!(run.stderr.contains("install on web: waiting - HOST_UNREACHABLE"), "{}", run.stderr);
}
