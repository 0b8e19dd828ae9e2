//! Makes an account's key files hold what they should: read, edit, look again.
//!
//! Invariant: keys are added to the first effective file only and removed from all of them; success means that what a
//! file held after the last edit asked for no further change. The edit tells that itself, where nobody came between.

use keywright_domain::account::AccountName;
use keywright_domain::authorized_keys::{
    self as editor, Desired, DesiredLine, Document, EditError, ExpiryTime, KeyLine, LineOption, Owner,
    foreign_keys,
};
use keywright_domain::clock::Instant;
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use std::collections::HashMap;
use tracing::instrument;

use super::Host;
use super::edit::Edit;
use super::facts::{Facts, KeysFile, ResidualAccess, ServerKind};
use super::failure::HostFailure;
use super::files::{FileState, KeysFileContent};
use super::grace::{Grace, expiry_option};

/// How often a file that changes under us is read anew.
const TRIES: usize = 4;

/// What of ours the account's files should hold.
#[derive(Debug, Clone)]
pub struct DesiredKeys {
    pub owner: Owner,
    pub revision: u64,
    pub keys: Vec<DesiredKey>,
    /// The blob of every version that ever was: each is removed unless `keys` names it.
    pub all_blobs: Vec<Vec<u8>>,
    /// A revision that a file carries though it was never issued: an account may write what it likes into its file.
    pub overruled: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct DesiredKey {
    pub public_key: PublicKey,
    pub version: u32,
    /// The host is to end the key at this instant, if it can be trusted with it.
    pub until: Option<Instant>,
    pub options: Vec<LineOption>,
}

/// Who ends the key of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraceOfKey {
    pub version: u32,
    pub until: Instant,
    pub by: Grace,
}

#[derive(Debug, Clone)]
pub struct Converged {
    pub facts: Facts,
    /// Paths of the files that were edited.
    pub changed: Vec<String>,
    /// An append during an edit was carried over.
    pub merged: bool,
    /// All of it, foreign keys included; nobody says "access revoked" while it is not empty.
    pub residual: Vec<ResidualAccess>,
    pub grace: Vec<GraceOfKey>,
    /// What each file holds at the end, by its path.
    files: HashMap<String, KeysFileContent>,
}

/// Host and account as a look or an edit left them, for an edit that follows at once in the same session.
#[derive(Debug)]
pub struct Seen {
    facts: Facts,
    files: HashMap<String, KeysFileContent>,
}

impl Converged {
    pub fn into_seen(self) -> Seen {
        Seen { facts: self.facts, files: self.files }
    }

    pub fn foreign_keys(&self) -> usize {
        self.residual
            .iter()
            .map(|way| if let ResidualAccess::ForeignKeys(count) = way { *count } else { 0 })
            .sum()
    }
}

