//! The commands, one file each. A command reads top-down: ask for what is missing, send, show.

pub mod access;
pub mod admin;
pub mod agent;
pub mod audit;
pub mod console;
pub mod credential;
pub mod doctor;
pub mod key;
pub mod krl;
pub mod member;
pub mod notify;
pub mod offboarding;
pub mod policy;
pub mod revocation;
pub mod rotation;
pub mod server;
pub mod session;
pub mod tenant;
pub mod tenant_lifecycle;
pub mod token;

use crate::app::{App, Setup};
use crate::cli::{Cli, Command};
use crate::error::Result;
use crate::interrupt::Interrupts;
use crate::output::Output;

pub async fn run(cli: Cli, out: &Output, interrupts: &Interrupts) -> Result<()> {
    let command = match cli.command {
        // Whoever verifies a log needs no gateway, no profile and no token.
        Command::Audit(command) => match *command {
            audit::Command::Verify(command) => return command.run(*out).await,
            command => Command::Audit(Box::new(command)),
        },
        command => command,
    };
    let setup = Setup::new(cli.global, *out)?;
    let command = match command {
        Command::Login(command) => return command.run(setup, *out, interrupts).await,
        Command::Logout(command) => return command.run(setup, *out, interrupts).await,
        Command::Doctor(command) => return command.run(&setup, *out, interrupts).await,
        Command::Agent(command) => return command.run(setup, *out, interrupts).await,
        command => command,
    };
    let app = App::new(setup.session()?, *out, interrupts)?;
    match command {
        Command::Tenant(command) => tenant::run(command, &app).await,
        Command::Token(command) => token::run(command, &app).await,
        Command::Console(command) => console::run(command, &app).await,
        Command::Whoami => session::whoami::run(&app).await,
        Command::Server(command) => server::run(*command, &app).await,
        Command::Access(command) => access::run(*command, &app).await,
        Command::Policy(command) => policy::run(command, &app).await,
        Command::Rotation(command) => rotation::run(command, &app).await,
        Command::Revocation(command) => revocation::run(command, &app).await,
        Command::Notify(command) => notify::run(command, &app).await,
        Command::Krl(command) => krl::run(command, &app).await,
        Command::Audit(command) => audit::run(*command, &app).await,
        Command::Admin(command) => admin::run(command, &app).await,
        Command::Login(_) | Command::Logout(_) | Command::Doctor(_) | Command::Agent(_) => Ok(()),
    }
}
