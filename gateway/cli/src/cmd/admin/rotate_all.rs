//! `keywright admin rotate-all`: first what would happen, then the typed count, then a campaign.

use clap::Args;
use serde_json::{Map, Value, json};

use super::campaign;
use crate::app::App;
use crate::args::{IdempotencyArg, duration, id, label};
use crate::client::{Answer, Body};
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::view::campaign as view;

const PATH: [&str; 3] = ["api", "admin", "campaigns"];

#[derive(Args)]
#[command(
    group = clap::ArgGroup::new("which").required(true).multiple(false).args(["every", "overdue", "due_soon", "access"]),
    after_help = "Examples:
  keywright admin rotate-all --overdue --dry-run
  keywright admin rotate-all --overdue
  keywright admin rotate-all --all --label plan=gold --canary 5 --soak 30m --growth 3 --failure-budget 2%
  keywright admin rotate-all --access acc_… --access acc_… --confirm 2 --watch

On a terminal the accesses are shown first, and their count is asked for. Without a terminal the count is given with
--confirm; a dry run says it. If the accesses have become more or fewer meanwhile, nothing happens.
A first wave of a few, then a wait, then larger and larger waves. When too many fail it pauses by itself. A host that is
down neither counts nor blocks: it is tried again until --catch-up is over.")]
pub struct RotateAll {
    /// Every access in use
    #[arg(id = "every", long = "all")]
    every: bool,
    /// Those past their maximum age
    #[arg(long)]
    overdue: bool,
    /// Those due within 7 days, and the overdue
    #[arg(long)]
    due_soon: bool,
    /// This access, `acc_…`. Repeatable
    #[arg(long, value_name = "ID", value_parser = id)]
    access: Vec<String>,
    /// Only this tenant's, `ten_…`
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    /// Only tenants that carry this label, key=value. Repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Accesses of the first wave
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    canary: u32,
    /// How long to wait after each wave, as in 10m or 1d
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    soak: String,
    /// How many times larger each wave is than the one before
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10))]
    growth: u32,
    /// Rotations at once
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    parallel: u32,
    /// It pauses when more of the finished accesses than this failed
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    failure_budget: u32,
    /// How long hosts that are down are tried again
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    catch_up: String,
    /// How long the old keys stay valid, as in 2h or 7d; default: as each policy says
    #[arg(long, value_name = "TIME", value_parser = duration)]
    grace: Option<String>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only say what would happen
    #[arg(long, conflicts_with_all = ["confirm", "watch"])]
    dry_run: bool,
    /// Confirm by the exact number of accesses; required without a terminal
    #[arg(long, value_name = "COUNT")]
    confirm: Option<u64>,
    /// Follow it until it ends or pauses
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    idempotency: IdempotencyArg,
}

/// `5%` or `5`.
fn percent(raw: &str) -> Result<u32, String> {
    let digits = raw.trim().trim_end_matches('%');
    digits.parse().ok().filter(|number| *number <= 100).ok_or_else(|| "write a percentage: 5%".to_owned())
}

impl RotateAll {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        if self.confirm.is_none() && !self.dry_run && !app.prompt.is_terminal() {
            let what = "--confirm is required: there is no terminal to ask at. --dry-run says the number";
            return Err(CliError::Usage(what.to_owned()));
        }
        let confirmed = match self.confirm {
            Some(count) => count,
            None => {
                let preview = app.client.post(&PATH, &self.body().flag("dryRun", true)).await?;
                if self.dry_run {
                    app.out.answer(&preview, view::preview(&preview.value));
                    return Ok(());
                }
                self.ask(app, &preview).await?
            }
        };
        let body = self
            .body()
            .put("confirmation", json!({"targetCount": confirmed}))
            .text("idempotencyKey", self.idempotency.idempotency_key.as_deref());
        let begun = app.client.post(&PATH, &body).await?;
        let id = fields::text(&begun.value, "/id");
        if self.watch {
            return campaign::watch(app, id, 7 * 24 * 3600).await;
        }
        app.out.answer(&begun, view::one(&begun.value));
        app.out.news(&format!("Follow it with: keywright admin campaign watch {id}"));
        Ok(())
    }

    /// Shows what would happen and has the count typed.
    async fn ask(&self, app: &App<'_>, preview: &Answer) -> Result<u64> {
        app.out.aside(&view::preview(&preview.value));
        match u64::try_from(fields::number(&preview.value, "/targetCount")).unwrap_or_default() {
            0 => Err(CliError::Usage("there is nothing to rotate now".to_owned())),
            count => app.prompt.type_count(count, "--confirm").await,
        }
    }

    fn body(&self) -> Body {
        let labels: Map<String, Value> =
            self.labels.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        let selector = json!({
            "all": self.every,
            "overdue": self.overdue,
            "dueSoon": self.due_soon,
            "accessIds": self.access,
            "labels": labels,
            "tenantId": self.tenant.as_deref().unwrap_or_default(),
        });
        let plan = json!({
            "canary": self.canary,
            "soak": self.soak,
            "growth": self.growth,
            "maxParallel": self.parallel,
            "failureBudgetPercent": self.failure_budget,
            "catchUp": self.catch_up,
        });
        Body::new()
            .put("selector", selector)
            .put("plan", plan)
            .text("gracePeriod", self.grace.as_deref())
            .text("reason", self.reason.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_percentage() {
        assert_eq!((percent("5%"), percent("0"), percent(" 100% ")), (Ok(5), Ok(0), Ok(100)));
        for wrong in ["", "%", "101%", "-1", "5 %%x"] {
            assert!(percent(wrong).is_err(), "{wrong:?}");
        }
    }
}
