//! What a program that logs in many times is told, by its environment: ours and the others alike.
//!
//! All of them say `ready` when they could begin, begin when a line comes, and say `done` when all is done.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::process::Command;

use crate::fixture::Fixture;

pub struct Errand {
    pub host: String,
    /// Several only where the same is held by several servers.
    pub ports: Vec<u16>,
    pub account: String,
    pub key: PathBuf,
    pub known_hosts: PathBuf,
    /// Empty: whatever the program prefers.
    pub key_exchange: String,
    pub command: String,
    pub count: usize,
    pub parallel: usize,
    _folder: Option<TempDir>,
}

impl Errand {
    /// To the fixture's host, with the key exchange that both sides agree on.
    pub fn to(fixture: &Fixture, count: usize, parallel: usize) -> Self {
        let errand = Self {
            host: fixture.host.address().to_owned(),
            ports: vec![fixture.host.port()],
            account: "plain".to_owned(),
            key: fixture.key.private_file().to_owned(),
            known_hosts: PathBuf::new(),
            key_exchange: fixture.key_exchange.clone(),
            command: "true".to_owned(),
            count,
            parallel,
            _folder: None,
        };
        errand.knowing(&fixture.host.known_hosts())
    }

    /// With other lines of a known_hosts file.
    pub fn knowing(self, known_hosts: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        std::fs::write(&file, known_hosts).unwrap();
        Self { known_hosts: file, _folder: Some(folder), ..self }
    }

    pub fn tell(&self, command: &mut Command) {
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        command
            .env("HOST", &self.host)
            .env("PORT", ports.join(","))
            .env("ACCOUNT", &self.account)
            .env("KEY", &self.key)
            .env("KNOWN", &self.known_hosts)
            .env("KEX", &self.key_exchange)
            .env("COMMAND", &self.command)
            .env("COUNT", self.count.to_string())
            .env("PARALLEL", self.parallel.to_string())
            .env_remove("SSH_AUTH_SOCK");
    }

    /// What this process was told.
    pub fn told() -> Self {
        let word = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not told"));
        let number = |name: &str| word(name).parse().unwrap();
        Self {
            host: word("HOST"),
            ports: word("PORT").split(',').map(|port| port.parse().unwrap()).collect(),
            account: word("ACCOUNT"),
            key: word("KEY").into(),
            known_hosts: word("KNOWN").into(),
            key_exchange: word("KEX"),
            command: word("COMMAND"),
            count: number("COUNT"),
            parallel: number("PARALLEL"),
            _folder: None,
        }
    }
}
