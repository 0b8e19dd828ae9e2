//! `keywright logout`

use clap::Args;

use crate::app::{App, Setup};
use crate::error::{CliError, Result};
use crate::fields;
use crate::interrupt::Interrupts;
use crate::output::Output;
use crate::profile::Environment;

#[derive(Args)]
#[command(after_help = "Example:\n  keywright --profile owner logout --revoke

The token of a single sign-on is revoked as well: the next login makes another one.")]
pub struct Logout {
    /// Also revoke the token, so that no copy of it works; tokens created with it stay
    #[arg(long)]
    revoke: bool,
}

impl Logout {
    pub async fn run(self, mut setup: Setup, out: Output, interrupts: &Interrupts) -> Result<()> {
        // A log-out is about the profile: a token in the environment is not ours to forget.
        setup.env = Environment { token: None, url: None, ..setup.env };
        let session = setup.session()?;
        let name = session.profile.clone();
        if session.token.is_none() {
            return Err(CliError::Usage(format!("profile {name:?} is not logged in")));
        }
        let app = App::new(session, out, interrupts)?;
        let single_sign_on = setup.profiles.profiles.get(&name).is_some_and(|profile| profile.session);
        let mut revoked = false;
        if self.revoke || single_sign_on {
            match revoke(&app).await {
                Ok(()) => revoked = true,
                Err(error) if self.revoke => return Err(error),
                Err(error) => {
                    out.note(&format!("warning: the token was not revoked: {}", error.full_message()));
                }
            }
        }
        let mut change = setup.store.begin()?;
        change.profiles.profiles.remove(&name);
        if change.profiles.current.as_deref() == Some(name.as_str()) {
            change.profiles.current = None;
        }
        change.commit()?;
        out.note(&match (revoked, single_sign_on) {
            (true, _) => format!("Logged out: profile {name:?} is forgotten and its token is revoked."),
            (false, true) => format!("Logged out: profile {name:?} is forgotten."),
            (false, false) => format!(
                "Logged out: profile {name:?} is forgotten. A copy of its token works until it expires; --revoke would end it."
            ),
        });
        Ok(())
    }
}

async fn revoke(app: &App<'_>) -> Result<()> {
    let me = app.client.get(&["api", "whoami"]).await?;
    let path = ["api", "tokens", fields::text(&me.value, "/tokenId")];
    app.client.delete_where(&path, &[("keepCreated", "true")]).await?;
    Ok(())
}
