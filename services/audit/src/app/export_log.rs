//! Exports the log as a file that is made while it is sent: however long the log, little of it is held.
//!
//! Invariant: an export covers what a checkpoint covers, so that the file verifies; unless it is told where to end, one is
//! signed of all that is there. Of what is not shown (another tenant's, retired) it has the roots of subtrees, none of
//! which crosses the end of the file or a cut.

use super::places::Places;
use super::read_tree::newest;
use super::sign_checkpoints::SignCheckpoints;
use crate::store::event::{self, Event};
use crate::store::export::{self, Row};
use crate::store::{checkpoint, segment, tree};
use keywright_domain::caller::Caller;
use keywright_domain::reason::Reason;
use keywright_log::export::{FORMAT, Header, Hidden};
use keywright_log::tree::{Leaves, subtrees};
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, OutcomeKind};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;

const ACTION: &str = "audit.export";

/// Rows that are read at once.
const AT_ONCE: i64 = 500;

/// Positions that are looked at at once for entries of one tenant.
const WINDOW: u64 = 4_096;

/// A client that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of a chunk, and a line more.
const CHUNK: usize = 64 * 1024;

/// Chunks that wait for the client.
const WAITING: usize = 4;

const MOST_CUTS: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Jsonl,
    Csv,
}

/// What is asked for; `size` is that of the newest checkpoint if none is given.
#[derive(Debug, Clone)]
pub struct Asked {
    pub format: Format,
    pub tenant: String,
    pub from: i64,
    pub size: i64,
    pub cuts: Vec<i64>,
}

/// The next bytes, or what broke the file off.
pub type Chunk = Result<Vec<u8>, Failure>;

#[derive(Clone)]
pub struct ExportLog {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub sign: SignCheckpoints,
    pub places: Places,
}

impl ExportLog {
    pub async fn run(&self, caller: &Caller, mut asked: Asked) -> Result<mpsc::Receiver<Chunk>, Failure> {
        let tenant = super::scope(&self.guard, caller, ACTION, &mut asked.tenant).await?;
        let place = self.places.take(&caller.principal)?;
        if asked.size == 0
            && let Err(failure) = self.sign.freshly().await
        {
            // What is signed already can be taken away all the same.
            tracing::warn!(reason = failure.reason.as_str(), "an export ends at the last checkpoint");
        }
        let newest = newest(&self.db).await?.size;
        let part = parse(&asked, newest)?;
        let origin = checkpoint::origin(&self.db).await?.map(|origin| origin.name).unwrap_or_default();
        let entry = Entry::new(ACTION)
            .tenant(tenant.as_ref())
            .target(&asked.tenant)
            .detail("format", if asked.format == Format::Csv { "csv" } else { "jsonl" })
            .detail("from", part.leaves.start.to_string())
            .detail("size", part.leaves.end.to_string());
        let intent = self.audit.intend(caller, entry).await?;
        let (out, chunks) = mpsc::channel(WAITING);
        let file =
            File { db: self.db.clone(), scope: asked.tenant, part, out, buffer: Vec::new(), entries: 0 };
        let written = self.clone().write(file, asked.format, origin, intent);
        tokio::spawn(async move {
            written.await;
            drop(place);
        });
        Ok(chunks)
    }

    async fn write(self, mut file: File, format: Format, origin: String, intent: Intent) {
        let written = match format {
            Format::Jsonl => file.jsonl(origin).await,
            Format::Csv => file.csv().await,
        };
        let outcome = match &written {
            Ok(()) => Outcome::succeeded(),
            Err(Stopped::Gone) => {
                Outcome { kind: OutcomeKind::Interrupted, reason: String::new(), details: Default::default() }
            }
            Err(Stopped::Failed(failure)) => Outcome::failed(failure.reason.as_str()),
        };
        if written.is_ok() && format == Format::Jsonl && file.scope.is_empty() {
            self.note_exported(&file.part.leaves).await;
        }
        let outcome = outcome.with("entries", file.entries.to_string());
        if self.audit.settle(&self.db, &intent, outcome).await.is_err() {
            tracing::warn!(event = %intent.event(), "the end of an export could not be recorded");
        }
        if let Err(Stopped::Failed(failure)) = written {
            let _gone = tokio::time::timeout(PATIENCE, file.out.send(Err(failure))).await;
        }
    }

