//! What the end-to-end scenarios stand on: the shipped binaries, a real SSH server, a tenant with its owner.
//!
//! Invariant: nothing here looks inside Keywright but [`gates`], [`elapsed`], where time passes, and [`crowd`]. All goes through
//! REST or the `keywright` command, and what is true of a host is asked of the host itself or of OpenSSH's client.
//!
//! | module | is about |
//! |---|---|
//! | [`world`] | a server on one pair of stores, a host, a tenant, its owner |
//! | [`access`] | what an owner does with an SSH access, and what the host then says |
//! | [`agent`] | `keywright agent`, and OpenSSH's programs that use it |
//! | [`key_file`] | a downloaded private key |
//! | [`gates`] | writes of the lifecycle engine that are refused while a test says so |
//! | [`audit_log`] | the audit log as the operator reads it |
//! | [`authorization`] | every RPC by every role |
//! | [`authorized_keys`] | the account's file: ours and foreign lines |
//! | [`certificates`] | certificates of an authority of the test's own |
//! | [`crowd`] | thousands of tenants and accesses, as rows |
//! | [`database`] | a database of Keywright's, for [`gates`], [`elapsed`] and [`crowd`] |
//! | [`elapsed`] | time that passes for an access |
//! | [`exchanged`] | tokens of 60 seconds, as they travel between services |
//! | [`backup`] | backups by the server's own command, opened by the `age` tool |
//! | [`http`] | requests that are not well-formed |
//! | [`measured`] | an OTLP collector that keeps the last value of each metric |
//! | [`memory`] | what a process has in its memory |
//! | [`secrets`] | where a secret may not stand |
//! | [`names`] | a name server that changes its mind |
//! | [`possession`] | that the holder of a key made it himself |
//! | [`spans`] | an OTLP collector that keeps what it gets |
//! | [`document`] | the OpenAPI document as a list of operations |
//! | [`drawn`] | a few of many cases, by a seed |
//! | [`held_script`] | a script on a host that is held up on its way |
//! | [`rpc`] | any RPC, by its descriptor |
//! | [`receiver`] | somebody who is told, by HTTP and SMTP |
//! | [`readme`] | the README's tour as a script |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

pub mod access;
pub mod agent;
pub mod apart;
pub mod audit_log;
pub mod authorization;
pub mod authorized_keys;
pub mod backup;
pub mod certificates;
pub mod crowd;
pub mod database;
pub mod document;
pub mod drawn;
pub mod elapsed;
pub mod exchanged;
pub mod gates;
pub mod held_script;
pub mod http;
pub mod key_file;
pub mod measured;
pub mod memory;
pub mod names;
pub mod possession;
pub mod readme;
pub mod receiver;
pub mod rpc;
pub mod secrets;
pub mod spans;
pub mod supervised;
pub mod world;

pub use access::Access;
pub use key_file::KeyFile;
pub use world::{Sshd, Stores, World};

use std::time::Duration;

/// No single step of a scenario takes longer on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(120);

/// The text of a field by its JSON pointer; panics if there is none.
pub fn text(value: &serde_json::Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(serde_json::Value::as_str);
    found.unwrap_or_else(|| panic!("no {pointer} in {value}")).to_owned()
}
