//! An exported log: JSON Lines, and what it takes to verify one with no server.
//!
//! The first line is the header. After it stand, in order and without a gap, entries and the roots of subtrees whose
//! entries are not shown: another tenant's, or retired ones. Whoever has the file, a signed checkpoint and the public key
//! can tell whether anything was changed, dropped, added or swapped.

use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::leaf::{self, Pairs, Shown, Text, Values};
use crate::tree::Frontier;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const FORMAT: &str = "keywright-audit-export";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub format: String,
    pub version: u32,
    pub origin: String,
    /// Entries before this position are in the file.
    pub size: u64,
    /// The first position.
    pub from: u64,
    /// The tenant whose entries are shown; empty for all.
    pub scope: String,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub index: u64,
    /// The leaf hash, in hexadecimal: by it the entry that was changed is found.
    pub hash: String,
    /// What is hashed.
    pub leaf: String,
    /// What was erased is absent.
    pub clear: Shown,
    pub salts: BTreeMap<String, String>,
}

/// The root of a complete, aligned subtree whose entries are not shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hidden {
    /// Its first position.
    pub index: u64,
    /// It has 2^height entries.
    pub height: u8,
    /// Hexadecimal.
    pub hash: String,
}

/// A line after the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    Entry(Box<Entry>),
    Hidden(Hidden),
}

/// `Line`, as it is read: an entry has a leaf, a hidden subtree a height.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    index: u64,
    #[serde(borrow)]
    hash: Text<'a>,
    height: Option<u8>,
    #[serde(borrow)]
    leaf: Option<Text<'a>>,
    #[serde(borrow)]
    clear: Option<Values<'a>>,
    #[serde(borrow)]
    salts: Option<Pairs<'a>>,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    #[error("the file does not begin with the header of an export that this version can read")]
    Header,
    #[error("the file begins at entry {0}: only an export from entry 0 on can be verified")]
    NotWhole(u64),
    #[error("line {0} is neither an entry nor a hidden subtree")]
    Line(u64),
    #[error("entry {expected} is missing or out of order: line {line} has entry {found}")]
    Order { line: u64, expected: u64, found: u64 },
    #[error("entry {index} is wrong: {what}")]
    Entry { index: u64, what: String },
    #[error("the subtree at entry {0} cannot stand there")]
    Misplaced(u64),
    #[error(
        "a hidden subtree at entry {index} reaches over entry {size}, where a checkpoint ends: export again with --cut {size}"
    )]
    Crosses { index: u64, size: u64 },
    #[error("the file ends at entry {has}, the checkpoint covers {covers}: the end is missing")]
    Truncated { has: u64, covers: u64 },
    #[error("the file is of the log {file}, the checkpoint of {checkpoint}")]
    Origin { file: String, checkpoint: String },
    #[error(
        "the entries do not give the root of the checkpoint of size {0}: one was changed together with its hash"
    )]
    Root(u64),
    #[error("the older checkpoint has {older} entries, the newer one {newer}")]
    Backwards { older: u64, newer: u64 },
}

/// What a verified file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub header: Header,
    /// Entries shown up to the checkpoint.
    pub entries: u64,
    /// Of these, the ones with a value erased.
    pub erased: u64,
    /// Entries that stand as hashes alone.
    pub hidden: u64,
    /// Entries after the checkpoint, which nothing vouches for.
    pub beyond: u64,
}

/// Reads a file line by line and remembers little.
#[derive(Debug)]
pub struct Verifier {
    checkpoints: Vec<Checkpoint>,
    roots: BTreeMap<u64, Hash>,
    tree: Frontier,
    lines: u64,
    report: Option<Report>,
    /// Used again for each line.
    memory: Vec<u8>,
}

