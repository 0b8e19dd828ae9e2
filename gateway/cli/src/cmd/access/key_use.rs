//! `keywright access key-use`

use clap::Args;

use super::AccessRef;
use crate::app::App;
use crate::client::Body;
use crate::error::Result;
use crate::fields::list;
use crate::output::view::access as view;

#[derive(Args)]
#[command(after_help = "Example:
  keywright access key-use acc_…

Reads the SSH servers' logs on every host of the access now. USED: the last log-in with the key, and where it came
from. NOT_SEEN: the log was read, back to LOG SINCE, and shows none. UNREADABLE: the host was not reached, or keeps no
log that can be read. Keywright's own proofs do not count.")]
pub struct KeyUse {
    #[command(flatten)]
    access: AccessRef,
}

impl KeyUse {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let access = self.access.resolve(app).await?;
        let answer = app.client.post(&access.route(&["key-use"]), &Body::new()).await?;
        app.out.answer(&answer, vec![view::uses(list(&answer.value, "/items"))]);
        Ok(())
    }
}
