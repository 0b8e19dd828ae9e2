//! `keywright audit checkpoint`

use std::path::PathBuf;

use clap::Args;
use keywright_log::{Checkpoint as Signed, Hash};
use serde_json::json;

use super::trust;
use crate::app::App;
use crate::client::Answer;
use crate::error::{CliError, Result};
use crate::files;
use crate::output::view::audit as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright audit checkpoint --key log.example.com+1a2b3c4d+AY…
  keywright audit checkpoint --key log.pub --out 2026-03-01.checkpoint

Keep checkpoints where the server cannot reach them: whoever has one can tell later whether what it covers was changed
(`keywright audit verify --since`). Without --key the signature is not verified. A file that exists is not replaced.")]
pub struct Checkpoint {
    /// Keep it, as it came, in a new file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A public key of the log, or a file of them; may be repeated
    #[arg(long = "key", value_name = "KEY|FILE")]
    keys: Vec<String>,
}

impl Checkpoint {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let keys = trust::keys(&self.keys)?;
        let (note, _) = app.client.file(&["api", "audit", "log", "checkpoint"]).await?;
        let note =
            String::from_utf8(note).map_err(|_| CliError::Protocol("the checkpoint is not text".into()))?;
        let is_verified = !self.keys.is_empty();
        let checkpoint = if is_verified {
            trust::open(&note, &keys).map_err(|why| CliError::Unproven(format!("the checkpoint: {why}")))?
        } else {
            read(&note).ok_or_else(|| CliError::Protocol("it is no checkpoint".into()))?
        };
        if let Some(out) = &self.out {
            files::create_new(out, note.as_bytes())?;
        }
        let Signed { origin, size, root } = checkpoint;
        let answer = json!({"origin": origin, "size": size, "root": root.hex(), "verified": is_verified, "note": note});
        app.out.answer(&Answer::of(answer.clone()), vec![view::checkpoint(&answer)]);
        if let Some(out) = &self.out {
            app.out.news(&format!("Written to {}.", out.display()));
        }
        Ok(())
    }
}

/// What it says, whoever signed it.
fn read(note: &str) -> Option<Signed> {
    let (text, _) = note.split_once("\n\n")?;
    let mut lines = text.split('\n');
    let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
    Some(Signed { origin: origin.to_owned(), size: size.parse().ok()?, root: Hash::from_base64(root)? })
}
