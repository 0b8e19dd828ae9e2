//! Searching: many pages are empty, and the search goes on until there is enough or it is interrupted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway::{Gateway, Reply, Request};

/// Twelve pages, with an event on each fifth; the one of `hangs` is never answered.
fn gateway(hangs: u32) -> Gateway {
    Gateway::start(move |request: &Request| {
        let page: u32 = request.parameter("pageToken").map_or(0, |token| token.parse().unwrap());
        if page == hangs {
            std::thread::sleep(Duration::from_secs(60));
        }
        let items: Vec<Value> = page
            .is_multiple_of(5)
            .then(|| json!({"id": format!("evt_{page}"), "outcome": "denied"}))
            .into_iter()
            .collect();
        let next = if page < 11 { (page + 1).to_string() } else { String::new() };
        Reply::json(200, &json!({"items": items, "nextPageToken": next}).to_string())
    })
}

#[test]
fn pages_are_asked_for_until_there_is_enough_or_no_more() {
    for (limit, found, pages) in [("2", 2, 6), ("9", 3, 12)] {
        let gateway = gateway(99);
        let run = gateway.run(&["audit", "list", "--text", "web 1", "--limit", limit, "-o", "json"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let answer: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!((answer["items"].as_array().unwrap().len(), gateway.lines().len()), (found, pages));
        assert_eq!(gateway.lines()[0], format!("GET /api/audit/events?text=web+1&pageSize={limit}"));
    }
}

#[test]
fn an_interrupted_search_shows_what_it_has_found() {
    let gateway = gateway(7);
    let child = gateway.spawn(&["audit", "list", "--text", "x", "-o", "json"]);
    while gateway.requests().len() < 8 {
        std::thread::yield_now();
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["items"].as_array().unwrap().len(), 2);
    assert_eq!(answer["nextPageToken"], "7");
    assert!(String::from_utf8(output.stderr).unwrap().contains("--page-token 7 goes on"));
}
