//! `keywright audit export`: streamed to disk, and gone on with where it broke off.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use keywright_log::export::Header;
use serde_json::json;
use tokio::time::sleep;

use super::part::{self, Part, Place};
use crate::app::App;
use crate::args::id;
use crate::client::Answer;
use crate::error::{CliError, Result};
use crate::fields::text;
use crate::files;
use crate::output::Work;
use crate::output::view::audit as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright audit export --out log.jsonl
  keywright audit export --out log.jsonl --cut 65536          # to be verified against that older checkpoint too
  keywright audit export --out tenant.jsonl --tenant ten_…    # of the others only hashes
  keywright audit export --out log.jsonl --resume             # goes on with log.jsonl.part
  keywright audit export --out events.csv --format csv        # a table for reading; cannot be verified

The file is for its owner alone (0600) and gets its name when it is complete. The signed checkpoint that it ends at is written
beside it, as FILE.checkpoint. Each export is itself an entry of the log.")]
pub struct Export {
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The form
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Form,
    /// Only this tenant's entries; of the others only hashes, so that the file verifies
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    /// Entries before this position; by default as many as the newest checkpoint covers
    #[arg(long, value_name = "N")]
    size: Option<u64>,
    /// The size of an older checkpoint to verify the file against too; may be repeated
    #[arg(long = "cut", value_name = "N")]
    cuts: Vec<u64>,
    /// Go on with what an export that broke off has left in FILE.part
    #[arg(long)]
    resume: bool,
    /// Replace FILE, and begin again whatever is in FILE.part
    #[arg(long, conflicts_with = "resume")]
    force: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// One JSON object a line: what `keywright audit verify` reads
    Jsonl,
    /// A table of events, for reading
    Csv,
}

/// So often in a row an export that gets no further is tried again.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

