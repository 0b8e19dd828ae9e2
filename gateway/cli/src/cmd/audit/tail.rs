//! `keywright audit tail`: nothing is missed and nothing is said twice, however often the connection breaks.

use std::collections::HashSet;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::filter::Filter;
use crate::app::App;
use crate::args::PageArgs;
use crate::error::{CliError, Result};
use crate::fields::{list, long, text};
use crate::output::{reader_gone, view::audit as view};

#[derive(Args)]
#[command(after_help = "Examples:
  keywright audit tail                                    # the last 10, and what comes
  keywright audit tail --outcome denied --last 0
  keywright audit tail --since 0 -o json >>events.jsonl   # the whole log, then what comes
  keywright audit tail --text web-1 -o json | jq -r .actor

An event is shown when it is recorded (PENDING) and again when its outcome is known. A connection that breaks off is
made again, and the log is followed from where it was left. With -o json each event is one line of JSON; the larger of its
`sequence` and `outcomeSequence`, plus one, is the --since that goes on after it. Ctrl-C ends it, with exit code 0.")]
pub struct Tail {
    #[command(flatten)]
    filter: Filter,
    /// Begin with what entered the log at this position or later, from 0
    #[arg(long, value_name = "POSITION", conflicts_with = "last")]
    since: Option<u64>,
    /// Begin with so many of the events that are there already
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    last: u32,
}

const EVENTS: [&str; 3] = ["api", "audit", "events"];
const WATCH: [&str; 4] = ["api", "audit", "events", "watch"];
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_LAST: Duration = Duration::from_secs(30);
/// A stream that held so long was a good one.
const LIVED: Duration = Duration::from_secs(10);

impl Tail {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        // Ctrl-C is how it ends, not an interruption.
        let mut interrupt = app.interrupts.take()?;
        tokio::select! {
            result = self.follow(app) => result,
            _ = interrupt.recv() => Ok(()),
            () = reader_gone() => Ok(()),
        }
    }

    async fn follow(self, app: &App<'_>) -> Result<()> {
        let mut follower = Follower { app, filter: &self.filter, since: 0, shown: HashSet::new() };
        match self.since {
            Some(since) => follower.since = since,
            None if !follower.begin(self.last).await? => return Ok(()),
            None => {}
        }
        let mut pause = PAUSE_FIRST;
        loop {
            let (before, began) = (follower.since, Instant::now());
            match follower.watch().await {
                Ok(()) => return Ok(()),
                Err(error) if !error.is_transient() => return Err(error),
                Err(error) => {
                    // A stream that ends after some minutes is the rule; one that cannot be opened is news.
                    if follower.since > before || began.elapsed() >= LIVED {
                        pause = PAUSE_FIRST;
                    }
                    if pause > PAUSE_FIRST {
                        app.out.news(&format!("{error}. Trying again in {pause:?}"));
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LAST);
                }
            }
        }
    }
}

struct Follower<'a> {
    app: &'a App<'a>,
    filter: &'a Filter,
    /// The position that follows what was seen.
    since: u64,
    /// Listed before the watch began, and so not to be shown by it again: id and position.
    shown: HashSet<(String, u64)>,
}

impl Follower<'_> {
    /// Notes where the log ends, then shows the last events. False if nobody reads them.
    async fn begin(&mut self, last: u32) -> Result<bool> {
        let mut newest = vec![("pageSize", "1")];
        newest.extend(self.filter.tenant().map(|tenant| ("tenantId", tenant)));
        let newest = self.app.client.get_with(&EVENTS, &newest).await?.value;
        self.since = list(&newest, "/items").first().map_or(0, |event| position(event).saturating_add(1));
        if last == 0 {
            return Ok(true);
        }
        let args = PageArgs { limit: last, all: false, page_token: None };
        let page = self.app.client.list(&EVENTS, &self.filter.query(), &args).await?;
        for event in page.items().iter().rev() {
            self.shown.insert((text(event, "/id").to_owned(), position(event)));
            if !self.show(event) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Shows what enters the log. Ends well only if nobody reads it any more.
    async fn watch(&mut self) -> Result<()> {
        let since = self.since.to_string();
        let mut query: Vec<(&str, &str)> =
            self.filter.query().into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        query.push(("since", &since));
        let mut events = self.app.client.watch(&WATCH, &query).await?;
        loop {
            let event = events.next().await?;
            if text(&event, "/id").is_empty() {
                return Err(CliError::Protocol("an event without an id".into()));
            }
            let at = position(&event);
            let is_new = self.shown.is_empty() || !self.shown.remove(&(text(&event, "/id").to_owned(), at));
            if is_new && !self.show(&event) {
                return Ok(());
            }
            self.since = self.since.max(at.saturating_add(1));
        }
    }

    /// False if nobody reads it.
    fn show(&self, event: &Value) -> bool {
        let out = self.app.out;
        out.line(&if out.is_json() { event.to_string() } else { view::line(event) })
    }
}

/// Where the event was last written to the log.
fn position(event: &Value) -> u64 {
    let of = |pointer| long(event, pointer).unwrap_or(0);
    of("/sequence").max(of("/outcomeSequence"))
}
