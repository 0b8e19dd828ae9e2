//! What a command works with: the gateway, the output, the person at the terminal.

use serde_json::Value;

use crate::args::TenantArg;
use crate::cli::Global;
use crate::client::{Client, is_loopback};
use crate::error::{CliError, Result};
use crate::fields;
use crate::interrupt::Interrupts;
use crate::output::Output;
use crate::profile::{Environment, Profiles, Session, Store};
use crate::prompt::Prompt;

pub struct App<'a> {
    pub client: Client,
    pub out: Output,
    pub prompt: Prompt,
    pub interrupts: &'a Interrupts,
}

impl<'a> App<'a> {
    pub fn new(session: Session, out: Output, interrupts: &'a Interrupts) -> Result<Self> {
        if session.token.is_some() && session.url.scheme() == "http" && !is_loopback(&session.url) {
            out.note(&format!(
                "warning: {} is not encrypted: others may read your token on the way",
                session.url
            ));
        }
        let client = Client::new(session.url, session.token)?;
        Ok(Self { client, out, prompt: Prompt::new(), interrupts })
    }

    /// The tenant of an access: as given, else the one that the token is bound to.
    pub async fn tenant(&self, given: &TenantArg) -> Result<String> {
        if let Some(tenant) = &given.tenant {
            return Ok(tenant.clone());
        }
        let me = self.client.get(&["api", "whoami"]).await?;
        match fields::text(&me.value, "/tenantId") {
            "" => Err(CliError::Usage(
                "--tenant is required: your token is not bound to a tenant. `keywright tenant list` shows them".into(),
            )),
            tenant => Ok(tenant.to_owned()),
        }
    }

    /// Without a terminal a confirmation must be given; said before anything is sent.
    pub fn need_confirm(&self, given: Option<&String>, id: &str) -> Result<()> {
        if given.is_some() || self.prompt.is_terminal() {
            return Ok(());
        }
        Err(CliError::Usage(format!(
            "--confirm {id} is required: there is no terminal to ask at. It confirms this operation on {id}"
        )))
    }

    /// A warning and a yes; answers the confirmation to send: what was given, else the id.
    pub async fn agree(
        &self,
        given: Option<String>,
        id: &str,
        warning: &str,
        question: &str,
    ) -> Result<String> {
        self.out.note(warning);
        if let Some(given) = given {
            return Ok(given);
        }
        self.prompt.agree(question, "--confirm").await?;
        Ok(id.to_owned())
    }
}

/// The profiles file, and the session that arguments and environment choose.
pub struct Setup {
    pub env: Environment,
    pub global: Global,
    pub store: Store,
    pub profiles: Profiles,
}

impl Setup {
    pub fn new(global: Global, out: Output) -> Result<Self> {
        let env = Environment::of_process();
        let store = Store::new(&env);
        let profiles = store.load()?;
        if store.is_exposed() {
            out.note(&format!(
                "warning: {} can be read by others: chmod 600 {}",
                store.path().display(),
                store.path().display()
            ));
        }
        Ok(Self { env, global, store, profiles })
    }

    pub fn session(&self) -> Result<Session> {
        self.profiles.session(self.global.url.as_deref(), self.global.profile.as_deref(), &self.env)
    }

    pub fn login_session(&self) -> Result<Session> {
        self.profiles.login_session(self.global.url.as_deref(), self.global.profile.as_deref(), &self.env)
    }
}

/// The `hosts` of an access.
pub fn hosts(access: &Value) -> &[Value] {
    fields::list(access, "/hosts")
}
