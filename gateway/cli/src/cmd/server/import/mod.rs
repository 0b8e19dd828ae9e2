//! `keywright server import`

mod ways;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use clap::Args;
use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::args::{PageArgs, TenantArg, label};
use crate::client::{Answer, Body};
use crate::error::{CliError, Result};
use crate::fields;
use crate::files;
use crate::import::{self, Format, Found, Listed, is_same_host};
use crate::output::view::server as view;
use ways::Way;

/// So often the same request is sent again where the gateway has no time: its idempotency key makes it the same one.
const PATIENCE: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Args)]
#[command(after_help = "Examples:
  keywright server import ~/.ssh/config --format ssh-config --tenant ten_… --dry-run
  ansible-inventory -i production --list | keywright server import - --format ansible --tenant ten_… --dry-run
  keywright server import hosts.csv --format csv --tenant ten_… --known-hosts-file ~/.ssh/known_hosts --confirm 42

A server that is registered already (the same host and port) is passed over, so the same file can be imported again.
ProxyJump (one name) and the CSV's column jumpHost become the server's jump host: one of the same file, or a registered one.
Nothing is connected to. Servers without host keys are unpinned: approve theirs with `server host-key approve`.")]
pub struct Import {
    /// What to read; `-` is the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What kind of file it is
    #[arg(long, value_enum)]
    format: Format,
    #[command(flatten)]
    tenant: TenantArg,
    /// Show what would be registered, and register nothing
    #[arg(long)]
    dry_run: bool,
    /// Host keys for servers that the file has none for, as known_hosts text
    #[arg(long, value_name = "FILE")]
    known_hosts_file: Option<PathBuf>,
    /// The group of servers that the file gives none
    #[arg(long)]
    group: Option<String>,
    /// A label for all of them, key=value; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Confirm by the number of servers that a dry run shows; required without a terminal
    #[arg(long, value_name = "COUNT")]
    confirm: Option<String>,
}

/// What becomes of a server of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    New,
    Registered {
        id: String,
    },
    /// The id of the server that is there already.
    There {
        id: String,
    },
    Failed {
        reason: String,
        why: String,
    },
}

impl Fate {
    const fn word(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Registered { .. } => "registered",
            Self::There { .. } => "there already",
            Self::Failed { .. } => "failed",
        }
    }
}

struct Row {
    server: Found,
    fate: Fate,
    way: Way,
    /// By which other rows know it.
    number: usize,
}

impl Import {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let mut listed = self.read()?;
        let tenant = app.tenant(&self.tenant).await?;
        let all = PageArgs { limit: 1, all: true, page_token: None };
        let there = app.client.list(&["api", "servers"], &[("tenantId", Some(&tenant))], &all).await?;
        let mut rows = judged(&mut listed, there.items());
        let new = rows.iter().filter(|row| row.fate == Fate::New).count();
        let mut stopped = None;
        if !self.dry_run && new > 0 {
            self.confirm(app, &rows, new).await?;
            for at in ways::in_order(&rows) {
                let Some(row) = rows.get(at) else { continue };
                let fate = match ways::jump_host(&rows, row) {
                    Some(jump_host) => register(app, &tenant, &row.server, jump_host).await,
                    None => Ok(ways::blocked(&row.server)),
                };
                match (fate, rows.get_mut(at)) {
                    (Ok(fate), Some(row)) => row.fate = fate,
                    (Err(error), _) => {
                        stopped = Some(error);
                        break;
                    }
                    _ => {}
                }
            }
        }
        let answer = Answer::of(told(&rows, &listed, self.dry_run));
        app.out.answer(&answer, view::imported(&answer.value));
        if let Some(error) = stopped {
            app.out.note("What is new above was not registered. Import the same file again: what is there is passed over.");
            return Err(error);
        }
        let failed = rows.iter().filter(|row| matches!(row.fate, Fate::Failed { .. })).count();
        if failed > 0 {
            return Err(CliError::WorkFailed(format!(
                "{failed} of {new} servers were not registered. Once the cause is mended, import the same file again"
            )));
        }
        if self.dry_run {
            app.out.news(&format!(
                "Nothing was registered. Without --dry-run {new} servers are: --confirm {new}"
            ));
        }
        Ok(())
    }

    /// The file, with what the arguments add to it.
    fn read(&self) -> Result<Listed> {
        let wrong =
            |why: String| CliError::Usage(format!("{} cannot be imported: {why}", self.file.display()));
        let text = files::read_text(&self.file, "file of servers")?;
        let mut listed = import::read(self.format, &text).map_err(wrong)?;
        if let Some(file) = &self.known_hosts_file {
            let text = files::read_text(file, "known hosts file")?;
            listed.pin_from(&import::read(Format::KnownHosts, &text).map_err(wrong)?);
        }
        for server in &mut listed.found {
            if let Some(group) = self.group.as_ref().filter(|_| server.group.is_empty()) {
                server.group.clone_from(group);
            }
            server.labels.extend(self.labels.iter().cloned());
        }
        Ok(listed)
    }

    async fn confirm(&self, app: &App<'_>, rows: &[Row], new: usize) -> Result<()> {
        let count = new.to_string();
        match self.confirm.as_deref().map(str::trim) {
            Some(given) if given == count => return Ok(()),
            Some(given) => {
                return Err(CliError::Usage(format!(
                    "--confirm {given} is not the number of servers to register, which is {count}: look at --dry-run"
                )));
            }
            None => app.need_confirm(None, &count)?,
        }
        let pinned =
            rows.iter().filter(|row| row.fate == Fate::New && !row.server.host_keys.is_empty()).count();
        let warning = format!("{count} servers are new, {pinned} of them with host keys.");
        app.agree(None, &count, &warning, &format!("Register {count} servers?")).await.map(drop)
    }
}

