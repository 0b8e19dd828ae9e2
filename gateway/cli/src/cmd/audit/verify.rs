//! `keywright audit verify`: nothing but files, and the keys that the user trusts.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use keywright_log::Checkpoint;
use keywright_log::export::{ExportError, Report, Verifier};
use serde_json::json;

use super::part::LONGEST;
use super::trust;
use crate::client::Answer;
use crate::error::{CliError, Result};
use crate::output::view::audit as view;
use crate::output::{Count, Output};

#[derive(Args)]
#[command(after_help = "Examples:
  keywright audit verify --export log.jsonl --checkpoint log.jsonl.checkpoint --key log.example.com+1a2b3c4d+AY…
  keywright audit verify --export log.jsonl --checkpoint now.checkpoint --since 2025.checkpoint --key log.pub
  zstdcat log.jsonl.zst | keywright audit verify --export - --checkpoint log.checkpoint --key log.pub

Exit code 0 and `verified`: every entry up to the checkpoint is as it was written, none is missing, added or moved, and every
checkpoint of --since is an earlier state of the same log. Exit code 9: not so, and the first wrong entry is named.
What stands in clear is what the log commits to; what was erased, and other tenants' entries, stand as hashes.
It works with no server, profile, token or network. Trust the key, not the gateway: keep it apart, in the form that
`keywright audit keys` shows, in an argument or a file.")]
pub struct Verify {
    /// The exported log; `-` is the standard input
    #[arg(long, value_name = "FILE")]
    export: PathBuf,
    /// The signed checkpoint that it must lead to
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// A public key of the log, or a file of them; may be repeated
    #[arg(long = "key", value_name = "KEY|FILE", required = true)]
    keys: Vec<String>,
    /// An older checkpoint that it must be a continuation of; may be repeated
    #[arg(long, value_name = "FILE")]
    since: Vec<PathBuf>,
}

/// The unit of reading, in bytes.
const BUFFER: usize = 1 << 20;
/// So often the progress is told, in lines.
const TOLD_EVERY: usize = 1 << 14;

impl Verify {
    pub async fn run(self, out: Output) -> Result<()> {
        let keys = trust::keys(&self.keys)?;
        let newest = trust::checkpoint_file(&self.checkpoint, &keys)?;
        let older: Vec<Checkpoint> =
            self.since.iter().map(|path| trust::checkpoint_file(path, &keys)).collect::<Result<_>>()?;
        let verifier = Verifier::new(newest.clone(), older.clone()).map_err(unproven)?;
        let (file, covers) = (self.export, usize::try_from(newest.size).unwrap_or(usize::MAX));
        // Off the async threads, so that Ctrl-C is heard meanwhile.
        let verified = tokio::task::spawn_blocking(move || {
            let count = Count::new(out, "entries");
            verify(&file, verifier, |lines| count.set(lines, covers.max(lines)))
        });
        let lost = |source| CliError::File { doing: "the verification was lost".into(), source };
        let report = verified.await.map_err(|error| lost(std::io::Error::other(error)))??;
        let answer = answer(&report, &newest, &older);
        out.answer(&Answer::of(answer.clone()), view::verified(&answer));
        Ok(())
    }
}

fn verify(path: &Path, verifier: Verifier, told: impl FnMut(usize)) -> Result<Report> {
    if path == Path::new("-") {
        return read(BufReader::with_capacity(BUFFER, std::io::stdin().lock()), path, verifier, told);
    }
    let wrong = |why: &str| CliError::Usage(format!("the export {}: {why}", path.display()));
    let file = File::open(path).map_err(|error| wrong(&error.to_string()))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(wrong("it is a folder"));
    }
    read(BufReader::with_capacity(BUFFER, file), path, verifier, told)
}

fn read(
    mut reader: impl BufRead,
    path: &Path,
    mut verifier: Verifier,
    mut told: impl FnMut(usize),
) -> Result<Report> {
    let mut line = Vec::with_capacity(1 << 14);
    let mut lines = 0usize;
    loop {
        line.clear();
        let read = (&mut reader).take(LONGEST + 1).read_until(b'\n', &mut line);
        read.map_err(|source| CliError::File {
            doing: format!("{} cannot be read", path.display()),
            source,
        })?;
        if line.is_empty() {
            return verifier.finish().map_err(unproven);
        }
        lines += 1;
        let is_whole = line.pop_if(|byte| *byte == b'\n').is_some();
        if line.len() as u64 > LONGEST {
            return Err(CliError::Unproven(format!("line {lines} is longer than any line of an export")));
        }
        let text = std::str::from_utf8(&line).unwrap_or_default();
        match verifier.line(text) {
            Ok(()) => {}
            Err(ExportError::Line(_)) if !is_whole => {
                return Err(CliError::Unproven(format!(
                    "the file breaks off in line {lines}: it is a part of an export (`keywright audit export --resume` goes on with one)"
                )));
            }
            Err(error) => return Err(unproven(error)),
        }
        if lines.is_multiple_of(TOLD_EVERY) {
            told(lines);
        }
    }
}

fn unproven(error: ExportError) -> CliError {
    CliError::Unproven(error.to_string())
}

fn answer(report: &Report, newest: &Checkpoint, older: &[Checkpoint]) -> serde_json::Value {
    let Report { header, entries, erased, hidden, beyond } = report;
    let older: Vec<_> = older.iter().map(|it| json!({"size": it.size, "root": it.root.hex()})).collect();
    json!({
        "verified": true, "origin": header.origin, "size": newest.size, "root": newest.root.hex(), "scope": header.scope,
        "entries": entries, "erased": erased, "hidden": hidden, "beyond": beyond, "since": older,
    })
}
