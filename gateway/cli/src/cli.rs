//! What can be typed: the top level. Each command's own arguments stand beside it in `cmd`.

use clap::{Args, Parser, Subcommand};

use crate::cmd::{
    access, admin, agent, audit, console, doctor, krl, notify, policy, revocation, rotation, server, session,
    tenant, token,
};
use crate::exit;
use crate::output::Format;

/// Keywright keeps SSH keys in one safe place, puts the right public keys on the right servers, proves that they
/// work (or no longer do), and rotates and revokes them without locking anybody out.
#[derive(Parser)]
#[command(
    name = "keywright",
    version,
    about = "SSH credentials: keep, install, prove, rotate, revoke",
    arg_required_else_help = true,
    max_term_width = 110,
    after_help = "`--help` explains more, with environment, files and exit codes.",
    after_long_help = exit::help()
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args)]
pub struct Global {
    /// The gateway; default KEYWRIGHT_URL, the profile's, or http://127.0.0.1:8480
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub url: Option<String>,
    /// The profile to use; default KEYWRIGHT_PROFILE, or the one of the last login
    #[arg(long, global = true, value_name = "NAME", help_heading = "Everywhere")]
    pub profile: Option<String>,
    /// How answers are written
    #[arg(short, long, global = true, value_enum, default_value = "table", help_heading = "Everywhere")]
    pub output: Format,
}

#[derive(Subcommand)]
pub enum Command {
    /// Tenants, and invitations into them
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// API tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Log in: by single sign-on, an invitation or a token, into a profile
    Login(session::login::Login),
    /// Forget the token of a profile
    Logout(session::logout::Logout),
    /// Open the web console as you: prints an address that works once, for 60 seconds
    Console(console::Console),
    /// Who you are to the gateway
    Whoami,
    /// Servers, their host keys and tests, and saved credentials
    #[command(subcommand)]
    Server(Box<server::Command>),
    /// Tenants' SSH access: provision, download, rotate, revoke, hosts, deprovision
    #[command(subcommand)]
    Access(Box<access::Command>),
    /// An SSH agent whose keys stay in Keywright: `ssh` logs in, and no key is ever here
    Agent(agent::Agent),
    /// Policies: how old keys get, how they are replaced, downloaded and repaired
    #[command(subcommand)]
    Policy(policy::Command),
    /// Rotations, as they run
    #[command(subcommand)]
    Rotation(rotation::Command),
    /// Revocations, as they run
    #[command(subcommand)]
    Revocation(revocation::Command),
    /// Who is told of what happens: webhooks and e-mail
    #[command(subcommand)]
    Notify(notify::Command),
    /// Revocation lists of server groups, for sshd's `RevokedKeys`
    #[command(subcommand)]
    Krl(krl::Command),
    /// The audit log
    #[command(subcommand)]
    Audit(Box<audit::Command>),
    /// The installation itself: the secret store and its key-encryption key
    #[command(subcommand)]
    Admin(admin::Command),
    /// Is the gateway there, ready, and does it know you?
    Doctor(doctor::Doctor),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_leaf_explains_itself() {
        fn walk(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} says nothing");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path} {}", argument.get_id());
            }
            command.get_subcommands().for_each(|inner| walk(inner, &path));
        }
        walk(&Cli::command(), "");
    }

    #[test]
    fn no_argument_takes_a_secret() {
        fn walk(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                assert!(!matches!(name, "token" | "passphrase" | "private_key" | "password"), "--{name}");
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }
}
