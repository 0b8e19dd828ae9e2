//! Pure: whose each line of a server is, and which lines are missing.
//!
//! Invariants: the key's blob decides, never the comment; one exception only tells, and nothing acts on it: a line that
//! carries our comment with the id of an access that nobody knows is an orphan. What could not be read is not called
//! missing. The host's words come out cleaned and short.

use super::wire::describe;
use crate::model::{
    Here, KeyClass, KeyFlag, Known, KnownKey, KnownManagement, Seen, SeenAccount, ServerAccount, ServerKey,
};
use keywright_domain::authorized_keys::{Content, Document, KeyLine};
use keywright_domain::clock::Instant;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::ids::AccessId;
use std::collections::{HashMap, HashSet};

/// More lines than this are not kept.
pub const MOST_KEYS: usize = 10_000;
const LONGEST_COMMENT: usize = 200;
const LONGEST_OPTION: usize = 40;
const MOST_OPTIONS: usize = 32;
const LEAST_RSA_BITS: u32 = 2048;

/// What a scan comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    pub accounts: Vec<ServerAccount>,
    pub keys: Vec<ServerKey>,
    pub truncated: bool,
}

impl Judged {
    pub fn drift(&self) -> usize {
        self.keys.iter().filter(|key| key.is_drift()).count()
    }
}

pub fn classify(seen: &Seen, known: &Known, now: Instant) -> Judged {
    let judge = Judge::new(known, seen.offset_seconds, now);
    let mut judged = Judged { truncated: seen.truncated, ..Judged::default() };
    let mut accounts: Vec<&SeenAccount> = seen.accounts.iter().collect();
    accounts.sort_by(|one, other| one.name.cmp(&other.name));
    for account in accounts {
        let room = MOST_KEYS.saturating_sub(judged.keys.len());
        let (found, whole) = judge.account(account, room);
        judged.truncated |= !whole;
        if !found.is_empty() || !account.unreadable.is_empty() {
            judged.accounts.push(ServerAccount {
                name: account.name.clone(),
                root: account.uid == 0,
                keys: u32::try_from(found.len()).unwrap_or(u32::MAX),
                unreadable: account.unreadable.clone(),
            });
        }
        judged.keys.extend(found);
    }
    let missing = judge.missing(seen, &judged);
    judged.keys.extend(missing);
    judged.keys.sort_by(|one, other| one.account.cmp(&other.account));
    judged
}

/// The keys that a scan shows, once each, and the accesses that its comments name: what has to be looked up.
pub fn named(seen: &Seen) -> (HashSet<String>, HashSet<AccessId>) {
    let (mut keys, mut accesses) = (HashSet::new(), HashSet::new());
    let files = seen.accounts.iter().flat_map(|account| &account.files);
    for file in files {
        for key in Document::parse(&file.bytes).keys() {
            if keys.len() < MOST_KEYS {
                let name = String::from_utf8_lossy(key.key_text().0);
                keys.insert(format!("{name} {}", data_encoding::BASE64.encode(key.blob())));
            }
            if accesses.len() < MOST_KEYS {
                accesses.extend(claimed_access(key.comment()));
            }
        }
    }
    (keys, accesses)
}

struct Judge<'k> {
    known: &'k Known,
    keys: HashMap<&'k [u8], Vec<&'k KnownKey>>,
    management: HashMap<&'k [u8], &'k KnownManagement>,
    offset_seconds: i32,
    now: Instant,
}

impl<'k> Judge<'k> {
    fn new(known: &'k Known, offset_seconds: i32, now: Instant) -> Self {
        let mut keys: HashMap<&[u8], Vec<&KnownKey>> = HashMap::new();
        for key in &known.keys {
            keys.entry(key.public_key.blob()).or_default().push(key);
        }
        let mut management: HashMap<&[u8], &KnownManagement> = HashMap::new();
        for key in &known.management {
            let entry = management.entry(key.public_key.blob()).or_insert(key);
            if key.account.is_some() {
                *entry = key;
            }
        }
        Self { known, keys, management, offset_seconds, now }
    }