/// What there is, by host and port; and what the file names twice, or by a name that another server has, or that cannot
/// be reached, is skipped.
fn judged(listed: &mut Listed, there: &[Value]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut names: HashMap<String, usize> = HashMap::new();
    for server in std::mem::take(&mut listed.found) {
        let is_it =
            |host: &str, port: i64| port == i64::from(server.port) && is_same_host(host, &server.host);
        let same = there.iter().find(|it| is_it(fields::text(it, "/host"), fields::number(it, "/port")));
        let twice = rows.iter().find(|row| is_it(&row.server.host, i64::from(row.server.port)));
        if let Some(twice) = twice {
            names.entry(server.name.clone()).or_insert(twice.number);
            let why =
                format!("it is the same as {}: {} port {}", twice.server.name, server.host, server.port);
            listed.skipped.push(import::Skipped { entry: server.name, why });
            continue;
        }
        let named = |name: &str| name == server.name;
        let taken = same.is_none()
            && (there.iter().any(|it| named(fields::text(it, "/name")))
                || rows.iter().any(|row| named(&row.server.name)));
        if taken {
            let why = "another server has this name: rename one of them".to_owned();
            listed.skipped.push(import::Skipped { entry: server.name, why });
            continue;
        }
        let fate = match same {
            Some(same) => Fate::There { id: fields::text(same, "/id").to_owned() },
            None => Fate::New,
        };
        let number = rows.len();
        names.entry(server.name.clone()).or_insert(number);
        rows.push(Row { server, fate, way: Way::Direct, number });
    }
    ways::lead(rows, &names, listed, there)
}

/// A refusal of this one server is its fate; what would meet the next one too is an error.
async fn register(app: &App<'_>, tenant: &str, server: &Found, jump_host: &str) -> Result<Fate> {
    let labels: Map<String, Value> =
        server.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    let through = server.jump_host.as_deref().unwrap_or_default();
    let what = format!("{tenant}\n{}\n{}\n{}\n{through}\n{jump_host}", server.name, server.host, server.port);
    let key = HEXLOWER.encode(digest(&SHA256, what.as_bytes()).as_ref());
    let mut body = Body::new()
        .put("tenantId", tenant)
        .put("name", server.name.as_str())
        .put("host", server.host.as_str())
        .put("port", server.port)
        .texts("hostKeys", &server.host_keys)
        .text("jumpHostId", Some(jump_host).filter(|id| !id.is_empty()))
        .text("group", Some(server.group.as_str()).filter(|group| !group.is_empty()))
        .put("idempotencyKey", format!("import-{key}"));
    if !labels.is_empty() {
        body = body.put("labels", labels);
    }
    let mut tries = 0;
    let answered = loop {
        match app.client.post(&["api", "servers"], &body).await {
            Err(error) if error.is_transient() && tries < PATIENCE => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            answered => break answered,
        }
    };
    match answered {
        Ok(answer) => Ok(Fate::Registered { id: fields::text(&answer.value, "/id").to_owned() }),
        Err(CliError::Api(error)) if matches!(error.http, 400 | 404 | 409 | 413) => {
            let error = CliError::Api(error);
            Ok(Fate::Failed { reason: error.reason().to_owned(), why: error.full_message() })
        }
        Err(error) => Err(error),
    }
}

fn told(rows: &[Row], listed: &Listed, dry_run: bool) -> Value {
    let item = |row: &Row| {
        let server = &row.server;
        let (id, reason, why) = match &row.fate {
            Fate::New => ("", "", ""),
            Fate::Registered { id } | Fate::There { id } => (id.as_str(), "", ""),
            Fate::Failed { reason, why } => ("", reason.as_str(), why.as_str()),
        };
        json!({
            "name": server.name, "host": server.host, "port": server.port, "group": server.group,
            "jumpHost": server.jump_host.as_deref().unwrap_or_default(),
            "hostKeys": server.host_keys, "result": row.fate.word(), "serverId": id, "reason": reason, "message": why,
        })
    };
    let skipped = listed.skipped.iter().map(|it| json!({"entry": it.entry, "why": it.why}));
    json!({
        "dryRun": dry_run,
        "items": rows.iter().map(item).collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
    })
}
