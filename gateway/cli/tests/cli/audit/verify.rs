//! Verifying with nothing but files: in an empty home, with no gateway, no profile and no token.

use serde_json::Value;

use super::log::{Log, entry, export, header, whole};
use crate::gateway::{Gateway, Reply, Run};

struct Stage {
    home: Gateway,
    log: Log,
}

impl Stage {
    /// A log of 40 entries, exported whole, with checkpoints of it and of earlier states.
    fn new() -> Self {
        let log = Log::new();
        let home = Gateway::start(|_| Reply::error(500, 13, "NOBODY_SHOULD_ASK"));
        home.write("log.jsonl", &whole(40));
        home.write("new.checkpoint", &log.checkpoint(40));
        home.write("old.checkpoint", &log.checkpoint(16));
        home.write("log.pub", &format!("# the log's key\n{}\n", log.key()));
        Self { home, log }
    }

    /// With the log's address at hand, which nothing may ask.
    fn run(&self, arguments: &[&str]) -> Run {
        let run = self
            .home
            .run_with(&[&["audit", "verify"][..], arguments].concat(), &[("KEYWRIGHT_URL", &self.home.url)]);
        assert!(self.home.requests().is_empty(), "{:?}", self.home.lines());
        run
    }

    fn verify(&self, text: &str) -> Run {
        self.home.write("other.jsonl", text);
        self.run(&["--export", "other.jsonl", "--checkpoint", "new.checkpoint", "--key", "log.pub"])
    }

    /// With one entry changed.
    fn changed(&self, index: usize, change: impl Fn(&str) -> String) -> Run {
        let text = whole(40);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[index + 1] = change(&lines[index + 1]);
        self.verify(&(lines.join("\n") + "\n"))
    }
}

fn refused(run: &Run, words: &str) {
    assert_eq!((run.code, run.stdout.as_str()), (9, ""), "{}", run.stderr);
    assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
}

#[test]
fn a_whole_log_is_verified_and_reported() {
    let stage = Stage::new();
    let key = stage.log.key();
    let run = stage.run(&[
        "--export",
        "log.jsonl",
        "--checkpoint",
        "new.checkpoint",
        "--since",
        "old.checkpoint",
        "--key",
        &key,
    ]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stdout.lines().last(), Some("verified"), "{}", run.stdout);
    assert!(run.stdout.contains("the checkpoint of size 16"), "{}", run.stdout);
    let run = stage.run(&[
        "--export",
        "log.jsonl",
        "--checkpoint",
        "old.checkpoint",
        "--key",
        "log.pub",
        "-o",
        "json",
    ]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["verified"], true);
    assert_eq!(
        (&report["entries"], &report["beyond"], &report["size"]),
        (&16.into(), &24.into(), &16.into())
    );
    assert_eq!(std::fs::read_dir(stage.home.home.path()).unwrap().count(), 4, "nothing is written");
}

