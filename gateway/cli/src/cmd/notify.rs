//! `keywright notify …`

use clap::{Args, Subcommand, ValueEnum};

use crate::app::App;
use crate::args::{PageArgs, id};
use crate::client::Body;
use crate::error::{CliError, Result};
use crate::fields::{text, time};
use crate::output::view::notify as view;

#[derive(Subcommand)]
pub enum Command {
    /// Tell somebody of what happens: a signed webhook or an e-mail address
    #[command(after_help = "Examples:
  keywright notify add webhook https://hooks.example.com/keywright --tenant ten_…
  keywright notify add email ops@example.com --event rotation.failed --event access.exposed
Events:
  rotation.started rotation.succeeded rotation.failed rotation.due grace.ending grace.extended key.expired
  access.revoked access.exposed campaign.paused campaign.finished drift.found server.state_changed
  server.host_key_mismatch server.host_key_resolved invitation.created audit.alert")]
    Add(Add),
    /// List who is told, newest first
    List(List),
    /// Send a test message now, and say how it went
    #[command(after_help = "Exit code 0: it arrived. 9: it did not; the answer says why.")]
    Test {
        /// `ntf_…`
        #[arg(value_name = "TARGET_ID", value_parser = id)]
        target: String,
    },
    /// Make another secret that signs a webhook; for a day the one before it signs too
    #[command(after_help = "Example:
  keywright notify rotate-secret ntf_…
For a day each message carries two signatures, so that the receiver can verify it by either secret: give it the
new one in that time, and no message is lost. Rotating again within the day drops the older of the two at once.
An e-mail address has no secret.")]
    RotateSecret {
        /// `ntf_…`
        #[arg(value_name = "TARGET_ID", value_parser = id)]
        target: String,
    },
    /// List what was sent in the last 30 days, newest first
    Deliveries(Deliveries),
    /// Tell him no more; what was not delivered is dropped
    Remove {
        /// `ntf_…`
        #[arg(value_name = "TARGET_ID", value_parser = id)]
        target: String,
    },
}

#[derive(Args)]
pub struct Add {
    /// How
    #[arg(value_enum)]
    kind: Kind,
    /// An https:// URL, or an e-mail address
    address: String,
    /// The tenant whose events it gets; by default yours, or for operators every tenant's
    #[arg(long, value_name = "ID", env = "KEYWRIGHT_TENANT", value_parser = id)]
    tenant: Option<String>,
    /// Only this event; may be repeated. Default: all
    #[arg(long = "event", value_name = "NAME")]
    events: Vec<String>,
}

#[derive(Args)]
pub struct List {
    /// Only this tenant's
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args)]
pub struct Deliveries {
    /// `ntf_…`
    #[arg(value_name = "TARGET_ID", value_parser = id)]
    target: String,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Kind {
    Webhook,
    Email,
}

impl Kind {
    const fn wire(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Email => "email",
        }
    }
}

const TARGETS: [&str; 2] = ["api", "notification-targets"];
const ONCE: &str =
    "The secret verifies each webhook's signature. It is not shown again: give it to the receiver.";

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Add(command) => add(command, app).await?,
        Command::List(List { tenant, page }) => {
            let page = app.client.list(&TARGETS, &[("tenantId", tenant.as_deref())], &page).await?;
            app.out.page(&page, view::targets(page.items()));
        }
        Command::Test { target } => {
            let path = ["api", "notification-targets", &target, "test"];
            let answer = app.client.post(&path, &Body::new()).await?;
            app.out.answer(&answer, view::delivery(&answer.value));
            if text(&answer.value, "/state") != "delivered" {
                return Err(CliError::Unproven("the test message did not arrive".to_owned()));
            }
        }
        Command::RotateSecret { target } => rotate_secret(&target, app).await?,
        Command::Deliveries(Deliveries { target, page }) => {
            let path = ["api", "notification-targets", &target, "deliveries"];
            let page = app.client.list(&path, &[], &page).await?;
            app.out.page(&page, view::deliveries(page.items()));
        }
        Command::Remove { target } => {
            let answer = app.client.delete(&["api", "notification-targets", &target]).await?;
            app.out.answer(&answer, Vec::new());
            app.out.news(&format!("{target} is told no more."));
        }
    }
    Ok(())
}

async fn add(command: Add, app: &App<'_>) -> Result<()> {
    let tenant = match command.tenant {
        Some(tenant) => tenant,
        None => text(&app.client.get(&["api", "whoami"]).await?.value, "/tenantId").to_owned(),
    };
    let body = Body::new()
        .text("tenantId", Some(tenant.as_str()).filter(|tenant| !tenant.is_empty()))
        .put("kind", command.kind.wire())
        .put("address", command.address.trim())
        .texts("events", &command.events);
    let answer = app.client.post(&TARGETS, &body).await?;
    app.out.answer(&answer, view::created(&answer.value));
    if !text(&answer.value, "/secret").is_empty() {
        app.out.news(ONCE);
    }
    Ok(())
}

async fn rotate_secret(target: &str, app: &App<'_>) -> Result<()> {
    let path = ["api", "notification-targets", target, "rotate-secret"];
    let answer = app.client.post(&path, &Body::new()).await?;
    app.out.answer(&answer, view::rotated(&answer.value));
    app.out.news(ONCE);
    let until = time(&answer.value, "/previousUntil");
    if until.is_empty() {
        app.out.news("The secret before it signs no more: the receiver can verify nothing without this one.");
    } else {
        app.out.news(&format!("Until {until} messages carry the signature of the secret before it too."));
    }
    Ok(())
}
