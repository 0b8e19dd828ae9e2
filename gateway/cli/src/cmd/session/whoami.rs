//! `keywright whoami`

use crate::app::App;
use crate::error::Result;
use crate::output::view::identity;

pub async fn run(app: &App<'_>) -> Result<()> {
    let answer = app.client.get(&["api", "whoami"]).await?;
    app.out.answer(&answer, identity::principal(&answer.value));
    Ok(())
}
