//! The stream: one JSON value a line, so that whoever has opened a backup can read it without Keywright.
//!
//! `{"keywright-backup": 1, …}`, then for each service a `section` line, its tables (a `table` line, then a line for
//! each row: an array, with bytes as `{"base64": …}`) and an `end` line with the counts and the SHA-256 of the section's
//! lines; at last the `complete` line.

use super::SnapshotError;
use super::age::age_error;
use super::schema::{Column, Table};
use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::{BASE64, HEXLOWER};
use keywright_domain::clock::Instant;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};

pub const FORMAT: u32 = 1;
/// The audit log's entries have at most 64 KiB, keys less; nothing that we write is longer.
const LONGEST_LINE: u64 = 16 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// What the backup says of itself first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    #[serde(rename = "keywright-backup")]
    pub format: u32,
    /// Of the program that wrote it.
    pub version: String,
    #[serde(rename = "takenAtMicros")]
    pub taken_at: i64,
}

/// What a section says of itself first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    pub service: String,
    /// By the database's clock, once its snapshot was taken.
    #[serde(rename = "takenAtMicros")]
    pub taken_at: i64,
    /// Version and hash of each migration that the database has had.
    pub migrations: Vec<(i64, String)>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Mark {
    Head(Head),
    Section { section: Section },
    Table { table: String, columns: Vec<Column> },
    End { end: String, rows: BTreeMap<String, u64>, sha256: String },
    Complete { complete: u64 },
}

/// What a section held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub service: String,
    pub taken_at: Instant,
    pub rows: BTreeMap<String, u64>,
    /// Hexadecimal, of the section's lines.
    pub sha256: String,
}

impl Summary {
    pub fn total(&self) -> u64 {
        self.rows.values().sum()
    }
}

/// Counts and hashes of the section under way.
struct Open {
    section: Section,
    rows: BTreeMap<String, u64>,
    columns: usize,
    table: String,
    hash: Context,
}

impl Open {
    fn new(section: Section) -> Self {
        let hash = Context::new(&SHA256);
        Self { section, rows: BTreeMap::new(), columns: 0, table: String::new(), hash }
    }

    fn table(&mut self, name: &str, columns: usize) {
        name.clone_into(&mut self.table);
        self.columns = columns;
        self.rows.insert(name.to_owned(), 0);
    }

    fn row(&mut self) {
        if let Some(count) = self.rows.get_mut(&self.table) {
            *count = count.saturating_add(1);
        }
    }

    fn close(self) -> Summary {
        Summary {
            service: self.section.service,
            taken_at: Instant::from_micros(self.section.taken_at),
            rows: self.rows,
            sha256: HEXLOWER.encode(self.hash.finish().as_ref()),
        }
    }
}

/// Writes the stream.
pub struct Writer<W: Write> {
    output: W,
    open: Option<Open>,
    sections: u64,
}

impl<W: Write> Writer<W> {
    pub fn new(output: W, version: &str, taken_at: Instant) -> Result<Self, SnapshotError> {
        let mut writer = Self { output, open: None, sections: 0 };
        let head = Head { format: FORMAT, version: version.to_owned(), taken_at: taken_at.micros() };
        writer.mark(&Mark::Head(head))?;
        Ok(writer)
    }

    fn mark(&mut self, mark: &Mark) -> Result<(), SnapshotError> {
        let line = serde_json::to_vec(mark).map_err(|_| SnapshotError::Format("a line cannot be written"))?;
        self.line(line)
    }

    fn line(&mut self, mut line: Vec<u8>) -> Result<(), SnapshotError> {
        line.push(b'\n');
        if let Some(open) = &mut self.open {
            open.hash.update(&line);
        }
        self.output.write_all(&line).map_err(SnapshotError::Write)
    }

    pub(super) fn begin(&mut self, section: Section) -> Result<(), SnapshotError> {
        self.open = Some(Open::new(section.clone()));
        self.mark(&Mark::Section { section })
    }

    pub(super) fn table(&mut self, table: &Table) -> Result<(), SnapshotError> {
        if let Some(open) = &mut self.open {
            open.table(&table.name, table.columns.len());
        }
        self.mark(&Mark::Table { table: table.name.clone(), columns: table.columns.clone() })
    }

    pub(super) fn row(&mut self, values: &[Value]) -> Result<(), SnapshotError> {
        if let Some(open) = &mut self.open {
            open.row();
        }
        let values: Vec<serde_json::Value> = values.iter().map(encode).collect();
        let line =
            serde_json::to_vec(&values).map_err(|_| SnapshotError::Format("a row cannot be written"))?;
        self.line(line)
    }