impl Verifier {
    /// `older` are earlier checkpoints that the file must be a continuation of.
    pub fn new(newest: Checkpoint, older: Vec<Checkpoint>) -> Result<Self, ExportError> {
        if let Some(older) = older.iter().find(|older| older.size > newest.size) {
            return Err(ExportError::Backwards { older: older.size, newer: newest.size });
        }
        let mut checkpoints = vec![newest];
        checkpoints.extend(older);
        let mut verifier = Self {
            checkpoints,
            roots: BTreeMap::new(),
            tree: Frontier::default(),
            lines: 0,
            report: None,
            memory: Vec::new(),
        };
        verifier.note_root();
        Ok(verifier)
    }

    /// Takes the next line, without its line break.
    pub fn line(&mut self, text: &str) -> Result<(), ExportError> {
        self.lines = self.lines.saturating_add(1);
        let Some(report) = &mut self.report else {
            self.report = Some(header(text, &self.checkpoints)?);
            return Ok(());
        };
        let neither = ExportError::Line(self.lines);
        let Ok(Read { index, hash, height, leaf, clear, salts }) = serde_json::from_str(text) else {
            return Err(neither);
        };
        let expected = self.tree.size();
        if index != expected {
            return Err(ExportError::Order { line: self.lines, expected, found: index });
        }
        let covered = self.checkpoints.first().is_some_and(|newest| expected < newest.size);
        match (height, leaf, clear, salts) {
            (None, Some(leaf), Some(clear), Some(salts)) => {
                let wrong = |what: String| ExportError::Entry { index, what };
                leaf::check_read(&leaf.0, clear, &salts, &mut self.memory)
                    .map_err(|error| wrong(error.to_string()))?;
                let found = Hash::leaf(leaf.0.as_bytes());
                if !found.is_hex(&hash.0) {
                    return Err(wrong("its leaf does not have the hash that stands beside it".to_owned()));
                }
                self.tree.push(0, found).map_err(|_| ExportError::Misplaced(index))?;
                let is_erased = salts.len() < leaf::COMMITTED.len();
                if covered {
                    report.entries = report.entries.saturating_add(1);
                    report.erased = report.erased.saturating_add(u64::from(is_erased));
                } else {
                    report.beyond = report.beyond.saturating_add(1);
                }
            }
            (Some(height), None, None, None) => {
                let hash = Hash::from_hex(&hash.0).ok_or(ExportError::Misplaced(index))?;
                self.tree.push(height, hash).map_err(|_| ExportError::Misplaced(index))?;
                let end = self.tree.size();
                let crossed = self.checkpoints.iter().find(|it| index < it.size && it.size < end);
                if let Some(Checkpoint { size, .. }) = crossed {
                    return Err(ExportError::Crosses { index, size: *size });
                }
                let leaves = end.saturating_sub(index);
                let counted = if covered { &mut report.hidden } else { &mut report.beyond };
                *counted = counted.saturating_add(leaves);
            }
            _ => return Err(neither),
        }
        self.note_root();
        Ok(())
    }

    fn note_root(&mut self) {
        let size = self.tree.size();
        if self.checkpoints.iter().any(|it| it.size == size) {
            self.roots.insert(size, self.tree.root());
        }
    }

    /// After the last line.
    pub fn finish(self) -> Result<Report, ExportError> {
        let report = self.report.ok_or(ExportError::Header)?;
        // The older ones first: what differs there differs ever after.
        for Checkpoint { size, root, .. } in self.checkpoints.iter().rev() {
            match self.roots.get(size) {
                None => return Err(ExportError::Truncated { has: self.tree.size(), covers: *size }),
                Some(found) if found != root => return Err(ExportError::Root(*size)),
                Some(_) => {}
            }
        }
        Ok(report)
    }
}