    /// The account's keys, and whether these are all.
    fn account(&self, account: &SeenAccount, room: usize) -> (Vec<ServerKey>, bool) {
        let mut found = Vec::new();
        let mut blobs: HashSet<Vec<u8>> = HashSet::new();
        for file in &account.files {
            let document = Document::parse(&file.bytes);
            for (line, number) in document.lines().iter().zip(1u32..) {
                let Content::Key(key) = line.content() else { continue };
                if found.len() >= room {
                    return (found, false);
                }
                let mut one = self.line(account, key);
                if !blobs.insert(key.blob().to_vec()) {
                    one.flags.push(KeyFlag::Duplicate);
                    one.flags.sort();
                }
                one.file = file.path.clone();
                one.line = number;
                found.push(one);
            }
        }
        (found, true)
    }

    fn line(&self, account: &SeenAccount, key: &KeyLine<'_>) -> ServerKey {
        let (algorithm, bits) = describe(key.key_text().0, key.blob());
        let whose = self.whose(account, key);
        let mut flags = self.flags(account, key, &whose, &algorithm, bits);
        flags.sort();
        let (access, version) = match whose.key {
            Some(known) => (known.access.to_string(), known.version),
            None => (String::new(), 0),
        };
        ServerKey {
            account: account.name.clone(),
            file: String::new(),
            line: 0,
            class: whose.class,
            flags,
            algorithm,
            bits,
            fingerprint: Fingerprint::of_blob(key.blob()).to_string(),
            comment: shown(key.comment()),
            options: names(key),
            access,
            version,
            first_seen_micros: self.now.micros(),
            answered_by: String::new(),
            note: String::new(),
        }
    }

    fn whose(&self, account: &SeenAccount, key: &KeyLine<'_>) -> Whose<'k> {
        if let Some(versions) = self.keys.get(key.blob()) {
            let here = versions
                .iter()
                .find(|one| one.here.as_ref().is_some_and(|here| here.account == account.name));
            return match here {
                Some(known) => Whose { class: KeyClass::Managed, key: Some(known) },
                None => Whose { class: KeyClass::Orphan, key: versions.first().copied() },
            };
        }
        if let Some(management) = self.management.get(key.blob()) {
            let belongs = management.account.as_deref() == Some(account.name.as_str());
            return Whose { class: if belongs { KeyClass::Management } else { KeyClass::Orphan }, key: None };
        }
        let claimed = claimed_access(key.comment());
        let nobodys = claimed.is_some_and(|access| !self.known.accesses.contains(&access));
        Whose { class: if nobodys { KeyClass::Orphan } else { KeyClass::Foreign }, key: None }
    }

    fn flags(
        &self,
        account: &SeenAccount,
        key: &KeyLine<'_>,
        whose: &Whose<'_>,
        algorithm: &str,
        bits: u32,
    ) -> Vec<KeyFlag> {
        let options = key.options();
        let restricted = ["from", "command", "restrict"].iter().any(|name| options.has(name));
        let ours = matches!(whose.class, KeyClass::Managed | KeyClass::Management);
        let found = [
            (algorithm == "ssh-dss" || (algorithm == "ssh-rsa" && bits < LEAST_RSA_BITS), KeyFlag::Weak),
            (self.expired(key), KeyFlag::Expired),
            (account.uid == 0 && !ours && !restricted, KeyFlag::UnrestrictedRoot),
            (whose.key.is_some_and(|known| known.compromised), KeyFlag::Compromised),
            (options.has("cert-authority"), KeyFlag::CertAuthority),
            (
                whose.key.and_then(|known| known.here.as_ref()).is_some_and(|here| {
                    whose.class == KeyClass::Managed && here.settled && differs(key, here)
                }),
                KeyFlag::Changed,
            ),
        ];
        found.into_iter().filter_map(|(is, flag)| is.then_some(flag)).collect()
    }

    /// By its own option. Without Z it is the host's local time.
    fn expired(&self, key: &KeyLine<'_>) -> bool {
        let Some(value) = key.options().value("expiry-time") else { return false };
        let Ok(text) = std::str::from_utf8(&value) else { return false };
        let (digits, offset) = match text.strip_suffix('Z') {
            Some(digits) => (digits, 0),
            None => (text, self.offset_seconds),
        };
        let end = parse_time(digits).map(|end| end.saturating_sub(i64::from(offset)));
        end.is_some_and(|end| end <= self.now.secs())
    }

    /// What is recorded as installed and stands in no file of an account that could be read.
    fn missing(&self, seen: &Seen, judged: &Judged) -> Vec<ServerKey> {
        let there: HashSet<(&str, &str)> =
            judged.keys.iter().map(|key| (key.account.as_str(), key.fingerprint.as_str())).collect();
        let read: HashMap<&str, bool> = seen
            .accounts
            .iter()
            .map(|account| (account.name.as_str(), account.unreadable.is_empty()))
            .collect();
        let mut missing = Vec::new();
        for known in &self.known.keys {
            let Some(here) = known.here.as_ref().filter(|here| here.installed && here.settled) else {
                continue;
            };
            let fingerprint = known.public_key.fingerprint().to_string();
            let looked = read.get(here.account.as_str()).copied().unwrap_or(!judged.truncated);
            if !looked || judged.truncated || there.contains(&(here.account.as_str(), fingerprint.as_str())) {
                continue;
            }
            missing.push(ServerKey {
                account: here.account.clone(),
                file: String::new(),
                line: 0,
                class: KeyClass::Missing,
                flags: Vec::new(),
                algorithm: known.public_key.algorithm().as_str().to_owned(),
                bits: known.public_key.bits(),
                fingerprint,
                comment: String::new(),
                options: Vec::new(),
                access: known.access.to_string(),
                version: known.version,
                first_seen_micros: self.now.micros(),
                answered_by: String::new(),
                note: String::new(),
            });
        }
        missing
    }
}

struct Whose<'k> {
    class: KeyClass,
    key: Option<&'k KnownKey>,
}