impl Host<'_> {
    /// `revision` must be higher than that of any earlier desired state of this owner, or equal to repeat it.
    pub async fn converge(
        &self,
        account: &AccountName,
        wanted: &DesiredKeys,
    ) -> Result<Converged, HostFailure> {
        self.converge_from(account, wanted, None).await
    }

    /// What an edit that follows at once can begin with.
    pub async fn see(&self, account: &AccountName) -> Result<Seen, HostFailure> {
        let (facts, files) = self.look(account, None).await?;
        Ok(Seen { facts, files })
    }

    /// The same without a look, where the edit itself compares what was seen with what is there.
    #[instrument(skip_all, fields(revision = wanted.revision, seen = seen.is_some()))]
    pub async fn converge_from(
        &self,
        account: &AccountName,
        wanted: &DesiredKeys,
        seen: Option<Seen>,
    ) -> Result<Converged, HostFailure> {
        let until = wanted.keys.iter().find_map(|key| key.until);
        let (facts, mut looked) = match seen.filter(|seen| seen.will_be_compared(wanted)) {
            Some(seen) => (seen.facts, seen.files),
            None => self.look(account, until).await?,
        };
        if facts.account.is_none() {
            return Err(HostFailure::refused(Reason::AccountNotFound));
        }
        if facts.files.is_empty() && !wanted.keys.is_empty() {
            return Err(HostFailure::NoKeysFile);
        }
        let grace: Vec<GraceOfKey> = wanted.keys.iter().filter_map(|key| grace_of(key, &facts)).collect();
        let first = desired(wanted, &grace);
        let others = Desired { lines: Vec::new(), ..first.clone() };
        let (mut changed, mut merged, mut foreign) = (Vec::new(), false, 0usize);
        let mut files = HashMap::new();
        for (at, file) in facts.files.iter().enumerate() {
            let state = if at == 0 { &first } else { &others };
            let beside =
                if at == 0 { self.beside(account, &facts, wanted, &mut looked).await? } else { Vec::new() };
            let goal = Goal { state, first: at == 0, wanted, facts: &facts, beside };
            let settled = self.settle(account, file, looked.remove(&file.path), &goal).await;
            let settled = settled.map_err(|e| e.at(&file.path).after_edits(!changed.is_empty()))?;
            foreign = foreign.saturating_add(foreign_keys(settled.found.bytes(), &wanted.all_blobs));
            merged |= settled.merged;
            if settled.edited {
                changed.push(file.path.clone());
            }
            files.insert(file.path.clone(), settled.found);
        }
        let residual = (foreign > 0).then_some(ResidualAccess::ForeignKeys(foreign));
        let residual = residual.into_iter().chain(facts.residual.iter().copied()).collect();
        Ok(Converged { facts, changed, merged, residual, grace, files })
    }

    /// What the files after the first hold: a key that moves from there to the first takes its options along.
    async fn beside(
        &self,
        account: &AccountName,
        facts: &Facts,
        wanted: &DesiredKeys,
        looked: &mut HashMap<String, KeysFileContent>,
    ) -> Result<Vec<Vec<u8>>, HostFailure> {
        let mut beside = Vec::new();
        for file in facts.files.iter().skip(1).filter(|_| !wanted.keys.is_empty()) {
            if !looked.contains_key(&file.path) {
                let found = self.read_file(account, file).await.map_err(|e| e.at(&file.path))?;
                looked.insert(file.path.clone(), found);
            }
            beside.extend(looked.get(&file.path).map(|found| found.bytes().to_vec()));
        }
        Ok(beside)
    }

    /// Edits one file until a reading asks for no change.
    async fn settle(
        &self,
        account: &AccountName,
        file: &KeysFile,
        mut known: Option<KeysFileContent>,
        goal: &Goal<'_>,
    ) -> Result<Settled, HostFailure> {
        let (mut edited, mut merged, mut last) = (false, false, Reason::HostFileChanged);
        for _ in 0..=TRIES {
            let found = match known.take() {
                Some(known) => known,
                None => self.read_file(account, file).await.map_err(|e| e.after_edits(edited))?,
            };
            let next = goal.next(&found).map_err(|e| e.after_edits(edited))?;
            let Some(bytes) = next else { return Ok(Settled { found, edited, merged }) };
            let edit = Edit {
                path: &file.path,
                expected: &found.version(),
                owner: &goal.wanted.owner,
                revision: goal.wanted.revision,
                overruled: goal.wanted.overruled,
                bytes: &bytes,
            };
            match self.edit(account, edit).await {
                Ok(done) => {
                    edited = true;
                    merged |= done.merged;
                    let holds = KeysFileContent { state: FileState::Regular(bytes), ..found };
                    known = done.stands.then_some(holds);
                }
                Err(HostFailure::Refused { reason: reason @ Reason::HostFileChanged, .. }) => last = reason,
                // No file, no key: a marker that cannot be written (there is no home) holds back no revocation.
                Err(HostFailure::Refused { .. }) if goal.nothing_there(&found) => {
                    return Ok(Settled { found, edited, merged });
                }
                Err(HostFailure::Refused {
                    reason: Reason::HostFileReadOnly | Reason::HostFileDiskFull,
                    ..
                }) if only_marks(found.bytes(), &bytes) => {
                    return Ok(Settled { found, edited, merged });
                }
                Err(failure) => return Err(failure.after_edits(edited)),
            }
        }
        Err(HostFailure::refused(last).after_edits(edited))
    }
}

