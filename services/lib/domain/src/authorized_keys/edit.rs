//! From the file as it is to the file as it should be.

use super::line::{Document, KeyLine, Line};
use super::marker::{Marker, Owner};
use super::options::{ExpiryTime, LineOption, option_name};
use crate::key::PublicKey;
use crate::reason::Reason;
use std::collections::{BTreeSet, HashMap, HashSet};

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
    /// By policy. Set besides what somebody put on the line by hand; an option of the same name is replaced.
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
///
/// Options: those asked for win by name over what stands there. Whatever else somebody put on our line by hand stays,
/// and a line that is added takes it over from its predecessor: of our lines, the one with the highest version below its
/// own. Options that were once asked for and no longer are go.
pub fn apply(file: &[u8], desired: &Desired) -> Result<Vec<u8>, EditError> {
    apply_beside(file, &[], desired)
}

/// The same, where the account has other key files: a line that is added takes its options over from the line of the same
/// key there, too, or from a predecessor's.
pub fn apply_beside(file: &[u8], beside: &[&[u8]], desired: &Desired) -> Result<Vec<u8>, EditError> {
    if file.len() > MAX_FILE {
        return Err(EditError::TooLarge);
    }
    let document = Document::parse(file);
    let found = markers(&document, &desired.owner).map(|marker| marker.revision).max();
    if let Some(found) = found.filter(|found| *found > desired.revision) {
        return Err(EditError::Superseded { found });
    }
    let once_set = once_set_in(&document, &desired.owner);
    let others: Vec<Document<'_>> = beside.iter().map(|file| Document::parse(file)).collect();
    let once_set_there: Vec<BTreeSet<String>> =
        others.iter().map(|document| once_set_in(document, &desired.owner)).collect();
    let mut editor = Editor::new(desired, &once_set, &document, file.len());
    for (document, once_set) in others.iter().zip(&once_set_there) {
        editor.stands(document, once_set, false);
    }
    for line in document.lines() {
        editor.line(line);
    }
    let edited = editor.finish();
    if edited.len() > MAX_FILE { Err(EditError::TooLarge) } else { Ok(edited) }
}

fn markers(document: &Document<'_>, owner: &Owner) -> impl Iterator<Item = Marker> {
    document.lines().iter().filter_map(|line| owner.read_marker(line))
}

/// Names of options that an earlier edit set.
fn once_set_in(document: &Document<'_>, owner: &Owner) -> BTreeSet<String> {
    markers(document, owner).flat_map(|marker| marker.set).collect()
}

/// One of our lines as it stood.
struct Standing<'d> {
    version: u32,
    key: &'d KeyLine<'d>,
    /// By the file that it stands in.
    once_set: &'d BTreeSet<String>,
    /// In the file that is edited.
    here: bool,
}

struct Editor<'d> {
    desired: &'d Desired,
    wanted: HashMap<&'d [u8], &'d DesiredLine>,
    ours: HashSet<&'d [u8]>,
    written: HashSet<&'d [u8]>,
    /// Of the file that is edited.
    once_set: &'d BTreeSet<String>,
    /// Those of the file that is edited first.
    present: Vec<Standing<'d>>,
    marker: String,
    marked: bool,
    out: Vec<u8>,
}

impl<'d> Editor<'d> {
    fn new(
        desired: &'d Desired,
        once_set: &'d BTreeSet<String>,
        document: &'d Document<'d>,
        size: usize,
    ) -> Self {
        let wanted: HashMap<_, _> = desired.lines.iter().map(|line| (line.public_key.blob(), line)).collect();
        let ours: HashSet<_> =
            desired.all_blobs.iter().map(Vec::as_slice).chain(wanted.keys().copied()).collect();
        let set = desired.lines.iter().flat_map(|line| &line.options);
        let set = set.map(|option| option.name().to_ascii_lowercase()).collect();
        let mut editor = Self {
            marker: desired.owner.marker(desired.revision, &set),
            out: Vec::with_capacity(size.saturating_add(1024)),
            written: HashSet::new(),
            marked: false,
            desired,
            wanted,
            ours,
            once_set,
            present: Vec::new(),
        };
        editor.stands(document, once_set, true);
        editor
    }

    fn stands(&mut self, document: &'d Document<'d>, once_set: &'d BTreeSet<String>, here: bool) {
        for key in document.keys().filter(|key| self.ours.contains(key.blob())) {
            let known = self.wanted.get(key.blob()).map(|line| line.version);
            let version = known.or_else(|| self.desired.owner.hinted_version(key.comment())).unwrap_or(0);
            self.present.push(Standing { version, key, once_set, here });
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        if self.desired.owner.read_marker(line).is_some() {
            if !std::mem::replace(&mut self.marked, true) {
                self.push_marker(line.line_end());
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
            let text = self.render(wanted, Some((key, self.once_set)));
            self.push(&text, line.line_end());
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if !self.marked {
            self.end_line();
            self.push_marker(b"\n");
        }
        for line in &self.desired.lines {
            if self.written.insert(line.public_key.blob()) {
                self.end_line();
                let text = self.render(line, self.predecessor(line));
                self.push(&text, b"\n");
            }
        }
        self.out
    }

    fn predecessor(&self, line: &DesiredLine) -> Option<(&'d KeyLine<'d>, &'d BTreeSet<String>)> {
        let same = |standing: &Standing<'_>| !standing.here && standing.key.blob() == line.public_key.blob();
        let earlier =
            self.present.iter().filter(|standing| standing.version < line.version || same(standing));
        // The first of several with the same version, as it is the one that stays.
        let found = earlier.rev().max_by_key(|standing| (same(standing), standing.version));
        found.map(|standing| (standing.key, standing.once_set))
    }

    /// One of our lines without its line end, carrying over what `from` has by hand.
    fn render(&self, line: &DesiredLine, from: Option<(&KeyLine<'_>, &BTreeSet<String>)>) -> Vec<u8> {
        let set: Vec<&[u8]> = line.options.iter().map(|option| option.as_str().as_bytes()).collect();
        let by_hand = |item: &&[u8]| {
            let name = option_name(item).to_ascii_lowercase();
            let replaced =
                line.options.iter().any(|option| option.name().as_bytes().eq_ignore_ascii_case(&name));
            let once_set = from.is_some_and(|(_, once_set)| {
                std::str::from_utf8(&name).is_ok_and(|name| once_set.contains(name))
            });
            !NEVER_CARRIED.contains(&name.as_slice()) && !replaced && !once_set
        };
        let carried = from.into_iter().flat_map(|(key, _)| key.options().items()).filter(by_hand);
        let expiry = line.expiry.as_ref().map(|expiry| format!("expiry-time=\"{expiry}\""));
        // Ours come last: of two that contradict each other sshd obeys the later one.
        let options: Vec<&[u8]> =
            carried.chain(set.iter().copied()).chain(expiry.as_deref().map(str::as_bytes)).collect();
        let mut text = options.join(&b","[..]);
        if !text.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(line.public_key.openssh().as_bytes());
        text.push(b' ');
        text.extend_from_slice(self.desired.owner.comment(line.version).as_bytes());
        text
    }

    fn push_marker(&mut self, line_end: &[u8]) {
        self.out.extend_from_slice(self.marker.as_bytes());
        self.out.extend_from_slice(line_end);
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
