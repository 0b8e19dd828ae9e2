//! Servers as other tools write them down: what stands in a file, and what of it cannot be taken over.
//!
//! | module | reads |
//! |---|---|
//! | `ssh_config` | OpenSSH's client configuration |
//! | `ansible` | an inventory, as INI or as the JSON of `ansible-inventory --list` |
//! | `known_hosts` | host keys by host |
//! | `table` | CSV with a header |
//!
//! Invariant: nothing here opens another file, starts a program or asks the network, whatever a file says.

mod ansible;
mod known_hosts;
mod ssh_config;
mod table;

use std::net::IpAddr;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// `~/.ssh/config`: every Host that names one machine
    SshConfig,
    /// An inventory: INI, or the JSON that `ansible-inventory --list` prints of any inventory
    Ansible,
    /// `known_hosts`, or what `ssh-keyscan` prints: hosts with their keys
    KnownHosts,
    /// A header and rows: name, host, port, group, labels (a=b;c=d), hostKey, jumpHost
    Csv,
}

/// A server that can be registered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    pub name: String,
    pub host: String,
    pub port: u16,
    pub group: String,
    pub labels: Vec<(String, String)>,
    /// In OpenSSH form, without a comment.
    pub host_keys: Vec<String>,
    /// The name or host of the server through which it is reached; of this file, or registered.
    pub jump_host: Option<String>,
}

/// What is in the file and is no server that Keywright can register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub entry: String,
    pub why: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub found: Vec<Found>,
    pub skipped: Vec<Skipped>,
}

impl Listed {
    fn skip(&mut self, entry: impl Into<String>, why: impl Into<String>) {
        self.skipped.push(Skipped { entry: entry.into(), why: why.into() });
    }

    /// Host keys of another file, for those that came without.
    pub fn pin_from(&mut self, keys: &Self) {
        for server in self.found.iter_mut().filter(|server| server.host_keys.is_empty()) {
            let of = |known: &&Found| known.port == server.port && is_same_host(&known.host, &server.host);
            if let Some(known) = keys.found.iter().find(of) {
                server.host_keys.clone_from(&known.host_keys);
            }
        }
    }
}

/// # Errors
/// In words for the user: the file as a whole is not of this kind.
pub fn read(format: Format, text: &str) -> Result<Listed, String> {
    match format {
        Format::SshConfig => Ok(ssh_config::read(text)),
        Format::Ansible => ansible::read(text),
        Format::KnownHosts => Ok(known_hosts::read(text)),
        Format::Csv => table::read(text),
    }
}

/// Names by their letters, addresses by what they mean.
pub fn is_same_host(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}

pub const SSH: u16 = 22;

fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| format!("its port is {text:?}"))
}

/// What ProxyJump says, where that is one name.
fn jump_host(way: &str) -> Result<String, String> {
    if way.contains(',') {
        return Err(format!(
            "it is reached through {way:?}, several jump hosts: register the last one with its own"
        ));
    }
    let name = way.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(way);
    let is_plain = |name: &str| name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if name.parse::<IpAddr>().is_ok() || (!way.is_empty() && is_plain(way)) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "it is reached through {way:?}: of a jump host only the name is taken over, no user and no port"
    ))
}

/// Words between blanks; quotes hold a word together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in line.chars() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}
