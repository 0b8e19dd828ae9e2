//! `keywright audit …`

use clap::{Args, Subcommand, ValueEnum};

use crate::app::App;
use crate::args::{PageArgs, id, instant};
use crate::error::Result;
use crate::output::view::audit as view;

#[derive(Subcommand)]
pub enum Command {
    /// List events, newest first
    #[command(after_help = "Examples:
  keywright audit list --limit 20
  keywright audit list --target acc_… --from 2026-03-01
  keywright audit list --outcome denied --all -o json")]
    List(List),
    /// Show an event
    Show {
        /// `evt_…`
        #[arg(value_name = "EVENT_ID", value_parser = id)]
        event: String,
    },
}

#[derive(Args)]
pub struct List {
    /// Only this tenant's
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    /// Only by this principal
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Only this action, as in `access.rotate`
    #[arg(long, value_name = "NAME")]
    action: Option<String>,
    /// Only about this id
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    /// Only with this outcome
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
    /// Only from this day or instant on (2026-03-01, 2026-03-01T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<String>,
    /// Only before this day or instant
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Outcome {
    Pending,
    Succeeded,
    Failed,
    Denied,
    Interrupted,
}

impl Outcome {
    fn wire(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Interrupted => "interrupted",
        }
    }
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::List(command) => {
            let filter = [
                ("tenantId", command.tenant.as_deref()),
                ("actor", command.actor.as_deref()),
                ("action", command.action.as_deref()),
                ("target", command.target.as_deref()),
                ("outcome", command.outcome.map(Outcome::wire)),
                ("from", command.from.as_deref()),
                ("until", command.until.as_deref()),
            ];
            let page = app.client.list(&["api", "audit", "events"], &filter, &command.page).await?;
            app.out.page(&page, view::list(page.items()));
        }
        Command::Show { event } => {
            let answer = app.client.get(&["api", "audit", "events", &event]).await?;
            app.out.answer(&answer, view::one(&answer.value));
        }
    }
    Ok(())
}