/// Whether an edit would write the line anew. What a user added besides is his: edits carry it over.
fn differs(key: &KeyLine<'_>, here: &Here) -> bool {
    let has = key.options();
    let lacks = here.options.iter().any(|option| !has.items().any(|item| item == option.as_str().as_bytes()));
    lacks || has.has("expiry-time") != here.ends || has.has("cert-authority") || has.has("principals")
}

/// Of a comment such as `keywright:acc_…:v3`.
fn claimed_access(comment: &[u8]) -> Option<AccessId> {
    let text = std::str::from_utf8(comment).ok()?;
    let rest = text.split_whitespace().find_map(|word| word.strip_prefix("keywright:"))?;
    AccessId::parse(rest.split(':').next()?).ok()
}

/// Printable and short. Who pasted a private key there by mistake does not find it here again.
fn shown(comment: &[u8]) -> String {
    let text = String::from_utf8_lossy(comment);
    if text.contains("PRIVATE KEY") || text.contains("openssh-key-v1") || text.contains("b3BlbnNzaC1rZXkt") {
        return "(not shown)".to_owned();
    }
    let plain = |c: &char| !c.is_control() && !is_invisible(*c) && *c != '\u{fffd}';
    text.chars().filter(plain).take(LONGEST_COMMENT).collect::<String>().trim().to_owned()
}

/// What changes how the text around it is shown.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The names alone: a value may hold anything.
fn names(key: &KeyLine<'_>) -> Vec<String> {
    let name = |item: &[u8]| {
        let name = item.split(|byte| *byte == b'=').next().unwrap_or_default();
        let plain = (1..=LONGEST_OPTION).contains(&name.len())
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        plain.then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
    };
    key.options().items().filter_map(name).take(MOST_OPTIONS).collect()
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, as seconds since the epoch if it were UTC.
fn parse_time(digits: &str) -> Option<i64> {
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| digits.get(from..to).and_then(|text| text.parse::<i8>().ok());
    let year: i16 = digits.get(..4)?.parse().ok()?;
    let time = jiff::civil::DateTime::new(
        year,
        number(4, 6)?,
        number(6, 8)?,
        number(8, 10).unwrap_or(0),
        number(10, 12).unwrap_or(0),
        number(12, 14).unwrap_or(0),
        0,
    );
    Some(time.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
