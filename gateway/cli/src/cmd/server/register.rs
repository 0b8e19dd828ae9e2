//! `keywright server register`

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use crate::app::App;
use crate::args::{IdempotencyArg, id, label};
use crate::client::Body;
use crate::error::Result;
use crate::fields;
use crate::files;
use crate::output::view::server as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright server register --tenant ten_… --name web-1 --host 192.0.2.10
  ssh-keyscan web-1 | keywright server register --tenant ten_… --name web-1 --host web-1 --known-hosts-file -
  keywright server register --tenant ten_… --name web-1 --host web-1 --port 2222 --label env=prod --accept-new
  keywright server register --tenant ten_… --name db-1 --host 10.0.0.5 --jump-host srv_…

Without host keys the server is unpinned, and nothing logs in to it before its host keys are approved:
  keywright server host-key approve SERVER_ID

Behind a jump host the host's name is still resolved by Keywright, and the address is dialled by the jump host. The jump
host is a registered server with a bound credential and approved host keys. A known_hosts file may hold @cert-authority
lines: they pin the authority of host certificates.")]
pub struct Register {
    /// Its name, unique in the tenant; asked for on a terminal
    #[arg(long)]
    name: Option<String>,
    /// Host name, IPv4 or IPv6 address; asked for on a terminal
    #[arg(long)]
    host: Option<String>,
    /// TCP port; default 22
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The tenant; required for operators
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    /// The server through which it is reached, `srv_…`; without, it is reached directly
    #[arg(long, value_name = "ID", value_parser = id)]
    jump_host: Option<String>,
    /// Its group
    #[arg(long)]
    group: Option<String>,
    /// A label, key=value; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// A host key to pin, in OpenSSH form; may be repeated
    #[arg(long = "host-key", value_name = "PUBLIC KEY")]
    host_keys: Vec<String>,
    /// Host keys to pin, as known_hosts text (`ssh-keyscan` prints it); `-` is the standard input
    #[arg(long, value_name = "FILE")]
    known_hosts_file: Option<PathBuf>,
    /// Scan the server now and pin what it shows: trust on first use
    #[arg(long, conflicts_with_all = ["host_keys", "known_hosts_file"])]
    accept_new: bool,
    #[command(flatten)]
    idempotency: IdempotencyArg,
}

impl Register {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let name = app.prompt.text(self.name, "Name of the server", "--name").await?;
        let host = app.prompt.text(self.host, "Host name or address", "--host").await?;
        let known_hosts = self
            .known_hosts_file
            .as_deref()
            .map(|file| files::read_text(file, "known hosts file"))
            .transpose()?;
        let mut body = Body::new()
            .put("name", name)
            .put("host", host)
            .text("tenantId", self.tenant.as_deref())
            .text("jumpHostId", self.jump_host.as_deref())
            .text("group", self.group.as_deref())
            .texts("hostKeys", &self.host_keys)
            .text("knownHosts", known_hosts.as_ref().map(|text| text.as_str()))
            .flag("acceptNew", self.accept_new)
            .text("idempotencyKey", self.idempotency.idempotency_key.as_deref());
        if let Some(port) = self.port {
            body = body.put("port", port);
        }
        if !self.labels.is_empty() {
            let labels: Map<String, Value> =
                self.labels.into_iter().map(|(key, value)| (key, value.into())).collect();
            body = body.put("labels", labels);
        }
        let answer = app.client.post(&["api", "servers"], &body).await?;
        app.out.answer(&answer, view::one(&answer.value));
        if fields::list(&answer.value, "/hostKeys").is_empty() {
            let id = fields::text(&answer.value, "/id");
            app.out.news(&format!(
                "No host key is pinned yet. Look and approve: keywright server host-key approve {id}"
            ));
        }
        Ok(())
    }
}
