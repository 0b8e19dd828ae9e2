//! Exports: whole under their name or kept as a part, and gone on with where they broke off.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::log::{Log, export, whole};
use crate::gateway::{Gateway, Reply, Request, mode};

const SIZE: u64 = 40;

/// What the gateway has from a position on, with some entries hidden.
fn rest(request: &Request) -> String {
    let from = request.parameter("from").map_or(0, |from| from.parse().unwrap());
    export(from, SIZE, 8..24)
}

fn checkpoint_or(request: &Request, log: &Log, answer: impl FnOnce() -> Reply) -> Reply {
    match request.path() {
        "/api/audit/proofs/inclusion" => {
            Reply::json(200, &json!({"checkpoint": log.checkpoint(SIZE)}).to_string())
        }
        "/api/audit/export" => answer(),
        _ => Reply::error(404, 5, "ROUTE_NOT_FOUND"),
    }
}

fn reply(text: &str) -> Reply {
    Reply::of(200, "application/jsonl", text.as_bytes())
}

/// Sends only so much of each of the first answers.
fn breaking(cuts: &'static [usize]) -> (Gateway, String) {
    let log = Log::new();
    let (key, asked) = (log.key(), AtomicUsize::new(0));
    let gateway = Gateway::start(move |request| {
        checkpoint_or(request, &log, || {
            let text = rest(request);
            match cuts.get(asked.fetch_add(1, Ordering::SeqCst)) {
                Some(cut) => reply(&text).cut_at(text.len().min(*cut)),
                None => reply(&text),
            }
        })
    });
    (gateway, key)
}

fn exports(gateway: &Gateway) -> Vec<String> {
    gateway.lines().into_iter().filter(|line| line.contains("/export")).collect()
}

