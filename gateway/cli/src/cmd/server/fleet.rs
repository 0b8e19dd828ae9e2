//! `keywright server test --all` and `keywright server fleet-test …`: tests of many servers, as they go.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::args::{PageArgs, id, label, seconds};
use crate::client::{Answer, Body, Followed, follow};
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::Count;
use crate::output::view::fleet as view;

const PATH: [&str; 3] = ["api", "fleet", "connectivity-tests"];

/// Which servers, and how many at once.
#[derive(Args)]
pub struct FleetArgs {
    /// Test every active server with its bound credential; narrowed by --tenant, --group, --label and --only
    #[arg(long, conflicts_with_all = ["server", "host", "credential", "username", "private_key_file"])]
    pub all: bool,
    /// With --all: only this tenant's, `ten_…`; by default yours, or for an operator all
    #[arg(long, value_name = "ID", value_parser = id, requires = "all")]
    tenant: Option<String>,
    /// With --all: only this group's
    #[arg(long, value_name = "NAME", requires = "all")]
    group: Option<String>,
    /// With --all: only servers that carry this label, key=value. Repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label, requires = "all")]
    labels: Vec<(String, String)>,
    /// With --all: only this server, `srv_…`. Repeatable
    #[arg(long = "only", value_name = "SERVER_ID", value_parser = id, requires = "all")]
    servers: Vec<String>,
    /// With --all: tests at once; default 32
    #[arg(long, value_name = "N", requires = "all", value_parser = clap::value_parser!(u32).range(1..=200))]
    parallel: Option<u32>,
    /// With --all: of them on one host; default 2
    #[arg(long, value_name = "N", requires = "all", value_parser = clap::value_parser!(u32).range(1..=100))]
    per_host: Option<u32>,
    /// With --all: of them in one network (an IPv4 /24, an IPv6 /64); default 16
    #[arg(long, value_name = "N", requires = "all", value_parser = clap::value_parser!(u32).range(1..=200))]
    per_network: Option<u32>,
    /// With --all: why, for the audit log
    #[arg(long, value_name = "TEXT", requires = "all")]
    reason: Option<String>,
    /// With --all: do not wait for the end
    #[arg(long, requires = "all")]
    no_wait: bool,
    /// With --all: how long to follow, as in 90m
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds, requires = "all")]
    wait_timeout: u64,
    /// With --all: with the same key and request the gateway answers its first answer again
    #[arg(long, value_name = "KEY", requires = "all")]
    idempotency_key: Option<String>,
}

