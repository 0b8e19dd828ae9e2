//! `keywright audit segments …`

use clap::{Args, Subcommand};
use serde_json::json;

use crate::app::App;
use crate::args::{ConfirmArg, PageArgs, id};
use crate::client::Body;
use crate::error::Result;
use crate::output::view::audit as view;

#[derive(Subcommand)]
pub enum Command {
    /// List the segments, newest first
    List(PageArgs),
    /// Delete the entries of a segment that was exported; its hashes stay, so that every proof still holds
    #[command(after_help = "Example:
  keywright audit segments retire 0 --confirm 0

Segments are retired oldest first, once they were exported whole and are older than the retention. This cannot be
undone: keep the export.")]
    Retire(Retire),
}

#[derive(Args)]
pub struct Retire {
    /// Its number
    #[arg(value_name = "SEGMENT_ID", value_parser = id)]
    segment: String,
    #[command(flatten)]
    confirm: ConfirmArg,
}

const SEGMENTS: [&str; 3] = ["api", "audit", "segments"];

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::List(page) => {
            let page = app.client.list(&SEGMENTS, &[], &page).await?;
            app.out.page(&page, view::segments(page.items()));
            Ok(())
        }
        Command::Retire(command) => command.run(app).await,
    }
}

impl Retire {
    async fn run(self, app: &App<'_>) -> Result<()> {
        let Self { segment, confirm: ConfirmArg { confirm } } = self;
        app.need_confirm(confirm.as_ref(), &segment)?;
        let confirmed = match confirm {
            Some(confirmed) => confirmed,
            None => {
                app.out.note(&format!(
                    "The entries of segment {segment} will be deleted for good; only its hashes stay."
                ));
                app.prompt.type_id(&segment, "--confirm").await?
            }
        };
        let body = Body::new().put("confirmation", json!({"segmentId": confirmed}));
        let answer = app.client.post(&["api", "audit", "segments", &segment, "retire"], &body).await?;
        app.out.answer(&answer, vec![view::segment(&answer.value)]);
        Ok(())
    }
}
