//! `keywright access show`

use clap::Args;

use super::AccessRef;
use crate::app::App;
use crate::error::Result;
use crate::output::view::access as view;

#[derive(Args)]
#[command(after_help = "Example:\n  keywright access show acc_…")]
pub struct Show {
    #[command(flatten)]
    access: AccessRef,
}

impl Show {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let access = self.access.resolve(app).await?;
        let answer = app.client.get(&access.route(&[])).await?;
        app.out.answer(&answer, view::one(&answer.value));
        Ok(())
    }
}