#[derive(Subcommand)]
pub enum Command {
    /// List tests of many servers, newest first
    List {
        /// Only this tenant's, `ten_…`
        #[arg(long, value_name = "ID", value_parser = id)]
        tenant: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show one, with how long each stage took
    Show {
        /// `ftest_…`
        #[arg(value_name = "FLEET_TEST_ID", value_parser = id)]
        test: String,
    },
    /// List its servers with their results
    Targets {
        /// `ftest_…`
        #[arg(value_name = "FLEET_TEST_ID", value_parser = id)]
        test: String,
        /// Only those that stand so
        #[arg(long, value_enum)]
        state: Option<State>,
        /// Only those with this result
        #[arg(long, value_enum)]
        status: Option<Status>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Follow one to its end. Exit code 0 when every server is HEALTHY, 9 otherwise
    Watch {
        /// `ftest_…`
        #[arg(value_name = "FLEET_TEST_ID", value_parser = id)]
        test: String,
        /// How long to follow, as in 90m
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
        wait_timeout: u64,
    },
    /// Begin no further test; what runs, goes on
    Cancel {
        /// `ftest_…`
        #[arg(value_name = "FLEET_TEST_ID", value_parser = id)]
        test: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub enum State {
    /// Its turn has not come
    Pending,
    /// It is tested now
    Running,
    /// It has a result
    Tested,
    /// It could not be tested: see its reason
    Skipped,
    /// The fleet test was cancelled before
    Cancelled,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Status {
    /// All checks passed
    Healthy,
    /// It logged in, then something failed
    Degraded,
    /// No login
    Unreachable,
}

/// As the API writes it.
pub fn wire(value: Option<impl ValueEnum>) -> Option<String> {
    value.and_then(|value| value.to_possible_value()).map(|value| value.get_name().to_owned())
}

impl FleetArgs {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let labels: Map<String, Value> =
            self.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let selector = json!({
            "tenantId": self.tenant.unwrap_or_default(),
            "group": self.group.unwrap_or_default(),
            "labels": labels,
            "serverIds": self.servers,
        });
        let plan = json!({
            "maxParallel": self.parallel.unwrap_or_default(),
            "maxPerHost": self.per_host.unwrap_or_default(),
            "maxPerNetwork": self.per_network.unwrap_or_default(),
        });
        let body = Body::new()
            .put("selector", selector)
            .put("plan", plan)
            .text("reason", self.reason.as_deref())
            .text("idempotencyKey", self.idempotency_key.as_deref());
        let answer = app.client.post(&PATH, &body).await?;
        let test = fields::text(&answer.value, "/id").to_owned();
        if self.no_wait {
            app.out.news(&format!("Follow it with: keywright server fleet-test watch {test}"));
            show(app, &answer);
            return Ok(());
        }
        let servers = fields::number(&answer.value, "/targetCount");
        app.out.news(&format!("Fleet test {test}: {servers} servers."));
        watch(app, &test, self.wait_timeout).await
    }
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::List { tenant, page } => {
            let page = app.client.list(&PATH, &[("tenantId", tenant.as_deref())], &page).await?;
            app.out.page(&page, view::list(page.items()));
            Ok(())
        }
        Command::Show { test } => {
            let answer = app.client.get(&of(&test)).await?;
            show(app, &answer);
            Ok(())
        }
        Command::Targets { test, state, status, page } => {
            let (state, status) = (wire(state), wire(status));
            let filter = [("state", state.as_deref()), ("status", status.as_deref())];
            let [api, fleet, tests, id] = of(&test);
            let page = app.client.list(&[api, fleet, tests, id, "targets"], &filter, &page).await?;
            app.out.page(&page, view::targets(page.items()));
            Ok(())
        }
        Command::Watch { test, wait_timeout } => watch(app, &test, wait_timeout).await,
        Command::Cancel { test } => {
            let [api, fleet, tests, id] = of(&test);
            let answer = app.client.post(&[api, fleet, tests, id, "cancel"], &Body::new()).await?;
            show(app, &answer);
            Ok(())
        }
    }
}

fn of(test: &str) -> [&str; 4] {
    let [api, fleet, tests] = PATH;
    [api, fleet, tests, test]
}

fn show(app: &App<'_>, answer: &Answer) {
    app.out.answer(answer, view::one(&answer.value));
}

/// Shows a fleet test as it goes, how it ended, and the servers that are not healthy.
async fn watch(app: &App<'_>, id: &str, wait_timeout: u64) -> Result<()> {
    app.interrupts.hint(&format!(
        "The test goes on in Keywright. Follow it with: keywright server fleet-test watch {id}, \
         or end it with: keywright server fleet-test cancel {id}"
    ));
    let progress = Count::new(app.out, "servers tested");
    let deadline = Instant::now() + Duration::from_secs(wait_timeout);
    let mut last = String::new();
    let followed = follow(&app.client, of(id), deadline, |test| {
        let (done, all) = progress_of(test);
        progress.set(done, all);
        let line = view::line(test);
        if line != last && !progress.is_drawn() {
            app.out.news(&format!("  {line}"));
        }
        last = line;
        fields::text(test, "/state") != "running" && fields::number(test, "/running") == 0
    })
    .await;
    drop(progress);
    if followed? == Followed::TimedOut {
        app.out.news("The time to wait is up; the test goes on.");
    }
    let answer = app.client.get(&of(id)).await?;
    app.interrupts.hint("");
    show(app, &answer);
    verdict(&answer.value)
}

/// How many servers need nothing further, of how many.
fn progress_of(test: &Value) -> (usize, usize) {
    let all = fields::number(test, "/targetCount");
    let open = fields::number(test, "/pending").saturating_add(fields::number(test, "/running"));
    let size = |number: i64| usize::try_from(number).unwrap_or_default();
    (size(all.saturating_sub(open)), size(all))
}

/// # Errors
/// `Unproven` unless every server was found HEALTHY.
fn verdict(test: &Value) -> Result<()> {
    let (id, state) = (fields::text(test, "/id"), fields::word(test, "/state"));
    let all = fields::number(test, "/targetCount");
    match fields::number(test, "/healthy") {
        healthy if healthy == all && state == "FINISHED" => Ok(()),
        healthy if state == "FINISHED" => Err(CliError::Unproven(format!(
            "{} of {all} servers are not HEALTHY: keywright server fleet-test targets {id}",
            all.saturating_sub(healthy)
        ))),
        healthy => Err(CliError::Unproven(format!(
            "the fleet test is {state}; {healthy} of {all} servers are HEALTHY so far"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_healthy_fleet_ends_with_zero() {
        let cases = [("finished", 3, 0), ("finished", 2, 9), ("running", 1, 9), ("cancelled", 1, 9)];
        for (state, healthy, code) in cases {
            let test = json!({"id": "ftest_1", "state": state, "targetCount": 3, "healthy": healthy});
            let result = verdict(&test);
            assert_eq!(result.map_or_else(|error| error.exit().code(), |()| 0), code, "{state} {healthy}");
        }
    }

    #[test]
    fn progress_counts_what_has_ended() {
        assert_eq!(progress_of(&json!({"targetCount": 9, "pending": 2, "running": 3, "skipped": 1})), (4, 9));
    }
}
