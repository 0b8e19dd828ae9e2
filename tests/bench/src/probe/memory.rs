//! What each login in flight takes, when there are very many: those of Keywright's own client, and an `ssh` process.
//!
//! The servers are in other processes. A real sshd would need several processes a login; so where asyncssh is
//! installed, a few servers of its hold them all, and otherwise the test host holds a few.

use std::process::Stdio;

use keywright_kit::{KeyPair, KeyType, keygen};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::peers::script;
use crate::client;
use crate::errand::Errand;
use crate::fixture::Fixture;
use crate::held::Held;

const HOLDER: &str = include_str!("../../peers/holder.py");
/// Processes of asyncssh's: each of them fills one core while it is logged in to.
const HOLDERS: usize = 4;
/// As many as the test host is asked to hold.
const FEW: usize = 50;
/// `ssh` processes that are looked at.
const PROCESSES: usize = 8;

pub struct Measured {
    pub held: usize,
    /// KiB a login.
    pub resident: f64,
    pub anonymous: f64,
    /// KiB of an `ssh` process that it shares with no other.
    pub ssh: f64,
    pub by: &'static str,
}

impl Measured {
    pub fn print(&self) {
        println!("\nmemory of a login in flight, {} at once, held by {}", self.held, self.by);
        println!(
            "resident, KiB                                 {:8.1}   (target at most 64 at 10000, better 48)",
            self.resident
        );
        println!("of these anonymous, KiB                       {:8.1}", self.anonymous);
        println!("an ssh process, its own pages alone, KiB      {:8.1}", self.ssh);
    }
}

pub async fn measure(fixture: &Fixture, count: usize, parallel: usize, peers: bool) -> Measured {
    let mut errand = Errand::to(fixture, count, parallel);
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let mut holders = Vec::new();
    for _ in 0..if peers { HOLDERS } else { 0 } {
        holders.extend(holder(&errand, &key).await);
    }
    let mut by = "asyncssh";
    if holders.is_empty() {
        by = "sshd; asyncssh is not there to hold more";
        errand.count = count.min(FEW);
    } else {
        errand.ports = holders.iter().map(|holder| holder.about.parse().unwrap()).collect();
        let line = |port| format!("[{}]:{port} {}\n", errand.host, key.public_line());
        let known: String = errand.ports.iter().map(line).collect();
        errand = errand.knowing(&known);
    }
    let mut program = client::program("hold");
    errand.tell(&mut program);
    let mut held = Held::start(program, "hold").await.expect("Keywright's own client");
    let (.., said) = held.done().await.expect("Keywright's own client");
    let kib: Vec<f64> = said.split(' ').map(|bytes| bytes.parse::<f64>().unwrap() / 1024.0).collect();
    let ssh = ssh_processes(&errand).await;
    held.end().await;
    for holder in holders {
        holder.end().await;
    }
    Measured { held: errand.count, resident: kib[0], anonymous: kib[1], ssh, by }
}

/// None where it is not installed.
async fn holder(errand: &Errand, key: &KeyPair) -> Option<Held> {
    let mut program = script("bench-asyncssh", HOLDER)?;
    errand.tell(&mut program);
    program.env("HOST_KEY", key.private_file());
    Held::start(program, "holder").await.ok()
}

/// Starts some, looks at them once they are logged in, and ends them.
async fn ssh_processes(errand: &Errand) -> f64 {
    let mut running = Vec::new();
    for _ in 0..PROCESSES {
        running.push(logged_in(errand).await);
    }
    let private = running.iter().map(|child| private_bytes(child.id().unwrap())).sum::<f64>();
    private / 1024.0 / running.len() as f64
}

async fn logged_in(errand: &Errand) -> Child {
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-T", "-p", &errand.ports[0].to_string(), "-i"])
        .arg(&errand.key)
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", errand.known_hosts.display()))
        .args(["-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes"])
        .args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes"])
        // The only way that it has to say that it is logged in.
        .args(["-o", "PermitLocalCommand=yes", "-o", "LocalCommand=echo in"])
        .args([&format!("{}@{}", errand.account, errand.host), client::FOREVER])
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = ssh.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("in"), "ssh does not log in");
    child
}

fn private_bytes(pid: u32) -> f64 {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let private = smaps.lines().filter(|line| line.starts_with("Private_"));
    private.map(|line| line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0).sum()
}