/// Whether two texts differ in comment lines of ours alone: every key already is as it should be. A file that cannot be
/// written then holds back neither the way back of a rotation nor a revocation; older edits are refused by it too.
fn only_marks(found: &[u8], wanted: &[u8]) -> bool {
    fn keys(text: &[u8]) -> impl Iterator<Item = &[u8]> {
        text.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"# keywright:"))
    }
    keys(found).eq(keys(wanted))
}

impl Seen {
    /// Whether every file that has a line of ours is replaced: the edit compares it. No end of a key is asked for: that
    /// needs the host's clock.
    fn will_be_compared(&self, wanted: &DesiredKeys) -> bool {
        if wanted.keys.iter().any(|key| key.until.is_some()) {
            return false;
        }
        let state = desired(wanted, &[]);
        let others = Desired { lines: Vec::new(), ..state.clone() };
        self.facts.files.iter().enumerate().all(|(at, file)| {
            let (first, state) = (at == 0, if at == 0 { &state } else { &others });
            let Some(found) = self.files.get(&file.path) else { return false };
            let goal = Goal { state, first, wanted, facts: &self.facts, beside: Vec::new() };
            match goal.next(found) {
                Ok(Some(_)) => true,
                Ok(None) => !first && found.state == FileState::Absent,
                Err(_) => false,
            }
        })
    }
}

struct Settled {
    found: KeysFileContent,
    edited: bool,
    merged: bool,
}

struct Goal<'a> {
    state: &'a Desired,
    first: bool,
    wanted: &'a DesiredKeys,
    facts: &'a Facts,
    /// Other files, of which a line that is added takes its predecessor's options over.
    beside: Vec<Vec<u8>>,
}