fn header(text: &str, checkpoints: &[Checkpoint]) -> Result<Report, ExportError> {
    let header: Header = serde_json::from_str(text).map_err(|_| ExportError::Header)?;
    if header.format != FORMAT || header.version != 1 {
        return Err(ExportError::Header);
    }
    if header.from != 0 {
        return Err(ExportError::NotWhole(header.from));
    }
    // An older checkpoint may be of the log's earlier name: its key was given, and its root is compared.
    if let Some(newest) = checkpoints.first()
        && newest.origin != header.origin
    {
        return Err(ExportError::Origin { file: header.origin, checkpoint: newest.origin.clone() });
    }
    Ok(Report { header, entries: 0, erased: 0, hidden: 0, beyond: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf::{Clear, Unsealed};
    use crate::tree::{fold, subtrees};

    const ORIGIN: &str = "example.com/log";

    fn entry(index: u64) -> Entry {
        let clear = Clear { actor: format!("prn_{index}"), target: "srv_1".to_owned(), ..Clear::default() };
        let open = [("eventId", &*format!("evt_{index}"))];
        let unsealed = Unsealed::new("INTENT", &open, &clear, &[[7; 16]; 5]);
        let leaf = unsealed.seal(&format!("at {index}"));
        Entry {
            index,
            hash: leaf.hash.hex(),
            leaf: leaf.text,
            clear: Shown {
                actor: Some(clear.actor),
                source_ip: Some(String::new()),
                user_agent: Some(String::new()),
                target: Some(clear.target),
                details: Some(BTreeMap::new()),
            },
            salts: serde_json::from_str(unsealed.salts()).unwrap(),
        }
    }

    fn header(size: u64) -> String {
        let (format, origin, scope) = (FORMAT.to_owned(), ORIGIN.to_owned(), String::new());
        serde_json::to_string(&Header { format, version: 1, origin, size, from: 0, scope }).unwrap()
    }

    fn export(size: u64) -> Vec<String> {
        let entries = (0..size).map(|index| serde_json::to_string(&entry(index)).unwrap());
        std::iter::once(header(size)).chain(entries).collect()
    }

    fn checkpoint(size: u64) -> Checkpoint {
        let mut tree = Frontier::default();
        (0..size).for_each(|index| tree.push(0, Hash::leaf(entry(index).leaf.as_bytes())).unwrap());
        Checkpoint { origin: ORIGIN.to_owned(), size, root: tree.root() }
    }

    fn verify(lines: &[String], newest: u64, older: &[u64]) -> Result<Report, ExportError> {
        let older = older.iter().map(|size| checkpoint(*size)).collect();
        let mut verifier = Verifier::new(checkpoint(newest), older)?;
        lines.iter().try_for_each(|line| verifier.line(line))?;
        verifier.finish()
    }

    fn changed(at: usize, change: impl Fn(&mut Entry)) -> Vec<String> {
        let mut lines = export(20);
        let mut entry: Entry = serde_json::from_str(&lines[at + 1]).unwrap();
        change(&mut entry);
        lines[at + 1] = serde_json::to_string(&entry).unwrap();
        lines
    }

    #[test]
    fn a_whole_file_verifies_against_every_checkpoint() {
        for newest in 0..=20 {
            let report = verify(&export(20), newest, &[0, newest / 2, newest]).unwrap();
            assert_eq!((report.entries, report.beyond), (newest, 20 - newest));
        }
    }

    #[test]
    fn the_entry_that_was_changed_is_named() {
        let named = |lines: &[String], words: &str| {
            let error = verify(lines, 20, &[]).unwrap_err().to_string();
            assert!(error.starts_with("entry 7 ") && error.contains(words), "{error}");
        };
        named(
            &changed(7, |entry| entry.leaf = entry.leaf.replace("evt_7", "evt_8")),
            "hash that stands beside",
        );
        named(&changed(7, |entry| entry.leaf = entry.leaf.replace("INTENT", "INTENT ")), "hash");
        named(&changed(7, |entry| entry.leaf.push(' ')), "canonical");
        named(&changed(7, |entry| entry.hash = Hash::leaf(b"").hex()), "hash that stands beside");
        named(&changed(7, |entry| entry.clear.actor = Some("prn_8".to_owned())), "actor");
        named(&changed(7, |entry| entry.clear.actor = None), "actor");
        named(&changed(7, |entry| drop(entry.salts.insert("target".to_owned(), "07".to_owned()))), "target");
        let mut dropped = export(20);
        dropped.remove(8);
        named(&dropped, "missing");
        let mut doubled = export(20);
        doubled.insert(7, doubled[7].clone());
        assert!(matches!(verify(&doubled, 20, &[]), Err(ExportError::Order { expected: 7, found: 6, .. })));
        let mut swapped = export(20);
        swapped.swap(8, 9);
        named(&swapped, "out of order");
    }

    #[test]
    fn what_was_changed_with_care_does_not_have_the_root() {
        // With the hash, the salts and the positions put right.
        let forged = changed(7, |entry| {
            let other = super::tests::entry(70);
            *entry = Entry { index: 7, ..other };
        });
        assert_eq!(verify(&forged, 20, &[]), Err(ExportError::Root(20)));
        assert_eq!(
            verify(&forged, 20, &[8]),
            Err(ExportError::Root(8)),
            "the first checkpoint that shows it"
        );
        assert!(verify(&forged, 7, &[]).is_ok(), "nothing is said of what comes after the checkpoint");
        let swapped = changed(7, |it| *it = Entry { index: 7, ..entry(8) });
        assert_eq!(verify(&swapped, 20, &[]), Err(ExportError::Root(20)));
    }

    #[test]
    fn a_missing_end_another_log_and_an_older_one_are_refused() {
        let (has, covers) = (19, 20);
        assert_eq!(verify(&export(19), 20, &[]), Err(ExportError::Truncated { has, covers }));
        assert_eq!(verify(&[], 20, &[]), Err(ExportError::Header));
        assert_eq!(verify(&export(20)[1..], 20, &[]), Err(ExportError::Header));
        assert_eq!(verify(&export(20), 10, &[11]), Err(ExportError::Backwards { older: 11, newer: 10 }));
        let mut resumed = export(20);
        resumed[0] = resumed[0].replace("\"from\":0", "\"from\":3");
        assert_eq!(verify(&resumed, 20, &[]), Err(ExportError::NotWhole(3)));
        let mut other = export(20);
        other[0] = other[0].replace("example", "examples");
        assert!(matches!(verify(&other, 20, &[]), Err(ExportError::Origin { .. })));
        let mut garbage = export(20);
        garbage[4] = "{\"index\":3}".to_owned();
        assert_eq!(verify(&garbage, 20, &[]), Err(ExportError::Line(5)));
    }

    #[test]
    fn hidden_subtrees_and_erased_values_verify() {
        let mut lines = vec![header(20)];
        for range in [0..5u64, 6..18] {
            for subtree in subtrees(&range) {
                let leaves =
                    (subtree.start..subtree.end().unwrap()).map(|it| Hash::leaf(entry(it).leaf.as_bytes()));
                let mut tree = Frontier::default();
                leaves.for_each(|leaf| tree.push(0, leaf).unwrap());
                let (index, height) = (subtree.start, subtree.height);
                let hidden = Hidden { index, height, hash: fold([tree.root()]).hex() };
                lines.push(serde_json::to_string(&hidden).unwrap());
            }
            let mut shown = entry(range.end);
            shown.salts.clear();
            shown.clear = Shown::default();
            lines.push(serde_json::to_string(&shown).unwrap());
        }
        lines.push(serde_json::to_string(&entry(19)).unwrap());
        let report = verify(&lines, 20, &[6, 18]).unwrap();
        assert_eq!((report.entries, report.hidden, report.erased), (3, 17, 2));
        assert_eq!(verify(&lines, 20, &[3]), Err(ExportError::Crosses { index: 0, size: 3 }));
        lines[1] = lines[1].replace("\"height\":2", "\"height\":3");
        assert!(verify(&lines, 20, &[]).is_err());
    }
}
