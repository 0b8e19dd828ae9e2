//! A rotation or revocation as it goes: a bar on a terminal, plain lines elsewhere, nothing with JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::time::Instant;

use super::{Output, clean};
use crate::fields;

pub struct Progress {
    out: Output,
    bar: Option<ProgressBar>,
    /// State last shown, by step or host.
    shown: BTreeMap<String, String>,
    /// Names of servers by id.
    servers: BTreeMap<String, String>,
}

impl Progress {
    /// `hosts` are objects with `serverId` and `serverName`.
    pub fn new(out: Output, hosts: &[Value]) -> Self {
        let servers = hosts
            .iter()
            .map(|host| {
                (fields::text(host, "/serverId").to_owned(), fields::text(host, "/serverName").to_owned())
            })
            .collect();
        Self { out, bar: out.draws().then(bar), shown: BTreeMap::new(), servers }
    }

    /// Shows what changed in a rotation.
    pub fn rotation(&mut self, rotation: &Value) {
        let steps = fields::list(rotation, "/steps");
        let mut done = 0;
        for (number, step) in steps.iter().enumerate() {
            let mut state = fields::word(step, "/state");
            done += u64::from(state == "DONE");
            // It failed, and is tried again.
            if state == "PENDING" && !fields::text(step, "/reason").is_empty() {
                state = "WAITING".to_owned();
            }
            let line = self.step_line(step, &state);
            if state == "STARTED"
                && let Some(bar) = &self.bar
            {
                bar.set_message(clean(&line));
            }
            self.show(&number.to_string(), &state, &line);
        }
        if let Some(bar) = &self.bar {
            bar.set_length(steps.len() as u64);
            bar.set_position(done);
        }
    }

    /// Shows what changed in a revocation.
    pub fn revocation(&mut self, revocation: &Value) {
        let hosts = fields::list(revocation, "/hosts");
        let mut proven = 0;
        for host in hosts {
            let state = fields::word(host, "/state");
            proven += u64::from(state == "REMOVED_PROVEN");
            let line = super::view::revocation::host_line(host);
            let key = fields::text(host, "/serverId").to_owned();
            let change = format!("{state} {}", fields::text(host, "/reason"));
            self.show(&key, &change, &line);
        }
        if let Some(bar) = &self.bar {
            bar.set_length(hosts.len() as u64);
            bar.set_position(proven);
            bar.set_message("hosts proven to refuse the key");
        }
    }

    fn step_line(&self, step: &Value, state: &str) -> String {
        let mut line = fields::text(step, "/name").replace('_', " ");
        let server = fields::text(step, "/serverId");
        if !server.is_empty() {
            let name = self.servers.get(server).filter(|name| !name.is_empty());
            line.push_str(&format!(" on {}", name.map_or(server, String::as_str)));
        }
        line.push_str(&format!(": {}", state.to_lowercase()));
        for detail in [fields::text(step, "/reason"), fields::text(step, "/message")] {
            if !detail.is_empty() {
                line.push_str(&format!(" - {detail}"));
            }
        }
        line
    }

    /// Prints a line once per change; what has not begun and, on a terminal, what only began is not worth one.
    fn show(&mut self, key: &str, state: &str, line: &str) {
        if state == "PENDING" || self.shown.get(key).is_some_and(|last| last == state) {
            return;
        }
        self.shown.insert(key.to_owned(), state.to_owned());
        match &self.bar {
            Some(_) if state == "STARTED" => {}
            Some(bar) => bar.println(format!("  {}", clean(line))),
            None => self.out.news(&format!("  {line}")),
        }
    }
}

/// How many of many are done: a bar on a terminal, nothing elsewhere.
pub struct Count {
    bar: Option<ProgressBar>,
}

impl Count {
    pub fn new(out: Output, what: &'static str) -> Self {
        let bar = out.draws().then(bar);
        if let Some(bar) = &bar {
            bar.set_message(what);
        }
        Self { bar }
    }

    pub fn is_drawn(&self) -> bool {
        self.bar.is_some()
    }

    pub fn set(&self, done: usize, all: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Off a terminal a line so often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Work of unknown length: how far it is, on a terminal in one line that changes, elsewhere in a line now and then, nothing
/// with JSON.
pub struct Work {
    out: Output,
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Work {
    pub fn new(out: Output) -> Self {
        let bar = out.draws().then(|| {
            let bar = bar();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar
        });
        Self { out, bar, said: Instant::now() }
    }

    pub fn say(&mut self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(clean(text)),
            None if self.said.elapsed() >= LINE_EVERY => {
                self.out.news(text);
                self.said = Instant::now();
            }
            None => {}
        }
    }

    /// Something that stays.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(clean(text)),
            None => self.out.news(text),
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