impl Goal<'_> {
    /// The bytes that the file should have, if they differ from those it has.
    fn next(&self, found: &KeysFileContent) -> Result<Option<Vec<u8>>, HostFailure> {
        let refuse = |reason| Err(HostFailure::refused(reason));
        let no_key = !self.first || self.wanted.keys.is_empty();
        match found.state {
            FileState::TooLarge => return refuse(Reason::HostFileTooLarge),
            // The server finds no key there either.
            FileState::NotRegular | FileState::Unreadable if no_key => return Ok(None),
            FileState::NotRegular | FileState::Unreadable if found.link => {
                return refuse(Reason::HostFileSymlink);
            }
            FileState::NotRegular => return refuse(Reason::HostFileNotRegular),
            FileState::Unreadable => return refuse(Reason::HostFileOwner),
            FileState::Absent if !self.first => return Ok(None),
            FileState::Absent | FileState::Regular(_) => {}
        }
        let has = found.bytes();
        if !self.first && !self.concerns_us(has) {
            return Ok(None);
        }
        let judged = self.without_overruled(has);
        let beside: Vec<&[u8]> = self.beside.iter().map(Vec::as_slice).collect();
        let bytes =
            editor::apply_beside(&judged, &beside, &self.admissible(has)?).map_err(|error| match error {
                EditError::Superseded { found } => HostFailure::Superseded { found },
                EditError::TooLarge => HostFailure::refused(Reason::HostFileTooLarge),
            })?;
        if bytes == has && found.state != FileState::Absent {
            return Ok(None);
        }
        if found.link {
            // An older edit is refused there as this one is: the mark is not needed.
            return if only_marks(has, &bytes) { Ok(None) } else { refuse(Reason::HostFileSymlink) };
        }
        if self.facts.is_passed_over(found.loose) && self.adds_a_key(has) {
            return refuse(Reason::HostFileOwner);
        }
        Ok(Some(bytes))
    }

    fn adds_a_key(&self, has: &[u8]) -> bool {
        let document = Document::parse(has);
        let stands = |key: &DesiredLine| document.keys().any(|line| line.blob() == key.public_key.blob());
        !self.state.lines.iter().all(stands)
    }

    /// The desired state without options that would have the server refuse a key to us: we could not prove it any more.
    /// A key that is to be added needs them, and is refused; a line that stands keeps what it has in their place, so
    /// that no policy holds back a removal.
    fn admissible(&self, has: &[u8]) -> Result<Desired, HostFailure> {
        let excludes = |option: &LineOption| {
            let unknown = self.facts.server == ServerKind::Dropbear && !option.is_known_to_dropbear();
            unknown || self.facts.seen.is_some_and(|address| !editor::from_contains(option, address))
        };
        let document = Document::parse(has);
        let mut state = self.state.clone();
        for line in &mut state.lines {
            if !line.options.iter().any(excludes) {
                continue;
            }
            let blob = line.public_key.blob();
            let standing = document.keys().find(|present| present.blob() == blob);
            let standing = standing.ok_or(HostFailure::refused(Reason::PolicyForbids))?;
            let asked = std::mem::take(&mut line.options);
            for option in asked {
                if excludes(&option) {
                    line.options.extend(standing_option(standing, option.name()));
                } else {
                    line.options.push(option);
                }
            }
        }
        Ok(state)
    }

    fn nothing_there(&self, found: &KeysFileContent) -> bool {
        self.wanted.keys.is_empty() && found.state == FileState::Absent && !found.link
    }

    /// Whether a line of ours, or our marker, stands in the file.
    fn concerns_us(&self, bytes: &[u8]) -> bool {
        let ours = |blob: &[u8]| {
            self.wanted.all_blobs.iter().any(|of_ours| of_ours == blob)
                || self.wanted.keys.iter().any(|key| key.public_key.blob() == blob)
        };
        Document::parse(bytes).keys().any(|key| ours(key.blob()))
            || editor::revision(bytes, &self.wanted.owner).is_some()
    }

    fn without_overruled(&self, bytes: &[u8]) -> Vec<u8> {
        let Some(overruled) = self.wanted.overruled else { return bytes.to_vec() };
        let document = Document::parse(bytes);
        let forged = |line: &[u8]| editor::revision(line, &self.wanted.owner) == Some(overruled);
        document
            .lines()
            .iter()
            .map(editor::Line::raw)
            .filter(|line| !forged(line))
            .collect::<Vec<_>>()
            .concat()
    }
}

fn standing_option(line: &KeyLine<'_>, name: &str) -> Option<LineOption> {
    let item = line.options().items().find(|item| {
        let (head, rest) = item.split_at_checked(name.len()).unwrap_or((item, b""));
        head.eq_ignore_ascii_case(name.as_bytes()) && matches!(rest.first(), None | Some(b'='))
    })?;
    LineOption::parse(std::str::from_utf8(item).ok()?).ok()
}

fn grace_of(key: &DesiredKey, facts: &Facts) -> Option<GraceOfKey> {
    let until = key.until?;
    let by = match (facts.version.as_deref(), facts.skew) {
        (Some(version), Some(skew)) => expiry_option(version, until, skew, facts.local_end.as_ref()),
        _ => Grace::Keywright,
    };
    Some(GraceOfKey { version: key.version, until, by })
}

fn desired(wanted: &DesiredKeys, grace: &[GraceOfKey]) -> Desired {
    let expiry = |version: u32| -> Option<ExpiryTime> {
        grace.iter().find(|key| key.version == version).and_then(|key| match &key.by {
            Grace::Sshd(time) => Some(time.clone()),
            Grace::Keywright => None,
        })
    };
    let lines = wanted.keys.iter().map(|key| DesiredLine {
        public_key: key.public_key.clone(),
        version: key.version,
        expiry: expiry(key.version),
        options: key.options.clone(),
    });
    Desired {
        owner: wanted.owner.clone(),
        revision: wanted.revision,
        lines: lines.collect(),
        all_blobs: wanted.all_blobs.clone(),
    }
}
