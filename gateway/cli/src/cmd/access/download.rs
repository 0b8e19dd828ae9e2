//! `keywright access download`: the one way a private key leaves Keywright.
//!
//! Invariant: the file is there, private and durable, before the key is claimed; the claim is closed only after the
//! key is durable in it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::{AccessPath, AccessRef};
use crate::app::App;
use crate::args::{ConfirmArg, id};
use crate::client::{AccessConfirmation, Answer, Body, DownloadRequest};
use crate::error::{CliError, Result};
use crate::fields;
use crate::files;
use crate::output::facts;
use crate::output::view::access as view;
use crate::target::TargetFile;

const WARNING: &str = "Security warning: this private key lets whoever has it log in as the account above. Unless the \
    policy says otherwise it can be downloaded once, and not be fetched again later. Store it in a password manager or encrypted \
    storage, never send it by mail or chat, and revoke it at once if it may have been seen.";
const ACKNOWLEDGE_TRIES: u32 = 4;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright access download acc_… --out ~/.ssh/tenant.pem
  keywright access download acc_… --confirm acc_… --format ppk --passphrase-file pass.txt

The file is made first (mode 0600, never over another file) and the key is claimed after that. If the connection
breaks, the same claim is fetched again; --claim-id continues one by hand, for 10 minutes.")]
pub struct Download {
    #[command(flatten)]
    access: AccessRef,
    /// The file to make
    #[arg(long, value_name = "FILE", default_value = view::KEY_FILE)]
    out: PathBuf,
    /// The form of the key
    #[arg(long, value_enum, default_value = "openssh")]
    format: KeyFormat,
    /// A file whose first line is to encrypt the key; asked for on a terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Do not encrypt the key and do not ask
    #[arg(long, conflicts_with = "passphrase_file")]
    no_passphrase: bool,
    /// Continue a download that was cut off: `clm_…`
    #[arg(long, value_name = "ID", value_parser = id)]
    claim_id: Option<String>,
    #[command(flatten)]
    confirm: ConfirmArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeyFormat {
    /// OpenSSH's own
    Openssh,
    /// PKCS#8; not for Ed25519, which OpenSSH cannot read so
    Pem,
    /// PuTTY, version 3
    Ppk,
}

impl KeyFormat {
    fn wire(self) -> &'static str {
        match self {
            Self::Openssh => "openssh",
            Self::Pem => "pem",
            Self::Ppk => "ppk",
        }
    }
}

impl Download {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        app.need_confirm(self.confirm.confirm.as_ref(), self.access.named())?;
        let path = self.access.resolve(app).await?;
        let access = app.client.get(&path.route(&[])).await?.value;
        app.out.aside(&[facts([
            ("Access", path.id.clone()),
            ("Account", fields::text(&access, "/account").into()),
            ("Fingerprint", fields::text(&access, "/fingerprint").into()),
            ("File", self.out.display().to_string()),
        ])]);
        let question = format!("Download the private key of {}?", path.id);
        let confirmed = app.agree(self.confirm.confirm, &path.id, WARNING, &question).await?;
        let passphrase = match &self.passphrase_file {
            Some(file) => Some(files::read_passphrase(file)?),
            None if self.no_passphrase || !app.prompt.is_terminal() => None,
            None => {
                let question = "Passphrase to encrypt the key with (empty for none)";
                Some(app.prompt.secret(question, true, "--passphrase-file").await?)
            }
        };

        let mut target = TargetFile::create(&self.out)?;
        let hold = app.interrupts.hold();
        let claim =
            fetch(app, &path, &confirmed, self.format, passphrase, self.claim_id, &mut target).await?;
        let closed = acknowledge(app, &path, &claim).await;
        drop(hold);
        report(app, &access, &self.out.display().to_string(), &claim);
        if let Err(error) = closed {
            app.out.note(&format!(
                "warning: the key is stored, but the download could not be closed ({error}). It closes by itself in 10 minutes"
            ));
        }
        Ok(())
    }
}

/// Claims the key and puts it into the file; answers the claim.
async fn fetch(
    app: &App<'_>,
    path: &AccessPath,
    confirmed: &str,
    format: KeyFormat,
    passphrase: Option<Zeroizing<String>>,
    claim_id: Option<String>,
    target: &mut TargetFile,
) -> Result<String> {
    // Chosen here, so that even an answer of which nothing arrived can be asked for again.
    let claim_id = Some(match claim_id {
        Some(claim) => claim,
        None => new_claim()?,
    });
    let request = DownloadRequest {
        confirmation: AccessConfirmation { access_id: confirmed },
        format: Some(format.wire()),
        passphrase: passphrase.as_ref().map(|text| text.as_str()).filter(|text| !text.is_empty()),
        claim_id,
    };
    let continue_with = |claim: &str| {
        app.interrupts.hint(&format!(
            "The key is claimed but not stored. Within 10 minutes: keywright access download {} --claim-id {claim}",
            path.id
        ));
    };
    let mut claimed = String::new();
    let fetched = app
        .client
        .download(&path.route(&["download"]), request, |claim| {
            claim.clone_into(&mut claimed);
            continue_with(claim);
        })
        .await;
    let stored = fetched.and_then(|download| target.write(&download.bytes).map(|()| download.claim_id));
    if stored.is_err() && !claimed.is_empty() {
        app.out.note(&format!(
            "The key is claimed but not stored. Within 10 minutes: keywright access download {} --claim-id {claimed}",
            path.id
        ));
    }
    app.interrupts.hint("");
    stored
}

/// `clm_` and 26 random characters a-z2-7.
fn new_claim() -> Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut bytes = [0u8; 26];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| CliError::Protocol("this machine gave no random bytes".to_owned()))?;
    let chars = bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 31)).copied().map(char::from));
    Ok(format!("clm_{}", chars.collect::<String>()))
}

/// Closes the claim; the key is safe already, so a failure is not one of the download.
async fn acknowledge(app: &App<'_>, path: &AccessPath, claim: &str) -> Result<()> {
    let route = path.route(&["download", claim, "acknowledge"]);
    let mut pause = Duration::from_millis(200);
    let mut tries = 1;
    loop {
        match app.client.post(&route, &Body::new()).await {
            Err(error) if error.is_transient() && tries < ACKNOWLEDGE_TRIES => tries += 1,
            result => return result.map(|_| ()),
        }
        sleep(pause).await;
        pause *= 2;
    }
}

fn report(app: &App<'_>, access: &Value, file: &str, claim: &str) {
    let fingerprint = fields::text(access, "/fingerprint");
    let answer = json!({"accessId": fields::text(access, "/id"), "file": file, "fingerprint": fingerprint, "claimId": claim});
    let shown = facts([("Saved to", format!("{file} (mode 0600)")), ("Fingerprint", fingerprint.to_owned())]);
    app.out.answer(&Answer::of(answer), vec![shown]);
    app.out.news(&format!("Connect with:\n  {}", view::ssh_with(access, file)));
}
