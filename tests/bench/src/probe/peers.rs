//! What people use instead. All have the same key, account and host, and check the host key where they can.

use keywright_kit::{python, tools};
use tokio::process::Command;

use super::Size;
use super::contest::Contestant;
use crate::errand::Errand;
use crate::fixture::Fixture;

const SSH: &str = include_str!("../../peers/ssh.sh");
const PSSH: &str = include_str!("../../peers/pssh.sh");
const ANSIBLE: &str = include_str!("../../peers/ansible.sh");
const KEYSCAN: &str = include_str!("../../peers/keyscan.sh");
const ASYNCSSH: &str = include_str!("../../peers/asyncssh_logins.py");
const PARALLEL_SSH: &str = include_str!("../../peers/parallel_ssh_logins.py");

/// What a test of the product has a server run, in one session instead of two.
const FACTS: &str = include_str!("../../../../services/connectivity-probe/src/adapters/runtime.sh");
const QUESTION: &str = "/bin/sh -c 'echo;echo keywright-$((16384*32767))'";

pub const SAME: &str = "ssh, same key exchange";
pub const USUAL: &str = "ssh, the key exchange it prefers";
pub const BY_ASYNCSSH: &str = "asyncssh, same key exchange";
pub const SAME_COMMANDS: &str = "ssh, same key exchange and commands";
pub const ASYNCSSH_COMMANDS: &str = "asyncssh, same key exchange and commands";
pub const BY_PARALLEL_SSH: &str = "parallel-ssh (checks no host key)";

pub fn all(fixture: &Fixture, size: &Size) -> Vec<Contestant> {
    let same = || Errand::to(fixture, size.logins, size.in_flight);
    let slow = || {
        let mut errand = Errand::to(fixture, size.slow, size.in_flight.min(size.slow));
        errand.key_exchange.clear();
        errand
    };
    let commands = || {
        let mut errand = same();
        errand.command = format!("{QUESTION}\n{FACTS}");
        errand
    };
    let installed = size.peers;
    let if_installed = move |command: fn() -> Option<Command>| move || command().filter(|_| installed);
    vec![
        Contestant::new(SAME, same(), || Some(shell(SSH))),
        Contestant::new(BY_ASYNCSSH, same(), if_installed(|| script("bench-asyncssh", ASYNCSSH))),
        Contestant::new(BY_PARALLEL_SSH, same(), if_installed(|| script("bench-parallel-ssh", PARALLEL_SSH))),
        Contestant::new(SAME_COMMANDS, commands(), || Some(shell(SSH))),
        Contestant::new(ASYNCSSH_COMMANDS, commands(), if_installed(|| script("bench-asyncssh", ASYNCSSH))),
        Contestant::new(USUAL, slow(), || Some(shell(SSH))),
        Contestant::new("pssh, which runs the same ssh", slow(), if_installed(pssh)),
        Contestant::new("ansible -m raw, which runs the same ssh", slow(), if_installed(ansible)),
    ]
}

pub fn keyscan(fixture: &Fixture, size: &Size) -> Contestant {
    let errand = Errand::to(fixture, size.logins, size.in_flight);
    Contestant::new("ssh-keyscan, the key exchange it prefers", errand, || Some(shell(KEYSCAN)))
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// None where the library is not installed.
pub fn script(library: &str, text: &str) -> Option<Command> {
    let mut command = python(library).ok()?;
    command.args(["-c", text]);
    Some(command)
}

/// A script that runs a Python program of a library's folder, whose path it finds under this name.
fn tool(library: &str, text: &str, name: &str, program: &str) -> Option<Command> {
    let python = python(library).ok()?;
    let mut command = shell(text);
    let environment = python.as_std().get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.envs(environment).env(name, tools().join(library).join(program));
    Some(command)
}

fn pssh() -> Option<Command> {
    tool("bench-pssh", PSSH, "PSSH", "bin/parallel-ssh")
}

fn ansible() -> Option<Command> {
    tool("bench-ansible", ANSIBLE, "ANSIBLE", "bin/ansible")
}
