//! Following the log: nothing is missed, nothing is said twice, and it ends when it should.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway::{Gateway, Reply, Request};

fn event(number: u64, outcome: Option<u64>) -> String {
    let at = outcome.map(|at| at.to_string()).unwrap_or_default();
    let state = if outcome.is_some() { "succeeded" } else { "pending" };
    json!({"id": format!("evt_{number}"), "sequence": number.to_string(), "outcomeSequence": at, "outcome": state,
        "time": "2026-03-01T12:00:00Z", "action": "server.test", "actor": "prn_1", "target": "srv_1\n\u{1b}[2J"})
    .to_string()
}

/// A log of two events; what the watch answers each time, and then nothing more.
fn gateway(watch: impl Fn(usize) -> Option<Reply> + Send + Sync + 'static) -> Gateway {
    let asked = AtomicUsize::new(0);
    Gateway::start(move |request: &Request| match request.path() {
        "/api/audit/events" => {
            let size: usize = request.parameter("pageSize").unwrap().parse().unwrap();
            let items =
                [event(4, None), event(2, Some(3))].map(|text| serde_json::from_str::<Value>(&text).unwrap());
            let items = &items[..size.min(2)];
            Reply::json(200, &json!({"items": items, "nextPageToken": ""}).to_string())
        }
        "/api/audit/events/watch" => watch(asked.fetch_add(1, Ordering::SeqCst)).unwrap_or_else(|| {
            std::thread::sleep(Duration::from_secs(60));
            Reply::events(&[])
        }),
        _ => Reply::error(404, 5, "ROUTE_NOT_FOUND"),
    })
}

struct Tail {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Tail {
    fn start(gateway: &Gateway, arguments: &[&str]) -> Self {
        let mut child = gateway.spawn(&[&["audit", "tail"][..], arguments].concat());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    fn next_ids(&mut self, count: usize) -> Vec<(String, String)> {
        let read = |line: String| {
            let event: Value = serde_json::from_str(&line).unwrap();
            let of = |name: &str| event[name].as_str().unwrap().to_owned();
            (of("id"), of("outcome"))
        };
        (0..count).map(|_| read(self.next())).collect()
    }

    /// The exit code, and what was said on standard error.
    fn end(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        (code, std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap())
    }

    fn interrupt(self) -> (i32, String) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        self.end()
    }
}

fn watches(gateway: &Gateway) -> Vec<String> {
    gateway
        .requests()
        .iter()
        .filter_map(|it| it.target.strip_prefix("/api/audit/events/watch").map(str::to_owned))
        .collect()
}

#[test]
fn a_stream_that_ends_or_breaks_is_gone_on_with_from_where_it_was() {
    let gateway = gateway(|time| match time {
        // The event that was listed already comes once more.
        0 => Some(Reply::events(&[event(4, None), event(5, None), event(5, Some(6))])),
        1 => Some(Reply::error(503, 14, "AUDIT_UNAVAILABLE")),
        2 => Some(Reply::events(&[event(7, None), event(8, None)]).cut_at(310)),
        3 => Some(Reply::events(&[event(8, None)])),
        _ => None,
    });
    let mut tail = Tail::start(&gateway, &["--action", "server.test", "-o", "json"]);
    let expected = [
        ("evt_2", "succeeded"),
        ("evt_4", "pending"),
        ("evt_5", "pending"),
        ("evt_5", "succeeded"),
        ("evt_7", "pending"),
        ("evt_8", "pending"),
    ];
    assert_eq!(tail.next_ids(6), expected.map(|(id, state)| (id.to_owned(), state.to_owned())));
    let (code, said) = tail.interrupt();
    assert_eq!((code, said.as_str()), (0, ""));
    let since = |n| format!("?action=server.test&since={n}");
    assert_eq!(watches(&gateway)[..4], [since(5), since(7), since(7), since(8)]);
}

#[test]
fn a_line_is_safe_and_a_position_is_begun_at() {
    let gateway = gateway(|time| (time == 0).then(|| Reply::events(&[event(0, Some(1))])));
    let mut tail = Tail::start(&gateway, &["--since", "0"]);
    let line = tail.next();
    assert!(line.starts_with("2026-03-01 12:00:00 UTC  SUCCEEDED    server.test"), "{line}");
    assert!(line.contains("prn_1  srv_1") && !line.contains('\x1b'), "{line}");
    assert_eq!(tail.interrupt().0, 0);
    assert_eq!(gateway.lines()[0], "GET /api/audit/events/watch?since=0");
}

#[test]
fn it_ends_when_nobody_reads_it() {
    let gateway = gateway(|_| None);
    let mut tail = Tail::start(&gateway, &["-n", "1"]);
    assert!(tail.next().contains("PENDING"));
    let Tail { child, lines } = tail;
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_refusal_is_its_end() {
    let denied = gateway(|_| Some(Reply::error(403, 7, "PERMISSION_DENIED")));
    let (code, said) = Tail::start(&denied, &["--last", "0"]).end();
    assert_eq!(code, 4, "{said}");
    assert_eq!(denied.lines().len(), 2, "the log's end is asked for first, so that nothing is missed");
    let ended = br#"event: error
data: {"code":16,"message":"Sign in.","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"UNAUTHENTICATED","domain":"keywright"}]}

"#;
    let expired = gateway(|_| Some(Reply::of(200, "text/event-stream", ended)));
    assert_eq!(Tail::start(&expired, &["--last", "0"]).end().0, 3);
}