    pub(super) fn end(&mut self) -> Result<Summary, SnapshotError> {
        let open = self.open.take().ok_or(SnapshotError::Format("a section ends before it began"))?;
        let summary = open.close();
        self.sections = self.sections.saturating_add(1);
        let (end, rows, sha256) = (summary.service.clone(), summary.rows.clone(), summary.sha256.clone());
        self.mark(&Mark::End { end, rows, sha256 })?;
        Ok(summary)
    }

    /// The last line; answers what the stream was written to.
    pub fn complete(mut self) -> Result<W, SnapshotError> {
        self.mark(&Mark::Complete { complete: self.sections })?;
        Ok(self.output)
    }
}

fn encode(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Int(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Blob(bytes) => serde_json::json!({ "base64": BASE64.encode(bytes) }),
    }
}

fn decode(value: serde_json::Value) -> Option<Value> {
    match value {
        serde_json::Value::Null => Some(Value::Null),
        serde_json::Value::Number(number) => number.as_i64().map(Value::Int),
        serde_json::Value::String(text) => Some(Value::Text(text)),
        serde_json::Value::Object(object) => {
            BASE64.decode(object.get("base64")?.as_str()?.as_bytes()).ok().map(Value::Blob)
        }
        serde_json::Value::Bool(_) | serde_json::Value::Array(_) => None,
    }
}

/// One thing that the stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Section(Section),
    Table(Table),
    Row(Vec<Value>),
    /// The section was as it says: counts and hash are right.
    End(Summary),
    /// The stream is complete.
    Complete,
}

/// Reads the stream and checks what it says of itself.
pub struct Reader<R: Read> {
    input: BufReader<R>,
    head: Head,
    open: Option<Open>,
    sections: u64,
}

impl<R: Read> Reader<R> {
    pub fn new(input: R) -> Result<Self, SnapshotError> {
        let mut input = BufReader::new(input);
        let line = line(&mut input)?;
        let head: Head =
            serde_json::from_slice(&line).map_err(|_| SnapshotError::Format("it is not a backup"))?;
        if head.format != FORMAT {
            return Err(SnapshotError::Format("its format is newer"));
        }
        Ok(Self { input, head, open: None, sections: 0 })
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next thing that it says.
    pub fn item(&mut self) -> Result<Item, SnapshotError> {
        let line = line(&mut self.input)?;
        if line.first() == Some(&b'[') {
            return self.row(&line);
        }
        match serde_json::from_slice(&line).map_err(|_| broken())? {
            Mark::Section { section } if self.open.is_none() => {
                let mut open = Open::new(section.clone());
                open.hash.update(&line);
                self.open = Some(open);
                Ok(Item::Section(section))
            }
            Mark::Table { table, columns } => {
                let open = self.open.as_mut().ok_or_else(broken)?;
                open.hash.update(&line);
                open.table(&table, columns.len());
                Ok(Item::Table(Table { name: table, columns }))
            }
            Mark::End { end, rows, sha256 } => {
                let found = self.open.take().ok_or_else(broken)?.close();
                if found.service != end || found.rows != rows || found.sha256 != sha256 {
                    return Err(SnapshotError::Format("a section is not what it says of itself"));
                }
                self.sections = self.sections.saturating_add(1);
                Ok(Item::End(found))
            }
            Mark::Complete { complete } if self.open.is_none() && complete == self.sections => {
                if self.input.fill_buf().map_err(age_error)?.is_empty() {
                    Ok(Item::Complete)
                } else {
                    Err(broken())
                }
            }
            _ => Err(broken()),
        }
    }

    fn row(&mut self, line: &[u8]) -> Result<Item, SnapshotError> {
        let open = self.open.as_mut().ok_or_else(broken)?;
        open.hash.update(line);
        open.row();
        let values: Vec<serde_json::Value> = serde_json::from_slice(line).map_err(|_| broken())?;
        let values: Vec<Value> = values.into_iter().map(decode).collect::<Option<_>>().ok_or_else(broken)?;
        if values.len() == open.columns { Ok(Item::Row(values)) } else { Err(broken()) }
    }
}

const fn broken() -> SnapshotError {
    SnapshotError::Format("its lines do not follow each other")
}

/// The next line with its end.
fn line<R: Read>(input: &mut BufReader<R>) -> Result<Vec<u8>, SnapshotError> {
    let mut line = Vec::new();
    input.take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(age_error)?;
    if line.last() == Some(&b'\n') { Ok(line) } else { Err(SnapshotError::Format("it ends too early")) }
}
