//! `keywright audit proof …`: a proof is worth what its verification here says, whatever the gateway says.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keywright_log::note::VerifierKey;
use keywright_log::{Hash, tree};
use serde_json::Value;

use super::trust;
use crate::app::App;
use crate::args::id;
use crate::client::Answer;
use crate::error::{CliError, Result};
use crate::fields::{list, long, text};
use crate::output::view::audit as view;

#[derive(Subcommand)]
pub enum Command {
    /// Is an entry in the log?
    #[command(after_help = "Examples:
  keywright audit proof inclusion --event evt_… --key log.pub
  keywright audit proof inclusion --index 1234 --size 65536

Exit code 9 if the proof does not hold. With --key the tree must also be the one of a signed checkpoint.")]
    Inclusion(Inclusion),
    /// Is an earlier state of the log the beginning of a later one?
    #[command(after_help = "Examples:
  keywright audit proof consistency --since 2026-03-01.checkpoint --key log.pub
  keywright audit proof consistency --from 1000 --size 65536

With --since the earlier root is your own, out of a checkpoint that you have kept; with --from it is what the gateway says, for
you to compare. Exit code 9 if the proof does not hold. With --key the later tree must also be the one of a signed checkpoint.")]
    Consistency(Consistency),
}

#[derive(Args)]
pub struct Inclusion {
    /// The event whose intent it is, `evt_…`
    #[arg(long, value_name = "EVENT_ID", value_parser = id, required_unless_present = "index")]
    event: Option<String>,
    /// Or the entry's position, from 0
    #[arg(long, value_name = "N", conflicts_with = "event")]
    index: Option<u64>,
    #[command(flatten)]
    tree: Tree,
}

#[derive(Args)]
pub struct Consistency {
    /// The size of the smaller tree
    #[arg(long, value_name = "N", required_unless_present = "since")]
    from: Option<u64>,
    /// Or the file of its checkpoint; needs --key
    #[arg(long, value_name = "FILE", conflicts_with = "from", requires = "keys")]
    since: Option<PathBuf>,
    #[command(flatten)]
    tree: Tree,
}

#[derive(Args)]
struct Tree {
    /// The size of the tree; that of the newest checkpoint by default
    #[arg(long, value_name = "N")]
    size: Option<u64>,
    /// A public key of the log, or a file of them; may be repeated
    #[arg(long = "key", value_name = "KEY|FILE")]
    keys: Vec<String>,
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Inclusion(command) => command.run(app).await,
        Command::Consistency(command) => command.run(app).await,
    }
}

impl Inclusion {
    async fn run(self, app: &App<'_>) -> Result<()> {
        let keys = trust::keys(&self.tree.keys)?;
        let index = self.index.map(|index| index.to_string());
        let size = self.tree.size.map(|size| size.to_string());
        let asked = [("eventId", &self.event), ("index", &index), ("size", &size)];
        let proof = fetch(app, "inclusion", &asked).await?;
        let shape = Shape { asked: self.index, position: "/index", asked_size: self.tree.size };
        let (index, size) = shape.read(&proof)?;
        let (leaf, root) = (hash(&proof, "/leafHash")?, hash(&proof, "/root")?);
        if !tree::verify_inclusion(index, size, leaf, &hashes(&proof)?, root) {
            return Err(CliError::Unproven(format!(
                "the proof does not hold: it does not show that {} is entry {index} of the {size} with the root {}",
                leaf.hex(),
                root.hex()
            )));
        }
        let is_signed = signed(&proof, size, root, &keys)?;
        show(app, proof, is_signed, view::inclusion);
        Ok(())
    }
}

