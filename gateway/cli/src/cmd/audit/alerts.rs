//! `keywright audit alerts …`

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value};

use super::filter::Outcome;
use crate::app::App;
use crate::args::{PageArgs, id, seconds};
use crate::client::Body;
use crate::error::{CliError, Result};
use crate::fields::{list, text};
use crate::output::view::audit as view;

#[derive(Subcommand)]
pub enum Command {
    /// List alerts, newest first
    #[command(after_help = "Example:
  keywright audit alerts list --state open")]
    List(List),
    /// Say that you have seen an alert and deal with it
    #[command(after_help = "Example:
  keywright audit alerts ack alt_… --comment 'a deployment with an old token; replaced'")]
    Ack {
        /// `alt_…`
        #[arg(value_name = "ALERT_ID", value_parser = id)]
        alert: String,
        /// What is done about it
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
    },
    /// List the rules: those that Keywright brings, and yours
    Rules,
    /// Make a rule, or change what is given of one
    #[command(after_help = "Examples:
  keywright audit alerts set-rule many-downloads --action access.download --by actor --threshold 5 --window 1h
  keywright audit alerts set-rule night-sessions --action 'session.*' --hours 02:00-06:00
  keywright audit alerts set-rule many-downloads --disable

What is not given stays as it is; of a rule that Keywright brings the threshold, the window and whether it is on can be
changed. A new rule needs --action.")]
    SetRule(Box<SetRule>),
    /// Delete a rule of yours, or put one that Keywright brings back to its default
    DeleteRule {
        /// Its name
        #[arg(value_name = "RULE_ID", value_parser = id)]
        rule: String,
    },
}

#[derive(Args)]
pub struct List {
    /// Only those that stand so
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only of this rule
    #[arg(long, value_name = "RULE_ID", value_parser = id)]
    rule: Option<String>,
    /// Only this tenant's
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args)]
pub struct SetRule {
    /// Its name: lower-case letters, digits and hyphens
    #[arg(value_name = "RULE_ID", value_parser = id)]
    rule: String,
    /// An action it counts, or `session.*` for all that begin so; may be repeated
    #[arg(long = "action", value_name = "NAME")]
    actions: Vec<String>,
    /// Only with this outcome
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
    /// Only with this error reason, as in `INVALID_TOKEN`
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// What it counts by
    #[arg(long, value_enum)]
    by: Option<Subject>,
    /// So many raise it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    threshold: Option<u32>,
    /// Within so long: 90s, 5m, 1h or 7d
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    window: Option<u64>,
    /// Only between these hours of the tenant's day, as in 02:00-06:00; empty for any
    #[arg(long, value_name = "HH:MM-HH:MM")]
    hours: Option<String>,
    /// In plain words
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Do not watch for it
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Watch for it
    #[arg(long)]
    enable: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum State {
    Open,
    Acknowledged,
}

impl State {
    const fn wire(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Subject {
    Actor,
    Target,
    Source,
    Tenant,
}

impl Subject {
    const fn wire(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Target => "target",
            Self::Source => "source",
            Self::Tenant => "tenant",
        }
    }
}

const ALERTS: [&str; 3] = ["api", "audit", "alerts"];
const RULES: [&str; 3] = ["api", "audit", "alert-rules"];

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::List(List { state, rule, tenant, page }) => {
            let filter = [
                ("tenantId", tenant.as_deref()),
                ("state", state.map(State::wire)),
                ("ruleId", rule.as_deref()),
            ];
            let page = app.client.list(&ALERTS, &filter, &page).await?;
            app.out.page(&page, view::alerts(page.items()));
        }
        Command::Ack { alert, comment } => {
            let path = ["api", "audit", "alerts", &alert, "acknowledge"];
            let body = Body::new().text("comment", comment.as_deref());
            let answer = app.client.post(&path, &body).await?;
            app.out.answer(&answer, vec![view::alert(&answer.value)]);
        }
        Command::Rules => {
            let answer = app.client.get(&RULES).await?;
            app.out.answer(&answer, vec![view::rules(&answer.value)]);
        }
        Command::SetRule(command) => command.run(app).await?,
        Command::DeleteRule { rule } => {
            let answer = app.client.delete(&["api", "audit", "alert-rules", &rule]).await?;
            app.out.answer(&answer, Vec::new());
            app.out.news(&format!("{rule} is deleted, or as Keywright brings it."));
        }
    }
    Ok(())
}

impl SetRule {
    async fn run(self, app: &App<'_>) -> Result<()> {
        let rules = app.client.get(&RULES).await?.value;
        let held = list(&rules, "/items").iter().find(|rule| text(rule, "/id") == self.rule);
        if held.is_none() && self.actions.is_empty() {
            return Err(CliError::Usage(format!("there is no rule {}: a new one needs --action", self.rule)));
        }
        let body = Value::Object(self.changed(held));
        let answer = app.client.put(&["api", "audit", "alert-rules", &self.rule], &body).await?;
        app.out.answer(&answer, vec![view::rule(&answer.value)]);
        Ok(())
    }

    /// The rule as it is to be: what was given, over what it is.
    fn changed(&self, held: Option<&Value>) -> Map<String, Value> {
        let mut rule = held.and_then(Value::as_object).cloned().unwrap_or_default();
        // What the gateway alone says, and values that say nothing.
        rule.retain(|name, value| !matches!(name.as_str(), "id" | "builtIn") && *value != "unspecified");
        let given = [
            ("actions", (!self.actions.is_empty()).then(|| self.actions.clone().into())),
            ("outcome", self.outcome.map(|outcome| outcome.wire().into())),
            ("reason", self.reason.as_deref().map(Value::from)),
            ("subject", self.by.map(|by| by.wire().into())),
            ("threshold", self.threshold.map(Value::from)),
            ("windowSeconds", self.window.map(Value::from)),
            ("hours", self.hours.as_deref().map(Value::from)),
            ("description", self.description.as_deref().map(Value::from)),
            ("disabled", (self.disable || self.enable).then(|| self.disable.into())),
        ];
        rule.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        rule
    }
}