    async fn note_exported(&self, leaves: &Leaves) {
        let noted: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("exported segments").await?;
                segment::exported(&mut tx, leaves.start, leaves.end).await?;
                tx.commit().await?;
                Ok(())
            })
            .await;
        if noted.is_err() {
            tracing::warn!("which segments were exported could not be recorded: export them again");
        }
    }
}

/// Which leaves, and where no hidden subtree may reach over.
#[derive(Debug)]
struct Part {
    leaves: Leaves,
    cuts: BTreeSet<u64>,
}

fn parse(asked: &Asked, newest: u64) -> Result<Part, Failure> {
    let number = |field: &str, number: i64, most: u64| {
        let within = u64::try_from(number).ok().filter(|number| *number <= most);
        within.ok_or_else(|| Failure::violation(field, format!("must be from 0 to {most}")))
    };
    let size = if asked.size == 0 { newest } else { number("size", asked.size, newest)? };
    let from = number("from", asked.from, size)?;
    if asked.cuts.len() > MOST_CUTS {
        return Err(Failure::violation("cuts", format!("must be at most {MOST_CUTS}")));
    }
    let cuts = asked.cuts.iter().map(|cut| number("cuts", *cut, newest)).collect::<Result<_, _>>()?;
    Ok(Part { leaves: from..size, cuts })
}

/// Why a file was not written to its end.
enum Stopped {
    /// The client went away.
    Gone,
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

struct File {
    db: Db,
    scope: String,
    part: Part,
    out: mpsc::Sender<Chunk>,
    buffer: Vec<u8>,
    entries: u64,
}

impl File {
    async fn jsonl(&mut self, origin: String) -> Result<(), Stopped> {
        let Leaves { start, end } = self.part.leaves.clone();
        let scope = self.scope.clone();
        self.line(&Header { format: FORMAT.to_owned(), version: 1, origin, size: end, from: start, scope })
            .await?;
        // What is written ends at `next`; what is read may be further, where nothing of it is shown.
        let (mut next, mut read) = (start, start);
        while read < end {
            let rows = match self.scope.as_str() {
                "" => export::rows(&self.db, read, end, AT_ONCE).await?,
                tenant => {
                    let until = end.min(read.saturating_add(WINDOW));
                    let rows = export::rows_of_tenant(&self.db, tenant, read, until).await?;
                    read = until;
                    rows
                }
            };
            if self.scope.is_empty() {
                let last = rows.last().map(|row| row.seq.saturating_add(1));
                read =
                    last.ok_or_else(|| Failure::new(Reason::Internal, format!("entry {read} is missing")))?;
            }
            next = self.rows(next, rows).await?;
            // However long nothing is shown: a client that is gone is noticed.
            if self.out.is_closed() {
                return Err(Stopped::Gone);
            }
        }
        self.hidden(next..end).await?;
        self.flush().await
    }

    /// Writes the entries among rows, and before each what is hidden since `from`; where the next ones begin.
    async fn rows(&mut self, from: u64, rows: Vec<Row>) -> Result<u64, Stopped> {
        let mut next = from;
        for Row { seq, entry } in rows {
            let Some(entry) = entry else { continue };
            self.hidden(next..seq).await?;
            self.line(&entry).await?;
            self.entries = self.entries.saturating_add(1);
            next = seq.saturating_add(1);
        }
        Ok(next)
    }

    async fn hidden(&mut self, leaves: Leaves) -> Result<(), Stopped> {
        if leaves.is_empty() {
            return Ok(());
        }
        let mut from = leaves.start;
        let cuts: Vec<u64> =
            self.part.cuts.range(leaves.start..leaves.end).copied().chain([leaves.end]).collect();
        for until in cuts {
            let pieces = subtrees(&(from..until));
            let ranges: Vec<Leaves> =
                pieces.iter().map(|piece| piece.start..piece.end().unwrap_or(piece.start)).collect();
            let roots = tree::roots(&self.db, &ranges).await?;
            for (piece, root) in pieces.iter().zip(roots) {
                self.line(&Hidden { index: piece.start, height: piece.height, hash: root.hex() }).await?;
            }
            from = until;
        }
        Ok(())
    }