impl Consistency {
    async fn run(self, app: &App<'_>) -> Result<()> {
        let keys = trust::keys(&self.tree.keys)?;
        let older = self.since.as_deref().map(|path| trust::checkpoint_file(path, &keys)).transpose()?;
        let from = older.as_ref().map(|older| older.size).or(self.from);
        let size = self.tree.size.map(|size| size.to_string());
        let proof =
            fetch(app, "consistency", &[("from", &from.map(|from| from.to_string())), ("size", &size)])
                .await?;
        let (from, size) =
            Shape { asked: from, position: "/from", asked_size: self.tree.size }.read(&proof)?;
        let (from_root, root) = (hash(&proof, "/fromRoot")?, hash(&proof, "/root")?);
        if let Some(older) = &older
            && older.root != from_root
        {
            return Err(CliError::Unproven(format!(
                "the log is another one: its first {from} entries have the root {}, your checkpoint says {}",
                from_root.hex(),
                older.root.hex()
            )));
        }
        if !tree::verify_consistency(from, from_root, size, root, &hashes(&proof)?) {
            return Err(CliError::Unproven(format!(
                "the proof does not hold: it does not show that the tree of {from} entries is the beginning of the one of {size}"
            )));
        }
        let is_signed = signed(&proof, size, root, &keys)?;
        show(app, proof, is_signed, view::consistency);
        Ok(())
    }
}

async fn fetch(app: &App<'_>, kind: &str, asked: &[(&str, &Option<String>)]) -> Result<Value> {
    let query: Vec<(&str, &str)> =
        asked.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
    Ok(app.client.get_with(&["api", "audit", "proofs", kind], &query).await?.value)
}

/// What a proof is about.
struct Shape {
    asked: Option<u64>,
    position: &'static str,
    asked_size: Option<u64>,
}

impl Shape {
    /// Position and size; a proof of something else proves nothing.
    fn read(&self, proof: &Value) -> Result<(u64, u64)> {
        let number = |pointer| long(proof, pointer).ok_or_else(|| malformed(pointer));
        let (position, size) = (number(self.position)?, number("/size")?);
        let is_other = |asked: Option<u64>, found| asked.is_some_and(|asked| asked != found);
        if is_other(self.asked, position) || is_other(self.asked_size, size) {
            return Err(CliError::Unproven(format!(
                "the proof is of something else than was asked: of {position} in the tree of {size}"
            )));
        }
        Ok((position, size))
    }
}

/// Whether the tree is a checkpoint's that a key has signed; false where no key was given.
fn signed(proof: &Value, size: u64, root: Hash, keys: &[VerifierKey]) -> Result<bool> {
    if keys.is_empty() {
        return Ok(false);
    }
    let note = text(proof, "/checkpoint");
    if note.is_empty() {
        return Err(CliError::Unproven(format!(
            "no checkpoint of size {size} was signed: leave --size out, or ask for the size of a checkpoint"
        )));
    }
    let checkpoint =
        trust::open(note, keys).map_err(|why| CliError::Unproven(format!("the checkpoint: {why}")))?;
    if checkpoint.size != size || checkpoint.root != root {
        return Err(CliError::Unproven(format!(
            "the proof holds for a tree of {size} entries with the root {}, but the signed checkpoint is of {} with {}",
            root.hex(),
            checkpoint.size,
            checkpoint.root.hex()
        )));
    }
    Ok(true)
}

fn show(app: &App<'_>, mut proof: Value, is_signed: bool, view: fn(&Value) -> crate::output::Block) {
    if let Some(fields) = proof.as_object_mut() {
        fields.insert("verified".into(), true.into());
        fields.insert("signed".into(), is_signed.into());
    }
    let block = view(&proof);
    app.out.answer(&Answer::of(proof), vec![block]);
}

fn hash(proof: &Value, pointer: &str) -> Result<Hash> {
    Hash::from_hex(text(proof, pointer)).ok_or_else(|| malformed(pointer))
}

fn hashes(proof: &Value) -> Result<Vec<Hash>> {
    let of = |value: &Value| value.as_str().and_then(Hash::from_hex).ok_or_else(|| malformed("/hashes"));
    list(proof, "/hashes").iter().map(of).collect()
}

fn malformed(pointer: &str) -> CliError {
    CliError::Protocol(format!("the proof has no {}", pointer.trim_start_matches('/')))
}
