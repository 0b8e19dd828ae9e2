//! `keywright audit list`

use clap::Args;

use super::filter::Filter;
use crate::app::App;
use crate::args::{PageArgs, instant};
use crate::client::Listing;
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::Work;
use crate::output::view::audit as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright audit list --limit 20
  keywright audit list --target acc_… --from 2026-03-01
  keywright audit list --outcome denied --all -o json
  keywright audit list --text deploy@web-1 --from 2026-01-01

With --text the log is searched backwards, some thousand events with each question, until there are enough, the log ends
or you press Ctrl-C; what was found until then is shown. --from bounds the search.")]
pub struct List {
    #[command(flatten)]
    filter: Filter,
    /// Only from this day or instant on (2026-03-01, 2026-03-01T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<String>,
    /// Only before this day or instant
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

const EVENTS: [&str; 3] = ["api", "audit", "events"];

impl List {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let span = [("from", self.from.as_deref()), ("until", self.until.as_deref())];
        let filter: Vec<(&str, Option<&str>)> = self.filter.query().into_iter().chain(span).collect();
        if self.filter.has_text() {
            return search(Listing::new(&EVENTS, &filter, &self.page), app).await;
        }
        let page = app.client.list(&EVENTS, &filter, &self.page).await?;
        app.out.page(&page, view::list(page.items()));
        Ok(())
    }
}

/// Page after page, many of them empty; Ctrl-C ends the search, not the answer.
async fn search(mut listing: Listing<'_>, app: &App<'_>) -> Result<()> {
    let mut interrupt = app.interrupts.take()?;
    let mut work = Work::new(app.out);
    let mut pages = 0u64;
    let end = loop {
        let more = tokio::select! {
            more = listing.next(&app.client) => more,
            _ = interrupt.recv() => break Err(CliError::Interrupted { hint: String::new() }),
        };
        match more {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
        pages = pages.saturating_add(1);
        let oldest = listing.items().last().map(|event| fields::time(event, "/time"));
        let last = oldest.map_or_else(String::new, |oldest| format!(", the last of {oldest}"));
        work.say(&format!("searching: {} found{last} ({pages} pages)", listing.items().len()));
    };
    drop(work);
    if end.is_err() && pages == 0 {
        return end;
    }
    let page = listing.into_page();
    app.out.page(&page, view::list(page.items()));
    if end.is_err() {
        let next = fields::text(&page.answer.value, "/nextPageToken");
        app.out.note(&format!("The search did not end; --page-token {next} goes on with it."));
    }
    end
}
