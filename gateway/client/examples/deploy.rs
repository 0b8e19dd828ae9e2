//! Runs a command on a server with a key that is there for half a minute: Keywright hands it out, `ssh-add` takes it
//! from a pipe, and it is never in a file.
//!
//! ```sh
//! export KEYWRIGHT_INTERNAL_URL=http://127.0.0.1:8490   # --internal-listen of the server
//! export KEYWRIGHT_TOKEN=…                              # a service token with credential.resolve in the tenant
//! ssh-agent cargo run -p keywright-client --example deploy -- sshcred_… srv_… web-1.example uptime
//! ```
//!
//! A service that can do without the key has its logins signed: `keywright agent -- ssh …`, or `Client::signer`.

use std::env;
use std::error::Error;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use keywright_client::{Advice, Client, ResolvedKey};

const PURPOSE: &str = "deployment";
const TRIES: u32 = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [credential, server, host, command @ ..] = arguments.as_slice() else {
        return Err("usage: deploy CREDENTIAL SERVER HOST COMMAND…".into());
    };
    let client = Client::builder(&env::var("KEYWRIGHT_INTERNAL_URL")?, env::var("KEYWRIGHT_TOKEN")?)
        .deadline(Duration::from_secs(20))
        .build()?;
    let key = resolve(&client, credential, server).await?;
    lend(&key)?;
    let options = env::var("DEPLOY_SSH_OPTIONS").unwrap_or_default();
    let target = format!("{}@{host}", key.username);
    drop(key);
    let status = Command::new("ssh").args(options.split_whitespace()).arg(target).args(command).status()?;
    if status.success() { Ok(()) } else { Err(format!("ssh: {status}").into()) }
}

/// As often as Keywright advises it, a few times.
async fn resolve(client: &Client, credential: &str, server: &str) -> Result<ResolvedKey, Box<dyn Error>> {
    let mut tries = 1;
    loop {
        match client.resolve(credential, PURPOSE, Some(server)).await {
            Ok(key) => return Ok(key),
            Err(error) => match error.advice() {
                Advice::After(delay) if tries < TRIES => tokio::time::sleep(delay).await,
                _ => return Err(error.into()),
            },
        }
        tries += 1;
    }
}

/// To the agent of `SSH_AUTH_SOCK`, which forgets it by itself.
fn lend(key: &ResolvedKey) -> Result<(), Box<dyn Error>> {
    let mut add = Command::new("ssh-add").args(["-q", "-t", "30", "-"]).stdin(Stdio::piped()).spawn()?;
    add.stdin.take().ok_or("ssh-add has no input")?.write_all(&key.private_key)?;
    let status = add.wait()?;
    if status.success() { Ok(()) } else { Err(format!("ssh-add: {status}; is there an ssh-agent?").into()) }
}