    async fn csv(&mut self) -> Result<(), Stopped> {
        self.buffer.extend(TITLES.join(",").bytes());
        self.buffer.extend(b"\r\n");
        let end = tree::signed(self.part.leaves.end)?;
        let mut next = tree::signed(self.part.leaves.start)?;
        loop {
            let events = event::ascending(&self.db, &self.scope, next, end, AT_ONCE).await?;
            let Some(last) = events.last() else { return self.flush().await };
            next = last.seq.saturating_add(1);
            for event in &events {
                self.buffer.extend(csv_line(event).into_bytes());
                self.entries = self.entries.saturating_add(1);
                self.flush_if_full().await?;
            }
        }
    }

    async fn line(&mut self, line: &impl Serialize) -> Result<(), Stopped> {
        let unwritten = |_| Failure::new(Reason::Internal, "a line could not be written");
        serde_json::to_writer(&mut self.buffer, line).map_err(unwritten)?;
        self.buffer.push(b'\n');
        self.flush_if_full().await
    }

    async fn flush_if_full(&mut self) -> Result<(), Stopped> {
        if self.buffer.len() < CHUNK { Ok(()) } else { self.flush().await }
    }

    async fn flush(&mut self) -> Result<(), Stopped> {
        let chunk = std::mem::take(&mut self.buffer);
        if chunk.is_empty() {
            return Ok(());
        }
        match tokio::time::timeout(PATIENCE, self.out.send(Ok(chunk))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Stopped::Gone),
        }
    }
}

const TITLES: [&str; 18] = [
    "sequence",
    "outcomeSequence",
    "time",
    "finishedAt",
    "id",
    "action",
    "outcome",
    "reason",
    "actor",
    "actorKind",
    "tenantId",
    "target",
    "comment",
    "sourceIp",
    "userAgent",
    "requestId",
    "traceId",
    "details",
];

fn csv_line(event: &Event) -> String {
    let time = |at: Option<keywright_domain::clock::Instant>| at.map(|at| at.rfc3339()).unwrap_or_default();
    let cells: [String; TITLES.len()] = [
        event.seq.to_string(),
        event.outcome_seq.map(|seq| seq.to_string()).unwrap_or_default(),
        time(Some(event.time)),
        time(event.finished_at),
        event.id.clone(),
        event.action.clone(),
        event.outcome.clone(),
        event.reason.clone(),
        event.actor.clone(),
        event.actor_kind.clone(),
        event.tenant.clone(),
        event.target.clone(),
        event.comment.clone(),
        event.source_ip.clone(),
        event.user_agent.clone(),
        event.request_id.clone(),
        event.trace_id.clone(),
        keywright_log::leaf::canonical(&event.details),
    ];
    let mut line = cells.iter().map(|cell| csv_cell(cell)).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

/// As RFC 4180 quotes it. A text that a spreadsheet would take for a formula has an apostrophe before it.
fn csv_cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// A file as it is sent.
#[cfg(test)]
pub async fn written(db: &Db, scope: &str, leaves: Leaves, cuts: &[u64], origin: &str) -> Vec<u8> {
    let (out, mut chunks) = mpsc::channel(WAITING);
    let part = Part { leaves, cuts: cuts.iter().copied().collect() };
    let mut file =
        File { db: db.clone(), scope: scope.to_owned(), part, out, buffer: Vec::new(), entries: 0 };
    let origin = origin.to_owned();
    let writing = tokio::spawn(async move { assert!(file.jsonl(origin).await.is_ok()) });
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.recv().await {
        bytes.extend(chunk.unwrap());
    }
    writing.await.unwrap();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        for (text, cell) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"x\"\n", "\"say \"\"x\"\"\n\""),
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("-1", "'-1"),
            ("", ""),
        ] {
            assert_eq!(csv_cell(text), cell);
        }
    }

    #[test]
    fn only_what_a_checkpoint_covers_is_exported() {
        let asked = |from, size, cuts: &[i64]| Asked {
            format: Format::Jsonl,
            tenant: String::new(),
            from,
            size,
            cuts: cuts.to_vec(),
        };
        assert_eq!(parse(&asked(0, 0, &[]), 10).unwrap().leaves, 0..10);
        assert_eq!(parse(&asked(3, 7, &[5]), 10).unwrap().leaves, 3..7);
        for bad in
            [asked(0, 11, &[]), asked(8, 7, &[]), asked(-1, 0, &[]), asked(0, -1, &[]), asked(0, 0, &[11])]
        {
            assert_eq!(parse(&bad, 10).unwrap_err().reason, Reason::ValidationFailed, "{bad:?}");
        }
    }
}
