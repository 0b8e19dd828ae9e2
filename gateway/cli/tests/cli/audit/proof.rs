//! Proofs are verified here, whatever the gateway says of them.

use keywright_log::tree;
use serde_json::{Value, json};

use super::log::{Log, leaf, root};
use crate::gateway::{Gateway, Reply, Request};

const SIZE: u64 = 21;

fn inclusion(index: u64, checkpoint: &str) -> Value {
    let hashes: Vec<String> =
        tree::inclusion(index, SIZE).unwrap().into_iter().map(|leaves| root(leaves).hex()).collect();
    json!({"index": index.to_string(), "size": SIZE.to_string(), "leafHash": leaf(index).hash.hex(), "hashes": hashes,
        "root": root(0..SIZE).hex(), "checkpoint": checkpoint})
}

fn consistency(from: u64, checkpoint: &str) -> Value {
    let hashes: Vec<String> =
        tree::consistency(from, SIZE).unwrap().into_iter().map(|leaves| root(leaves).hex()).collect();
    json!({"from": from.to_string(), "size": SIZE.to_string(), "fromRoot": root(0..from).hex(), "hashes": hashes,
        "root": root(0..SIZE).hex(), "checkpoint": checkpoint})
}

fn answering(proof: Value) -> Gateway {
    Gateway::start(move |_| Reply::json(200, &proof.to_string()))
}

#[test]
fn a_proof_that_holds_is_said_to_hold_and_no_more() {
    let log = Log::new();
    let gateway = answering(inclusion(7, &log.checkpoint(SIZE)));
    let run = gateway.run(&["audit", "proof", "inclusion", "--event", "evt_7"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains("the entry is in the tree") && run.stdout.contains("not looked at"),
        "{}",
        run.stdout
    );
    let signed =
        ["audit", "proof", "inclusion", "--index", "7", "--size", "21", "-o", "json", "--key", &log.key()];
    let run = gateway.run(&signed);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&answer["verified"], &answer["signed"]), (&true.into(), &true.into()));
    let expected =
        ["GET /api/audit/proofs/inclusion?eventId=evt_7", "GET /api/audit/proofs/inclusion?index=7&size=21"];
    assert_eq!(gateway.lines(), expected);
}

#[test]
fn a_proof_that_does_not_hold_is_refused() {
    let log = Log::new();
    let good = inclusion(7, &log.checkpoint(SIZE));
    let with = |name: &str, value: Value| {
        let mut proof = good.clone();
        proof[name] = value;
        proof
    };
    let mut fewer = good.clone();
    fewer["hashes"].as_array_mut().unwrap().pop();
    for (proof, words) in [
        (with("leafHash", leaf(8).hash.hex().into()), "does not hold"),
        (with("root", root(0..20).hex().into()), "does not hold"),
        (fewer, "does not hold"),
        (with("index", "8".into()), "of something else than was asked"),
        (with("size", "22".into()), "of something else than was asked"),
        (with("checkpoint", "".into()), "no checkpoint of size 21 was signed"),
        (with("checkpoint", log.checkpoint(20).into()), "the signed checkpoint is of 20"),
        (with("checkpoint", log.sign(SIZE, root(0..20)).into()), "the signed checkpoint is of 21"),
        (with("checkpoint", Log::new().checkpoint(SIZE).into()), "no signature is by a key"),
    ] {
        let asked = ["audit", "proof", "inclusion", "--index", "7", "--size", "21", "--key", &log.key()];
        let run = answering(proof).run(&asked);
        assert_eq!((run.code, run.stdout.as_str()), (9, ""), "{}", run.stderr);
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
    let run = answering(with("root", "no hash".into())).run(&["audit", "proof", "inclusion", "--index", "7"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
}

#[test]
fn the_beginning_of_a_log_is_proven_and_compared_with_the_checkpoint_that_was_kept() {
    let log = Log::new();
    let gateway = answering(consistency(9, &log.checkpoint(SIZE)));
    gateway.write("old", &log.checkpoint(9));
    gateway.write("fork", &log.sign(9, root(0..8)));
    let key = log.key();
    let run = gateway.run(&["audit", "proof", "consistency", "--from", "9"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let run = gateway.run(&["audit", "proof", "consistency", "--since", "old", "--key", &key]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(gateway.lines(), ["GET /api/audit/proofs/consistency?from=9"; 2]);
    let run = gateway.run(&["audit", "proof", "consistency", "--since", "fork", "--key", &key]);
    assert_eq!(run.code, 9, "{}", run.stderr);
    assert!(run.stderr.contains("the log is another one"), "{}", run.stderr);
    let mut wrong = consistency(9, "");
    wrong["fromRoot"] = root(0..10).hex().into();
    let run = answering(wrong).run(&["audit", "proof", "consistency", "--from", "9"]);
    assert_eq!(run.code, 9, "{}", run.stderr);
    assert_eq!(
        gateway.run(&["audit", "proof", "consistency", "--since", "old"]).code,
        2,
        "a file needs a key"
    );
}

#[test]
fn checkpoints_and_keys_are_shown_kept_and_verified() {
    let log = Log::new();
    let (key, note) = (log.key(), log.checkpoint(SIZE));
    let (kept, shown) = (note.clone(), key.clone());
    let gateway = Gateway::start(move |request: &Request| match request.path() {
        "/api/audit/log/checkpoint" => Reply::of(200, "text/plain; charset=utf-8", note.as_bytes()),
        _ => Reply::json(
            200,
            &json!({"items": [{"verifierKey": shown, "origin": "x", "fromSize": "0", "active": true}]})
                .to_string(),
        ),
    });
    let run = gateway.run(&["audit", "checkpoint"]);
    assert!(run.code == 0 && run.stdout.contains("not verified"), "{}{}", run.stdout, run.stderr);
    let run = gateway.run(&["audit", "checkpoint", "--key", &key, "--out", "kept"]);
    assert!(run.code == 0 && !run.stdout.contains("not verified"), "{}{}", run.stdout, run.stderr);
    assert_eq!(std::fs::read_to_string(gateway.path("kept")).unwrap(), kept);
    assert_eq!(gateway.run(&["audit", "checkpoint", "--out", "kept"]).code, 2, "it is not replaced");
    let run = gateway.run(&["audit", "checkpoint", "--key", &Log::new().key(), "--out", "other"]);
    assert_eq!((run.code, gateway.path("other").exists()), (9, false), "{}", run.stderr);
    let run = gateway.run(&["audit", "keys"]);
    assert!(run.code == 0 && run.stdout.contains(&key), "{}", run.stdout);
}