#[test]
fn a_home_that_is_out_of_order_is_not_looked_at() {
    let stage = Stage::new();
    std::fs::create_dir_all(stage.home.path(".config/keywright")).unwrap();
    stage.home.write(".config/keywright/config.toml", "this is = = no profile");
    let run = stage.run(&["--export", "log.jsonl", "--checkpoint", "new.checkpoint", "--key", "log.pub"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn hidden_and_erased_entries_are_counted_and_the_standard_input_is_read() {
    let stage = Stage::new();
    let mut lines: Vec<String> = export(0, 40, 4..32).lines().map(str::to_owned).collect();
    let mut erased = entry(0);
    (erased.clear, erased.salts) = Default::default();
    lines[1] = serde_json::to_string(&erased).unwrap();
    let arguments = [
        "audit",
        "verify",
        "--export",
        "-",
        "--checkpoint",
        "new.checkpoint",
        "--key",
        "log.pub",
        "-o",
        "json",
    ];
    let run = stage.home.run_fed(&arguments, &lines.join("\n"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let counts = ["entries", "hidden", "erased"].map(|name| report[name].as_u64().unwrap());
    assert_eq!(counts, [12, 28, 1]);
}

#[test]
fn whatever_was_changed_is_found_and_named() {
    let stage = Stage::new();
    for (from, to) in [("evt_7", "evt_8"), ("prn_7", "prn_8"), ("INTENT", "OUTCOM"), ("07070707", "07070708")]
    {
        let run = stage.changed(7, |line| line.replace(from, to));
        refused(&run, "entry 7 is wrong");
    }
    let forged =
        |_: &str| serde_json::to_string(&keywright_log::export::Entry { index: 7, ..entry(8) }).unwrap();
    refused(&stage.changed(7, forged), "do not give the root of the checkpoint of size 40");
    refused(&stage.changed(7, |line| format!("{line}\n{line}")), "entry 8 is missing or out of order");
    refused(&stage.changed(7, |_| "{}".to_owned()), "line 9 is neither");
}

#[test]
fn what_is_cut_dropped_or_garbage_is_refused() {
    let stage = Stage::new();
    let text = whole(40);
    let without_end: Vec<&str> = text.lines().take(40).collect();
    refused(&stage.verify(&(without_end.join("\n") + "\n")), "the file ends at entry 39");
    refused(&stage.verify(&text[..text.len() - 30]), "breaks off in line 41");
    refused(&stage.verify(&text.replace("{\"index\":5,", "{\"index\":6,")), "entry 5 is missing");
    refused(&stage.verify(&text.replace(&header(0, 40), &header(3, 40))), "only an export from entry 0");
    refused(
        &stage.verify(&text.replace("log.example.com", "log.example.org")),
        "is of the log log.example.org",
    );
    refused(&stage.verify(""), "does not begin with the header");
    refused(&stage.verify("\0\u{1}\u{ff}garbage\n"), "does not begin with the header");
    refused(&stage.verify(&format!("{}\n{}", header(0, 40), "x".repeat(5 << 20))), "longer than any line");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let stage = Stage::new();
    std::fs::create_dir(stage.home.path("folder")).unwrap();
    for (file, words) in [("folder", "it is a folder"), ("missing", "No such file")] {
        let run = stage.run(&["--export", file, "--checkpoint", "new.checkpoint", "--key", "log.pub"]);
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert!(run.stderr.contains(file) && run.stderr.contains(words), "{}", run.stderr);
    }
}

#[test]
fn only_the_key_that_was_given_is_believed() {
    let stage = Stage::new();
    let other = Log::new();
    let with = |checkpoint: &str, key: &str| {
        stage.run(&["--export", "log.jsonl", "--checkpoint", checkpoint, "--key", key])
    };
    refused(&with("new.checkpoint", &other.key()), "new.checkpoint: no signature is by a key that was given");
    let larger = stage.log.checkpoint(40).replace("\n40\n", "\n41\n");
    stage.home.write("forged.checkpoint", &larger);
    refused(&with("forged.checkpoint", "log.pub"), "does not verify");
    refused(&with("log.jsonl", "log.pub"), "not a signed note");
    let run = with("new.checkpoint", "nothing");
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("nor is it the path of a file"), "{}", run.stderr);
    let both = ["--export", "log.jsonl", "--checkpoint", "new.checkpoint"];
    let run = stage.run(&[&both[..], &["--key", &other.key(), "--key", "log.pub"]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn an_older_checkpoint_of_another_history_is_found() {
    let stage = Stage::new();
    stage.home.write("fork.checkpoint", &stage.log.sign(16, super::log::root(0..8)));
    let run = stage.run(&[
        "--export",
        "log.jsonl",
        "--checkpoint",
        "new.checkpoint",
        "--since",
        "fork.checkpoint",
        "--key",
        "log.pub",
        "-o",
        "json",
    ]);
    assert_eq!((run.code, run.stdout.as_str()), (9, ""));
    let status: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(status["details"][0]["reason"], "UNPROVEN");
    assert!(status["message"].as_str().unwrap().contains("the checkpoint of size 16"), "{status}");
    stage.home.write("cut.jsonl", &export(0, 40, 0..32));
    let run = stage.run(&[
        "--export",
        "cut.jsonl",
        "--checkpoint",
        "new.checkpoint",
        "--since",
        "old.checkpoint",
        "--key",
        "log.pub",
    ]);
    refused(&run, "export again with --cut 16");
}
