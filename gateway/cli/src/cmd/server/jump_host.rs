//! `keywright server jump-host`

use clap::Args;

use crate::app::App;
use crate::args::id;
use crate::client::Body;
use crate::error::Result;
use crate::output::view::server as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright server jump-host srv_DB srv_BASTION
  keywright server jump-host srv_DB --none

The jump host is a server of the same tenant, with a bound credential and approved host keys, whose account may forward
connections (AllowTcpForwarding in sshd_config, no `restrict` on its key). It may have a jump host itself, four in a row at
most. Whether the way works, a test tells:
  keywright server test srv_DB")]
pub struct JumpHost {
    /// `srv_…`, the server that is reached
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// `srv_…`, the server through which it is reached
    #[arg(value_name = "JUMP_HOST_ID", value_parser = id, required_unless_present = "none")]
    jump_host: Option<String>,
    /// It is reached directly
    #[arg(long, conflicts_with = "jump_host")]
    none: bool,
}

impl JumpHost {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let body = Body::new().put("jumpHostId", self.jump_host.unwrap_or_default());
        let answer = app.client.put(&["api", "servers", &self.server, "jump-host"], &body).await?;
        app.out.answer(&answer, view::one(&answer.value));
        app.out.news(&format!("Whether it is reached that way: keywright server test {}", self.server));
        Ok(())
    }
}
