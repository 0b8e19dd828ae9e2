//! `keywright audit erase`

use clap::Args;
use serde_json::json;

use crate::app::App;
use crate::args::ConfirmArg;
use crate::client::Body;
use crate::error::Result;
use crate::fields::long;

#[derive(Args)]
#[command(after_help = "Example:
  keywright audit erase prn_… --reason 'left in 2024, asked for it' --confirm prn_…

What the person did stays in the log and every proof still holds; who it was, from where and to what is gone, and cannot be
brought back. Exports made before still show it. The erasure is itself an entry of the log.")]
pub struct Erase {
    /// A principal, as the log shows it (`prn_…`)
    #[arg(value_name = "SUBJECT")]
    subject: String,
    /// Why; it stands in the log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    confirm: ConfirmArg,
}

impl Erase {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let Self { subject, reason, confirm: ConfirmArg { confirm } } = self;
        app.need_confirm(confirm.as_ref(), &subject)?;
        let confirmed = match confirm {
            Some(confirmed) => confirmed,
            None => {
                app.out.note(&format!(
                    "The clear values of every entry about {subject} will be erased. This cannot be undone."
                ));
                app.prompt.type_id(&subject, "--confirm").await?
            }
        };
        let body = Body::new()
            .put("subject", subject.as_str())
            .put("confirmation", json!({"subject": confirmed}))
            .put("reason", reason);
        let answer = app.client.post(&["api", "audit", "erasures"], &body).await?;
        app.out.answer(&answer, Vec::new());
        let entries = long(&answer.value, "/entries").unwrap_or(0);
        app.out.news(&format!("The clear values of {entries} entries about {subject} are erased."));
        Ok(())
    }
}