#[test]
fn a_whole_export_gets_its_name_with_its_checkpoint_and_verifies() {
    let (gateway, key) = breaking(&[]);
    let run = gateway.run(&["audit", "export", "--out", "log.jsonl", "--cut", "8", "--cut", "24"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(exports(&gateway), ["GET /api/audit/export?format=jsonl&cuts=8&cuts=24"]);
    let file = gateway.path("log.jsonl");
    assert_eq!((std::fs::read_to_string(&file).unwrap(), mode(&file)), (export(0, SIZE, 8..24), 0o600));
    assert!(!gateway.path("log.jsonl.part").exists());
    let line = run.stderr.lines().find(|line| line.contains("audit verify")).unwrap();
    let arguments: Vec<&str> =
        line.split_whitespace().skip(1).map(|word| if word == "KEY" { &key } else { word }).collect();
    let verified = gateway.run_with(&arguments, &[]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
}

#[test]
fn a_connection_that_breaks_is_gone_on_with_by_itself() {
    // In the middle of an entry, after a hidden subtree, within the header of the rest, and in the middle again.
    let (gateway, _) = breaking(&[3_000, 5_500, 40, 900]);
    let run = gateway.run(&["audit", "export", "--out", "log.jsonl"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(gateway.path("log.jsonl")).unwrap(), export(0, SIZE, 8..24));
    let asked = exports(&gateway);
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert_eq!(asked[0], "GET /api/audit/export?format=jsonl");
    assert!(asked[1].starts_with("GET /api/audit/export?format=jsonl&from="), "{asked:?}");
    assert!(asked.iter().skip(1).all(|line| line.ends_with("&size=40")), "{asked:?}");
    assert!(run.stderr.contains("Trying again"), "{}", run.stderr);
}

#[test]
fn a_part_that_is_left_is_gone_on_with_when_asked() {
    let (gateway, _) = breaking(&[]);
    let whole =
        rest(&Request { method: String::new(), target: String::new(), token: None, body: Value::Null });
    // After the 16 hidden entries, in the middle of entry 24.
    let cut = whole.find("{\"index\":24,").unwrap() + 100;
    gateway.write("log.jsonl.part", &whole[..cut]);
    let run = gateway.run(&["audit", "export", "--out", "log.jsonl"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("--resume goes on"), "{}", run.stderr);
    assert!(gateway.requests().is_empty());
    let run = gateway.run(&["audit", "export", "--out", "log.jsonl", "--resume", "-o", "json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(exports(&gateway), ["GET /api/audit/export?format=jsonl&from=24&size=40"]);
    assert_eq!(std::fs::read_to_string(gateway.path("log.jsonl")).unwrap(), whole);
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&answer["size"], &answer["file"]), (&40.into(), &"log.jsonl".into()));

    // Complete but for its name: nothing is asked for.
    gateway.write("again.jsonl.part", &whole);
    let run = gateway.run(&["audit", "export", "--out", "again.jsonl", "--resume"]);
    assert_eq!((run.code, exports(&gateway).len()), (0, 1), "{}", run.stderr);
}

#[test]
fn a_part_of_something_else_is_left_alone() {
    let log = Log::new();
    let other = Gateway::start(move |request| {
        checkpoint_or(request, &log, || reply(&rest(request).replace("log.example.com", "log.example.org")))
    });
    let part = format!("{}\n", whole(SIZE).lines().take(9).collect::<Vec<_>>().join("\n"));
    let file = other.write("log.jsonl.part", &part);
    let resume = ["audit", "export", "--out", "log.jsonl", "--resume"];
    for (rest, code, words) in [
        (&[][..], 1, "is of another log or range"),
        (&["--size", "30"], 2, "of another export"),
        (&["--tenant", "ten_1"], 2, "of another export"),
    ] {
        let run = other.run(&[&resume[..], rest].concat());
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(run.stderr.contains(words), "{}", run.stderr);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), part);
    }
    let run = other.run(&["audit", "export", "--out", "log.jsonl", "--force"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn an_export_that_ends_early_is_not_taken_for_a_whole_one() {
    let log = Log::new();
    let gateway = Gateway::start(move |request| {
        checkpoint_or(request, &log, || {
            let lines: Vec<String> = rest(request).lines().take(3).map(str::to_owned).collect();
            match request.parameter("from") {
                None => reply(&(lines.join("\n") + "\n")),
                Some(_) => Reply::error(503, 14, "AUDIT_UNAVAILABLE"),
            }
        })
    });
    let run = gateway.run(&["audit", "export", "--out", "log.jsonl"]);
    assert_eq!(run.code, 8, "{}", run.stderr);
    assert!(run.stderr.contains("What has arrived is in log.jsonl.part"), "{}", run.stderr);
    assert!(!gateway.path("log.jsonl").exists());
    let part = gateway.path("log.jsonl.part");
    assert_eq!(std::fs::read_to_string(&part).unwrap().lines().count(), 3);
    assert_eq!(mode(&part), 0o600);
}

#[test]
fn what_is_there_is_not_replaced_and_a_refusal_leaves_nothing() {
    let gateway = Gateway::start(|_| Reply::error(403, 7, "PERMISSION_DENIED"));
    let file = gateway.write("log.jsonl", "precious");
    let run = gateway.run(&["audit", "export", "--out", "log.jsonl"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("log.jsonl exists") && gateway.requests().is_empty(), "{}", run.stderr);
    assert_eq!(gateway.run(&["audit", "export", "--out", "log.jsonl", "--force"]).code, 4);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(gateway.home.path()).unwrap().count(), 1, "no empty part is left");
    assert_eq!(gateway.run(&["audit", "export", "--out", "."]).code, 2);
    let page = Gateway::start(|_| Reply::of(200, "text/html", b"<html>\na login page</html>\n"));
    assert_eq!(page.run(&["audit", "export", "--out", "log.jsonl"]).code, 1);
    assert_eq!(std::fs::read_dir(page.home.path()).unwrap().count(), 0);
}

#[test]
fn a_table_that_breaks_off_begins_again() {
    let asked = AtomicUsize::new(0);
    let gateway = Gateway::start(move |_| {
        let table = Reply::of(200, "text/csv", b"time,action\n1,a\n2,b\n");
        if asked.fetch_add(1, Ordering::SeqCst) == 0 { table.cut_at(14) } else { table }
    });
    let run = gateway.run(&["audit", "export", "--out", "log.csv", "--format", "csv", "--tenant", "ten_1"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(gateway.lines(), ["GET /api/audit/export?format=csv&tenantId=ten_1"; 2]);
    assert_eq!(std::fs::read_to_string(gateway.path("log.csv")).unwrap(), "time,action\n1,a\n2,b\n");
}