impl Export {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let mut part = self.open()?;
        let path = part.path().display().to_string();
        if self.format == Form::Jsonl {
            app.interrupts.hint(&format!("What has arrived is in {path}: the same with --resume goes on"));
        }
        let mut work = Work::new(app.out);
        let place = match self.fetch_again(app, &mut part, &mut work).await {
            Ok(place) => place,
            Err(error) => {
                let left = part.len();
                part.drop_if_empty();
                if left > 0 {
                    app.out.note(&format!("What has arrived is in {path} ({left} bytes)."));
                }
                return Err(error);
            }
        };
        drop(work);
        let bytes = part.len();
        part.finish(&self.out, self.force)?;
        let checkpoint = match &place {
            Some(place) => self.keep_checkpoint(app, &place.header).await,
            None => None,
        };
        self.report(app, bytes, place.as_ref(), checkpoint.as_deref());
        Ok(())
    }

    /// The file that is written; nothing that is there is touched unless the user said so.
    fn open(&self) -> Result<Part> {
        if self.out.is_dir() || self.out.file_name().is_none() {
            return Err(CliError::Usage(format!("{} is a folder: name a file", self.out.display())));
        }
        if self.out.exists() && !self.force {
            let path = self.out.display();
            return Err(CliError::Usage(format!("{path} exists: choose another name, or --force")));
        }
        if self.resume && self.format == Form::Csv {
            return Err(CliError::Usage(
                "--resume is for --format jsonl: a table begins again (--force)".into(),
            ));
        }
        let path = Part::path_of(&self.out);
        if path.exists() && !self.resume && !self.force {
            return Err(CliError::Usage(format!(
                "{} is left of an export that broke off: --resume goes on with it, --force begins again",
                path.display()
            )));
        }
        let mut part = Part::open(path)?;
        if self.force {
            part.clear()?;
        }
        Ok(part)
    }

    /// Goes on until all is there, or several tries in a row got no further. `None` for a table.
    async fn fetch_again(&self, app: &App<'_>, part: &mut Part, work: &mut Work) -> Result<Option<Place>> {
        let mut failed = 0;
        loop {
            let before = part.len();
            let fetched = match self.format {
                Form::Jsonl => self.fetch_lines(app, part, work).await.map(Some),
                Form::Csv => self.fetch_table(app, part, work).await.map(|()| None),
            };
            let error = match fetched {
                Ok(place) => return Ok(place),
                Err(error) => error,
            };
            let got_on = self.format == Form::Jsonl && part.len() > before;
            failed = if got_on { 1 } else { failed + 1 };
            // An export that has not begun is not begun again: what is wrong, the user should know at once.
            if !error.is_transient() || failed >= TRIES || part.len() == 0 {
                return Err(error);
            }
            work.note(&format!("{error}. Trying again"));
            sleep(PAUSE * (1 << failed)).await;
        }
    }

    async fn fetch_table(&self, app: &App<'_>, part: &mut Part, work: &mut Work) -> Result<()> {
        part.clear()?;
        let query = self.query(None);
        let mut chunks = app.client.chunks(&EXPORT, &borrowed(&query)).await?;
        let mut count = Counted::default();
        while let Some(chunk) = chunks.next().await? {
            part.append(chunk.as_ref())?;
            count.add(chunk.as_ref(), work);
        }
        Ok(())
    }

    /// Fetches what is missing.
    async fn fetch_lines(&self, app: &App<'_>, part: &mut Part, work: &mut Work) -> Result<Place> {
        let place = part.settle()?;
        if let Some(place) = &place {
            self.fits(&place.header)?;
            if place.is_whole() {
                return self.whole(part);
            }
        }
        let query = self.query(place.as_ref());
        let mut chunks = app.client.chunks(&EXPORT, &borrowed(&query)).await?;
        let mut first = Vec::new();
        let mut count = Counted::default();
        let mut is_past_header = false;
        while let Some(chunk) = chunks.next().await? {
            let bytes = chunk.as_ref();
            count.add(bytes, work);
            if is_past_header {
                part.append(bytes)?;
                continue;
            }
            first.extend_from_slice(bytes);
            let Some(end) = first.iter().position(|byte| *byte == b'\n') else {
                if first.len() as u64 > part::LONGEST {
                    return Err(CliError::Protocol("the export has no header".into()));
                }
                continue;
            };
            let (line, rest) = first.split_at(end);
            self.check_header(line, place.as_ref())?;
            // A part that goes on begins with a header of its own, which the file has already.
            part.append(if place.is_some() { rest.get(1..).unwrap_or_default() } else { &first })?;
            first = Vec::new();
            is_past_header = true;
        }
        self.whole(part)
    }

    /// Where it ends; a file that ends early has broken off.
    fn whole(&self, part: &mut Part) -> Result<Place> {
        match part.settle()? {
            Some(place) if place.is_whole() => Ok(place),
            _ => {
                Err(CliError::Unreachable { url: "the gateway".into(), cause: "the export broke off".into() })
            }
        }
    }

    fn query(&self, place: Option<&Place>) -> Vec<(&'static str, String)> {
        let format = if self.format == Form::Csv { "csv" } else { "jsonl" };
        let scope = place.map(|place| &place.header.scope).filter(|scope| !scope.is_empty());
        let mut query = vec![("format", format.to_owned())];
        query.extend(scope.or(self.tenant.as_ref()).map(|tenant| ("tenantId", tenant.clone())));
        query.extend(place.map(|place| ("from", place.next.to_string())));
        let size = place.map(|place| place.header.size).or(self.size);
        query.extend(size.map(|size| ("size", size.to_string())));
        query.extend(self.cuts.iter().map(|cut| ("cuts", cut.to_string())));
        query
    }

    /// Whether what is in `FILE.part` is what the user asks for now.
    fn fits(&self, header: &Header) -> Result<()> {
        let is_other = self.size.is_some_and(|size| size != header.size)
            || self.tenant.as_ref().is_some_and(|tenant| *tenant != header.scope)
            || header.from != 0;
        if !is_other {
            return Ok(());
        }
        let (size, scope) =
            (header.size, if header.scope.is_empty() { "every tenant" } else { &header.scope });
        Err(CliError::Usage(format!(
            "{} is of another export ({scope}, size {size}): --force begins again without it",
            Part::path_of(&self.out).display()
        )))
    }

    /// Whether the answer is the export that was asked for, or the rest of it.
    fn check_header(&self, line: &[u8], place: Option<&Place>) -> Result<()> {
        let header = part::header(line)
            .ok_or_else(|| CliError::Protocol("what came is no export of the audit log".into()))?;
        let expected = match place {
            Some(place) => Header { from: place.next, ..place.header.clone() },
            None => Header {
                from: 0,
                size: self.size.unwrap_or(header.size),
                scope: self.tenant.clone().unwrap_or_else(|| header.scope.clone()),
                ..header.clone()
            },
        };
        if header == expected {
            return Ok(());
        }
        Err(CliError::Protocol(format!(
            "the export is of another log or range: {} from {} to {} ({:?}), not {} from {} to {} ({:?})",
            header.origin,
            header.from,
            header.size,
            header.scope,
            expected.origin,
            expected.from,
            expected.size,
            expected.scope
        )))
    }

    /// Writes the checkpoint of the export's size beside it, if one was signed; without it the export is still good.
    async fn keep_checkpoint(&self, app: &App<'_>, header: &Header) -> Option<PathBuf> {
        let (index, size) = (header.size.checked_sub(1)?.to_string(), header.size.to_string());
        let asked = [("index", index.as_str()), ("size", size.as_str())];
        let proof = app.client.get_with(&["api", "audit", "proofs", "inclusion"], &asked).await.ok()?;
        let note = text(&proof.value, "/checkpoint");
        if note.is_empty() {
            return None;
        }
        let mut path = self.out.as_os_str().to_owned();
        path.push(".checkpoint");
        let path = PathBuf::from(path);
        // Another checkpoint may be all that is left of an older state of the log: it is never replaced.
        let same = std::fs::read(&path).is_ok_and(|kept| kept == note.as_bytes());
        if same {
            return Some(path);
        }
        match files::create_new(&path, note.as_bytes()) {
            Ok(()) => Some(path),
            Err(error) => {
                app.out.note(&format!("The checkpoint was not written: {error}"));
                None
            }
        }
    }

    fn report(&self, app: &App<'_>, bytes: u64, place: Option<&Place>, checkpoint: Option<&Path>) {
        let file = self.out.display().to_string();
        let checkpoint = checkpoint.map(|path| path.display().to_string());
        let mut answer =
            json!({"file": file, "bytes": bytes, "checkpoint": checkpoint.clone().unwrap_or_default()});
        if let (Some(Place { header, .. }), Some(answer)) = (place, answer.as_object_mut()) {
            answer.insert("origin".into(), header.origin.clone().into());
            answer.insert("size".into(), header.size.into());
            answer.insert("scope".into(), header.scope.clone().into());
        }
        app.out.answer(&Answer::of(answer.clone()), vec![view::exported(&answer)]);
        if place.is_some() {
            let kept = checkpoint.as_deref().unwrap_or("CHECKPOINT");
            app.out.news(&format!(
                "To verify it, with no server:\n  keywright audit verify --export {file} --checkpoint {kept} --key KEY\n\
                 KEY is the log's public key: one that you keep, or what `keywright audit keys` says."
            ));
        }
    }
}

const EXPORT: [&str; 3] = ["api", "audit", "export"];

fn borrowed<'a>(query: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    query.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// What has arrived, for people.
#[derive(Default)]
struct Counted {
    lines: usize,
    bytes: usize,
}

impl Counted {
    fn add(&mut self, chunk: &[u8], work: &mut Work) {
        self.lines += chunk.iter().filter(|byte| **byte == b'\n').count();
        self.bytes += chunk.len();
        work.say(&format!("{} entries, {} KiB", self.lines.saturating_sub(1), self.bytes >> 10));
    }
}
