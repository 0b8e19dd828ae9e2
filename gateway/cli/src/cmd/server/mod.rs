//! `keywright server …`

mod agent_test;
mod algorithms;
mod bind;
mod delete;
mod fleet;
mod heartbeat;
mod host_key;
mod import;
mod jump_host;
mod keys;
mod lifecycle;
mod manage;
mod management;
mod register;
pub mod test;

use clap::Subcommand;

use crate::app::App;
use crate::args::id;
use crate::cmd::credential;
use crate::error::Result;
use crate::output::view::server as view;

#[derive(Subcommand)]
pub enum Command {
    /// Register a server
    Register(register::Register),
    /// Register the servers of an ssh_config, an Ansible inventory, known_hosts or CSV
    Import(import::Import),
    /// List servers, newest first
    List(lifecycle::List),
    /// Show a server
    Show {
        /// `srv_…`
        #[arg(value_name = "SERVER_ID", value_parser = id)]
        server: String,
    },
    /// Rename a server
    Rename(lifecycle::Rename),
    /// Set through which server a server is reached, or that it is reached directly
    JumpHost(jump_host::JumpHost),
    /// Take a server out of use, for good; revocations and removals still reach it
    Deactivate(lifecycle::Deactivate),
    /// What stands in the way of a deletion?
    DeleteCheck {
        /// `srv_…`
        #[arg(value_name = "SERVER_ID", value_parser = id)]
        server: String,
    },
    /// Delete a server that nothing uses
    Delete(delete::Delete),
    /// Bind a saved credential to a server, or unbind it
    #[command(subcommand)]
    Credential(bind::Command),
    /// Install Keywright's own management key by a first login
    Manage(manage::Manage),
    /// Show Keywright's own key on a server, and those that it replaced
    Management(management::Show),
    /// Replace Keywright's own key on a server
    RotateManagement(management::Rotate),
    /// Let a server leave Keywright: tenants' keys keep working there
    Release(management::Release),
    /// Who can get in: every key of every account, judged; and other ways in
    Keys(keys::Keys),
    /// Test a login in nine stages
    #[command(visible_alias = "doctor")]
    Test(test::Test),
    /// Tests of many servers: list, show, follow, cancel; begun by `test --all`
    #[command(subcommand)]
    FleetTest(fleet::Command),
    /// Tests that repeat: how servers are, what is down, and how that changed
    #[command(subcommand)]
    Heartbeat(heartbeat::Command),
    /// List a server's tests, newest first
    TestList(test::TestList),
    /// Host keys: look, approve, re-pin, remove, trust an authority
    #[command(subcommand)]
    HostKey(host_key::Command),
    /// Which algorithms a server offers, how good they are, and what to change
    Algorithms(algorithms::Algorithms),
    /// Save a private key as a credential
    CredentialCreate(credential::create::Create),
    /// List saved credentials, newest first
    CredentialList(credential::read::List),
    /// Show a saved credential, without its key
    CredentialShow(credential::read::Show),
    /// Who uses a saved credential?
    CredentialUsage(credential::read::Usage),
    /// Replace the key of a saved credential; id and references stay
    CredentialRotate(credential::rotate::Rotate),
    /// Change a saved credential's name or certificate, or whether internal services may be given its key
    CredentialUpdate(credential::update::Update),
    /// Move servers from a saved credential to another one
    CredentialSwitch(credential::switch::Switch),
    /// Delete an unused saved credential and destroy its key
    CredentialDelete(credential::delete::Delete),
    /// Check a private key; nothing is stored
    CredentialValidate(credential::validate::Validate),
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Register(command) => command.run(app).await,
        Command::Import(command) => command.run(app).await,
        Command::List(command) => command.run(app).await,
        Command::Show { server } => {
            let answer = app.client.get(&["api", "servers", &server]).await?;
            app.out.answer(&answer, view::one(&answer.value));
            Ok(())
        }
        Command::Rename(command) => command.run(app).await,
        Command::JumpHost(command) => command.run(app).await,
        Command::Deactivate(command) => command.run(app).await,
        Command::DeleteCheck { server } => {
            let answer = app.client.get(&["api", "servers", &server, "delete-check"]).await?;
            app.out.answer(&answer, view::delete_check(&answer.value));
            Ok(())
        }
        Command::Delete(command) => command.run(app).await,
        Command::Credential(command) => bind::run(command, app).await,
        Command::Manage(command) => command.run(app).await,
        Command::Management(command) => command.run(app).await,
        Command::RotateManagement(command) => command.run(app).await,
        Command::Release(command) => command.run(app).await,
        Command::Keys(command) => command.run(app).await,
        Command::Test(command) => command.run(app).await,
        Command::FleetTest(command) => fleet::run(command, app).await,
        Command::Heartbeat(command) => heartbeat::run(command, app).await,
        Command::TestList(command) => command.run(app).await,
        Command::HostKey(command) => host_key::run(command, app).await,
        Command::Algorithms(command) => command.run(app).await,
        Command::CredentialCreate(command) => command.run(app).await,
        Command::CredentialList(command) => command.run(app).await,
        Command::CredentialShow(command) => command.run(app).await,
        Command::CredentialUsage(command) => command.run(app).await,
        Command::CredentialRotate(command) => command.run(app).await,
        Command::CredentialUpdate(command) => command.run(app).await,
        Command::CredentialSwitch(command) => command.run(app).await,
        Command::CredentialDelete(command) => command.run(app).await,
        Command::CredentialValidate(command) => command.run(app).await,
    }
}
