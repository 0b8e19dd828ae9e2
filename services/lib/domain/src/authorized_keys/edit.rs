//! From the file as it is to the file as it should be.

use super::line::{Document, KeyLine, Line};
use super::marker::Owner;
use super::options::{ExpiryTime, LineOption, option_name};
use crate::key::PublicKey;
use crate::reason::Reason;
use std::collections::{HashMap, HashSet};

/// No larger file is read or written.
pub const MAX_FILE: usize = 1024 * 1024;

/// Options that would make our line do something else than log its key in.
const NEVER_CARRIED: &[&[u8]] = &[b"expiry-time", b"cert-authority", b"principals"];

/// What the file should hold of ours.
#[derive(Debug, Clone)]
pub struct Desired {
    pub owner: Owner,
    pub revision: u64,
    pub lines: Vec<DesiredLine>,
    /// The blob of every version that ever was: each is removed unless `lines` names it.
    pub all_blobs: Vec<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub struct DesiredLine {
    pub public_key: PublicKey,
    pub version: u32,
    /// None takes an expiry off.
    pub expiry: Option<ExpiryTime>,
    /// Set besides what the line already carries; an option of the same name is replaced.
    pub options: Vec<LineOption>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("a newer edit (revision {found}) has been made; read the state again")]
    Superseded { found: u64 },
    #[error("the file is larger than 1 MiB; remove old lines")]
    TooLarge,
}

impl EditError {
    pub const fn reason(self) -> Reason {
        match self {
            Self::Superseded { .. } => Reason::RevisionMismatch,
            Self::TooLarge => Reason::HostFileTooLarge,
        }
    }
}

/// Rewrites our lines in place, removes what is no longer wanted, adds what is missing at the end, and writes the
/// marker. Of several lines with one of our keys the first stays.
pub fn apply(file: &[u8], desired: &Desired) -> Result<Vec<u8>, EditError> {
    if file.len() > MAX_FILE {
        return Err(EditError::TooLarge);
    }
    let document = Document::parse(file);
    let found = document.lines().iter().filter_map(|line| desired.owner.read_marker(line)).max();
    if let Some(found) = found.filter(|found| *found > desired.revision) {
        return Err(EditError::Superseded { found });
    }
    let mut editor = Editor::new(desired, file.len());
    for line in document.lines() {
        editor.line(line);
    }
    let edited = editor.finish();
    if edited.len() > MAX_FILE { Err(EditError::TooLarge) } else { Ok(edited) }
}

struct Editor<'d> {
    desired: &'d Desired,
    wanted: HashMap<&'d [u8], &'d DesiredLine>,
    ours: HashSet<&'d [u8]>,
    written: HashSet<&'d [u8]>,
    marked: bool,
    out: Vec<u8>,
}

impl<'d> Editor<'d> {
    fn new(desired: &'d Desired, size: usize) -> Self {
        let wanted: HashMap<_, _> = desired.lines.iter().map(|line| (line.public_key.blob(), line)).collect();
        let ours = desired.all_blobs.iter().map(Vec::as_slice).chain(wanted.keys().copied()).collect();
        let out = Vec::with_capacity(size.saturating_add(1024));
        Self { desired, wanted, ours, written: HashSet::new(), marked: false, out }
    }

    fn line(&mut self, line: &Line<'_>) {
        if self.desired.owner.read_marker(line).is_some() {
            if !std::mem::replace(&mut self.marked, true) {
                self.push(self.desired.owner.marker(self.desired.revision).as_bytes(), line.line_end());
            }
            return;
        }
        match line.key() {
            Some(key) if self.ours.contains(key.blob()) => self.our_line(line, key),
            _ => self.out.extend_from_slice(line.raw()),
        }
    }

    fn our_line(&mut self, line: &Line<'_>, key: &KeyLine<'_>) {
        let Some((blob, wanted)) = self.wanted.get_key_value(key.blob()) else { return };
        if self.written.insert(blob) {
            let text = render(&self.desired.owner, wanted, Some(key));
            self.push(&text, line.line_end());
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if !self.marked {
            self.end_line();
            self.push(self.desired.owner.marker(self.desired.revision).as_bytes(), b"\n");
        }
        for line in &self.desired.lines {
            if self.written.insert(line.public_key.blob()) {
                self.end_line();
                self.push(&render(&self.desired.owner, line, None), b"\n");
            }
        }
        self.out
    }

    fn push(&mut self, text: &[u8], line_end: &[u8]) {
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(line_end);
    }

    fn end_line(&mut self) {
        if self.out.last().is_some_and(|last| *last != b'\n') {
            self.out.push(b'\n');
        }
    }
}

/// One of our lines without its line end, carrying over what `present` has.
fn render(owner: &Owner, line: &DesiredLine, present: Option<&KeyLine<'_>>) -> Vec<u8> {
    let is = |item: &[u8], name: &[u8]| option_name(item).eq_ignore_ascii_case(name);
    let set: Vec<&[u8]> = line.options.iter().map(|option| option.as_str().as_bytes()).collect();
    let carried = present.into_iter().flat_map(|key| key.options().items()).filter(|item| {
        !NEVER_CARRIED.iter().any(|name| is(item, name))
            && !set.iter().any(|option| is(item, option_name(option)))
    });
    let expiry = line.expiry.as_ref().map(|expiry| format!("expiry-time=\"{expiry}\""));
    let options: Vec<&[u8]> =
        carried.chain(set.iter().copied()).chain(expiry.as_deref().map(str::as_bytes)).collect();
    let mut text = options.join(&b","[..]);
    if !text.is_empty() {
        text.push(b' ');
    }
    text.extend_from_slice(line.public_key.openssh().as_bytes());
    text.push(b' ');
    text.extend_from_slice(owner.comment(line.version).as_bytes());
    text
}
