//! `keywright server host-key …`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::app::App;
use crate::args::id;
use crate::client::{Answer, Body};
use crate::error::{CliError, Result};
use crate::fields;
use crate::files;
use crate::output::view::host_key as view;

#[derive(Subcommand)]
pub enum Command {
    /// List the pinned host keys
    List {
        /// `srv_…`
        #[arg(value_name = "SERVER_ID", value_parser = id)]
        server: String,
    },
    /// Show which host keys the server has now; nothing is pinned
    #[command(
        after_help = "IN DNS says what SSHFP records the DNS zone of the host's name has (ssh-keygen -r makes them):
  this key       the zone has this key's SHA-256 fingerprint
  ANOTHER KEY    the zone has fingerprints for keys of this algorithm, and not this one
  no record      the zone has none that counts
  unknown        the host is an address, or there is no answer to go by
`verified`: DNSSEC vouches for it. A hint for whoever compares; nothing is approved by it."
    )]
    Scan {
        /// `srv_…`
        #[arg(value_name = "SERVER_ID", value_parser = id)]
        server: String,
    },
    /// Pin the first host keys of a server
    #[command(after_help = "Examples:
  keywright server host-key approve srv_…                     (on a terminal: scans, shows and asks)
  keywright server host-key approve srv_… SHA256:… SHA256:…

Compare the fingerprints with what the server's console says (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub).
The approval holds only if a fresh scan shows exactly the named fingerprints. Of a server that showed another host key
(MISMATCH), the approval of the pinned keys says that they are back.")]
    Approve(Fingerprints),
    /// Replace the pinned host keys after a change that you know of; authorities stay
    Repin(Fingerprints),
    /// Remove pinned host keys, or authorities
    Remove(Fingerprints),
    /// Believe the host certificates that an authority signs for this server
    #[command(after_help = "Examples:
  keywright server host-key trust-authority srv_… ca.pub
  ssh ca.example.com cat /etc/ssh/ca.pub | keywright server host-key trust-authority srv_… -

With a host authority no server's key is approved one by one, and a server that is set up anew is known at once. Certify
the server's host key, and name the host as it is registered (`server show`, HOST):
  ssh-keygen -s ca -h -I web-1 -n web-1.example.com -V +52w ssh_host_ed25519_key.pub
then say HostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub in its sshd_config. A certificate for other names, or one
that has expired, is a host key mismatch. Keys that are pinned stay good with and without a certificate.")]
    TrustAuthority(Authorities),
}

#[derive(Args)]
pub struct Authorities {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// Files with the authorities' public keys, one on a line; `-` is the standard input
    #[arg(value_name = "AUTHORITY_PUBLIC_KEY_FILE", required = true)]
    files: Vec<PathBuf>,
}

#[derive(Args)]
pub struct Fingerprints {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// The host keys' fingerprints; on a terminal shown and asked for
    #[arg(value_name = "SHA256:…")]
    fingerprints: Vec<String>,
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::List { server } => {
            let answer = pinned(app, &server).await?;
            show(app, &answer, vec![view::pinned(items(&answer))], "No host key is pinned.");
            Ok(())
        }
        Command::Scan { server } => {
            let answer = scan(app, &server).await?;
            show(app, &answer, view::scanned(&answer.value), "The server showed no host key.");
            Ok(())
        }
        Command::Approve(given) => update(app, given, "approve").await,
        Command::Repin(given) => update(app, given, "repin").await,
        Command::Remove(given) => update(app, given, "remove").await,
        Command::TrustAuthority(given) => trust(app, given).await,
    }
}

async fn trust(app: &App<'_>, given: Authorities) -> Result<()> {
    let mut authorities = Vec::new();
    for file in &given.files {
        let text = files::read_text(file, "authority's public key file")?;
        let before = authorities.len();
        authorities.extend(keys(&text));
        if authorities.len() == before {
            return Err(CliError::Usage(format!("{} holds no public key", file.display())));
        }
    }
    let body = Body::new().put("action", "trust_authority").texts("authorities", &authorities);
    let answer = app.client.post(&["api", "servers", &given.server, "host-keys"], &body).await?;
    show(app, &answer, vec![view::pinned(items(&answer))], "No host key is pinned.");
    Ok(())
}

/// The lines that are no comments.
fn keys(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned)
}

async fn update(app: &App<'_>, given: Fingerprints, action: &str) -> Result<()> {
    let Fingerprints { server, mut fingerprints } = given;
    if fingerprints.is_empty() {
        fingerprints = ask(app, &server, action).await?;
    }
    let body = Body::new().put("action", action).texts("fingerprints", &fingerprints);
    let answer = app.client.post(&["api", "servers", &server, "host-keys"], &body).await?;
    show(app, &answer, vec![view::pinned(items(&answer))], "No host key is pinned any more.");
    Ok(())
}

/// Shows the keys and asks; off a terminal the fingerprints must be named.
async fn ask(app: &App<'_>, server: &str, action: &str) -> Result<Vec<String>> {
    if !app.prompt.is_terminal() {
        return Err(CliError::Usage(
            "the fingerprints (SHA256:…) are required: there is no terminal to ask at. `keywright server host-key scan` shows them".into(),
        ));
    }
    let (answer, question) = if action == "remove" {
        let answer = pinned(app, server).await?;
        app.out.aside(&[view::pinned(items(&answer))]);
        (answer, "Remove all of these?")
    } else {
        let answer = scan(app, server).await?;
        app.out.aside(&view::scanned(&answer.value));
        (answer, "Are these the server's keys? Compare them with its console. Pin them?")
    };
    app.prompt.agree(question, "the fingerprints").await?;
    Ok(items(&answer).iter().map(|item| fields::text(item, "/fingerprint").to_owned()).collect())
}

async fn pinned(app: &App<'_>, server: &str) -> Result<Answer> {
    app.client.get(&["api", "servers", server, "host-keys"]).await
}

async fn scan(app: &App<'_>, server: &str) -> Result<Answer> {
    app.client.post(&["api", "servers", server, "host-keys", "scan"], &Body::new()).await
}

fn items(answer: &Answer) -> &[serde_json::Value] {
    fields::list(&answer.value, "/items")
}

fn show(app: &App<'_>, answer: &Answer, blocks: Vec<crate::output::Block>, none: &str) {
    if items(answer).is_empty() && !app.out.is_json() {
        app.out.note(none);
    } else {
        app.out.answer(answer, blocks);
    }
}
