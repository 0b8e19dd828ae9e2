//! The committed form of an entry.
//!
//! A leaf is canonical JSON: one object, keys in byte order, no white space, UTF-8. `actor`, `sourceIp`, `userAgent`,
//! `target` and `details` stand as commitments, `sha256:` and the hexadecimal SHA-256 of
//! `salt (16 bytes) ‖ field name ‖ 0x00 ‖ value`; the value of `details` is itself canonical JSON. The leaf hash is
//! that of RFC 6962: SHA-256 of `0x00 ‖ leaf`.

use crate::hash::Hash;
use aws_lc_rs::digest::{Context, Digest, SHA256};
use data_encoding::HEXLOWER;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The largest leaf, in bytes.
pub const MOST: usize = 65_535;

/// The fields that stand as commitments.
pub const COMMITTED: [&str; 5] = ["actor", "sourceIp", "userAgent", "target", DETAILS];

/// The last of them, whose value is canonical JSON.
const DETAILS: &str = "details";

/// The field that the log writes.
const TIME: &str = "time";

/// How a commitment begins.
const COMMITMENT: &str = "sha256:";

/// The length of a salt, in bytes.
pub const SALT: usize = 16;

/// A salt for each field that stands as a commitment, in their order: random.
pub type NewSalts = [[u8; SALT]; COMMITTED.len()];

/// The values that stand as commitments, in clear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clear {
    pub actor: String,
    pub source_ip: String,
    pub user_agent: String,
    pub target: String,
    pub details: BTreeMap<String, String>,
}

/// A leaf, ready to be appended.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// What is hashed: its bytes in UTF-8.
    pub text: String,
    pub hash: Hash,
}

/// Everything of a leaf but its time, which the log gives it.
#[derive(Debug, Clone)]
pub struct Unsealed {
    /// The leaf's text up to its time, and from there on.
    before: String,
    after: String,
    details: String,
    salts: String,
}

impl Unsealed {
    /// `open` are the fields that stand in clear.
    pub fn new(kind: &'static str, open: &[(&'static str, &str)], clear: &Clear, salts: &NewSalts) -> Self {
        let details = canonical(&clear.details);
        let values = [&clear.actor, &clear.source_ip, &clear.user_agent, &clear.target, &details];
        let mut kept: BTreeMap<&'static str, String> = BTreeMap::new();
        let mut fields: BTreeMap<&'static str, String> = BTreeMap::new();
        for ((name, value), salt) in COMMITTED.into_iter().zip(values).zip(salts) {
            fields.insert(name, commitment(salt, name, value));
            kept.insert(name, HEXLOWER.encode(salt));
        }
        fields.extend(open.iter().map(|(name, value)| (*name, (*value).to_owned())));
        fields.insert("kind", kind.to_owned());
        fields.insert("version", "1".to_owned());
        // There is something on either side of it.
        let after = fields.split_off(TIME);
        let (mut before, mut after) = (canonical(&fields), canonical(&after));
        before.pop();
        before.push_str(",\"time\":\"");
        after.replace_range(..1, "\",");
        Self { before, after, details, salts: canonical(&kept) }
    }

    /// `at` is in RFC 3339, of one length always.
    pub fn seal(&self, at: &str) -> Leaf {
        let text = [&self.before, at, &self.after].concat();
        let hash = Hash::leaf(text.as_bytes());
        Leaf { text, hash }
    }

    /// Whether it is no larger than a leaf may be, whenever it is sealed.
    pub fn fits(&self) -> bool {
        let time = "0000-00-00T00:00:00.000000Z".len();
        self.before.len().saturating_add(time).saturating_add(self.after.len()) <= MOST
    }

    /// The details that stand as a commitment: canonical JSON.
    pub fn details(&self) -> &str {
        &self.details
    }

    /// The salts of the commitments by field, hexadecimal: canonical JSON.
    pub fn salts(&self) -> &str {
        &self.salts
    }
}

/// The clear values of a leaf, as an export has them: what was erased is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<BTreeMap<String, String>>,
}

/// What is wrong with a leaf, or with the values that are shown beside it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    #[error("its leaf is not the canonical JSON of an entry")]
    NotCanonical,
    #[error("its {0} is not what the leaf commits to")]
    OtherValue(&'static str),
    #[error("its {0} has a value without a salt, or a salt without a value")]
    Half(&'static str),
}

/// Whether the leaf is well formed and the values shown are those that it commits to.
pub fn check(text: &str, shown: &Shown, salts: &BTreeMap<String, String>) -> Result<(), LeafError> {
    let Shown { actor, source_ip, user_agent, target, details } = shown;
    let values = Values {
        actor: actor.as_deref().map(Text::of),
        source_ip: source_ip.as_deref().map(Text::of),
        user_agent: user_agent.as_deref().map(Text::of),
        target: target.as_deref().map(Text::of),
        details: details.as_ref().map(Pairs::of),
    };
    check_read(text, values, &Pairs::of(salts), &mut Vec::new())
}

/// A text of a line, borrowed from it where JSON has written it as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl<'a> Text<'a> {
    const fn of(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

/// An object of texts, in the order in which it is written.
#[derive(Debug, Default)]
pub(crate) struct Pairs<'a>(Vec<(Text<'a>, Text<'a>)>);

impl<'a> Pairs<'a> {
    fn of(map: &'a BTreeMap<String, String>) -> Self {
        Self(map.iter().map(|(name, value)| (Text::of(name), Text::of(value))).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.0 == name).map(|(_, value)| &*value.0)
    }

    /// Whether each key is larger than the one before it.
    fn is_in_order(&self) -> bool {
        self.0.is_sorted_by(|(left, _), (right, _)| left < right)
    }

    /// As `canonical` writes it, if it is in order.
    fn write(&self, to: &mut Vec<u8>) -> serde_json::Result<()> {
        to.clear();
        for (name, value) in &self.0 {
            to.push(if to.is_empty() { b'{' } else { b',' });
            serde_json::to_writer(&mut *to, &*name.0)?;
            to.push(b':');
            serde_json::to_writer(&mut *to, &*value.0)?;
        }
        if to.is_empty() {
            to.push(b'{');
        }
        to.push(b'}');
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut pairs = Vec::with_capacity(16);
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

/// `Shown`, as it is read from a line.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Values<'a> {
    #[serde(borrow)]
    actor: Option<Text<'a>>,
    #[serde(borrow)]
    source_ip: Option<Text<'a>>,
    #[serde(borrow)]
    user_agent: Option<Text<'a>>,
    #[serde(borrow)]
    target: Option<Text<'a>>,
    #[serde(borrow)]
    details: Option<Pairs<'a>>,
}

/// `check`, without copies of what is read; `memory` is used again and again.
pub(crate) fn check_read(
    text: &str,
    shown: Values<'_>,
    salts: &Pairs<'_>,
    memory: &mut Vec<u8>,
) -> Result<(), LeafError> {
    let fields: Pairs<'_> = serde_json::from_str(text).map_err(|_| LeafError::NotCanonical)?;
    fields.write(memory).map_err(|_| LeafError::NotCanonical)?;
    if !fields.is_in_order() || memory != text.as_bytes() {
        return Err(LeafError::NotCanonical);
    }
    let Values { actor, source_ip, user_agent, target, details } = shown;
    let mut opened = 0usize;
    for (name, value) in COMMITTED.into_iter().zip([actor, source_ip, user_agent, target]) {
        let value = value.as_ref().map(|value| value.0.as_bytes());
        opened = opened.saturating_add(open(&fields, name, value, salts)?);
    }
    let details = match details {
        None => None,
        Some(mut details) => {
            details.0.sort_unstable();
            let is_written = details.is_in_order() && details.write(memory).is_ok();
            Some(memory.as_slice()).filter(|_| is_written).ok_or(LeafError::OtherValue(DETAILS)).map(Some)?
        }
    };
    opened = opened.saturating_add(open(&fields, DETAILS, details, salts)?);
    // A salt of a name that there is not, or two of one.
    if opened == salts.len() { Ok(()) } else { Err(LeafError::NotCanonical) }
}

/// Whether the value is what the leaf commits to; answers the number of salts that it took.
fn open(
    fields: &Pairs<'_>,
    name: &'static str,
    value: Option<&[u8]>,
    salts: &Pairs<'_>,
) -> Result<usize, LeafError> {
    let committed = fields.get(name).ok_or(LeafError::NotCanonical)?;
    match (value, salts.get(name)) {
        (None, None) => Ok(0),
        (Some(value), Some(salt)) if commits(committed, salt, name, value) => Ok(1),
        (Some(_), Some(_)) => Err(LeafError::OtherValue(name)),
        _ => Err(LeafError::Half(name)),
    }
}

fn commits(committed: &str, salt: &str, name: &str, value: &[u8]) -> bool {
    let mut bytes = [0; SALT];
    let is_salt = salt.len() == SALT * 2 && HEXLOWER.decode_mut(salt.as_bytes(), &mut bytes).is_ok();
    let mut written = [0; 64];
    HEXLOWER.encode_mut(committed_digest(&bytes, name, value).as_ref(), &mut written);
    is_salt && committed.strip_prefix(COMMITMENT).is_some_and(|hex| hex.as_bytes() == written)
}

fn commitment(salt: &[u8], name: &str, value: &str) -> String {
    let digest = committed_digest(salt, name, value.as_bytes());
    format!("{COMMITMENT}{}", HEXLOWER.encode(digest.as_ref()))
}

fn committed_digest(salt: &[u8], name: &str, value: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in [salt, name.as_bytes(), &[0], value] {
        context.update(part);
    }
    context.finish()
}

/// Canonical JSON of a map of texts.
pub fn canonical<K: Serialize + Ord>(fields: &BTreeMap<K, String>) -> String {
    // A map of texts is always an object of JSON.
    serde_json::to_string(fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALTS: NewSalts = [[1; SALT], [2; SALT], [3; SALT], [4; SALT], [5; SALT]];

    fn clear() -> Clear {
        Clear {
            actor: "prn_alice".to_owned(),
            source_ip: "192.0.2.7".to_owned(),
            target: "srv_target".to_owned(),
            details: BTreeMap::from([("name".to_owned(), "wéb\u{1}".to_owned())]),
            ..Clear::default()
        }
    }

    fn unsealed() -> Unsealed {
        let open = [("action", "server.register"), ("eventId", "evt_x")];
        Unsealed::new("INTENT", &open, &clear(), &SALTS)
    }

    fn leaf() -> Leaf {
        unsealed().seal("2023-11-14T22:13:20.000000Z")
    }

    fn shown() -> (Shown, BTreeMap<String, String>) {
        let Clear { actor, source_ip, user_agent, target, details } = clear();
        let shown = Shown {
            actor: Some(actor),
            source_ip: Some(source_ip),
            user_agent: Some(user_agent),
            target: Some(target),
            details: Some(details),
        };
        (shown, serde_json::from_str(unsealed().salts()).unwrap())
    }

    #[test]
    fn a_leaf_holds_no_clear_value_and_opens_with_its_salts() {
        let leaf = leaf();
        for hidden in ["prn_alice", "192.0.2.7", "srv_target", "wéb"] {
            assert!(!leaf.text.contains(hidden), "{}", leaf.text);
        }
        let object: BTreeMap<String, String> = serde_json::from_str(&leaf.text).unwrap();
        assert_eq!(object["time"], "2023-11-14T22:13:20.000000Z");
        assert_eq!(canonical(&object), leaf.text, "keys are in order and nothing is between them");
        let (shown, salts) = shown();
        assert_eq!(check(&leaf.text, &shown, &salts), Ok(()));
        let other = Unsealed::new("INTENT", &[], &clear(), &[[9; SALT]; 5]).seal("");
        assert_ne!(other.hash, leaf.hash, "equal values do not show as equal");
    }

    #[test]
    fn what_was_erased_still_verifies_and_what_was_changed_does_not() {
        let leaf = leaf();
        assert_eq!(check(&leaf.text, &Shown::default(), &BTreeMap::new()), Ok(()));
        let (all, salts) = shown();
        let (mut erased, mut fewer) = (all.clone(), salts.clone());
        erased.actor = None;
        assert_eq!(check(&leaf.text, &erased, &fewer), Err(LeafError::Half("actor")));
        fewer.remove("actor");
        assert_eq!(check(&leaf.text, &erased, &fewer), Ok(()));
        let changed = Shown { target: Some("srv_other".to_owned()), ..all.clone() };
        assert_eq!(check(&leaf.text, &changed, &salts), Err(LeafError::OtherValue("target")));
        let mut resalted = salts.clone();
        resalted.insert("details".to_owned(), "00".repeat(SALT));
        assert_eq!(check(&leaf.text, &all, &resalted), Err(LeafError::OtherValue("details")));
        for text in [leaf.text.replace(',', ", "), leaf.text.replace("actor", "actos"), "[]".to_owned()] {
            assert_eq!(check(&text, &all, &salts), Err(LeafError::NotCanonical), "{text}");
        }
    }

    #[test]
    fn a_value_or_a_salt_that_is_written_twice_is_refused() {
        let (all, salts) = shown();
        let read = |shown: &str, salts: &str| {
            let values: Values<'_> = serde_json::from_str(shown).unwrap();
            check_read(&leaf().text, values, &serde_json::from_str(salts).unwrap(), &mut Vec::new())
        };
        let (all, salts) = (serde_json::to_string(&all).unwrap(), serde_json::to_string(&salts).unwrap());
        assert_eq!(read(&all, &salts), Ok(()));
        let twice = all.replace("\"name\":", "\"name\":\"another\",\"name\":");
        assert_eq!(read(&twice, &salts), Err(LeafError::OtherValue("details")));
        let twice = salts.replace("\"actor\":", "\"actor\":\"00\",\"actor\":");
        assert_eq!(read(&all, &twice), Err(LeafError::OtherValue("actor")));
        let more = salts.replace("\"actor\":", "\"actos\":\"00\",\"actor\":");
        assert_eq!(read(&all, &more), Err(LeafError::NotCanonical));
    }

    #[test]
    fn a_leaf_that_is_too_large_does_not_fit() {
        let long = "x".repeat(70_000);
        assert!(!Unsealed::new("INTENT", &[("comment", &long)], &clear(), &SALTS).fits());
        assert!(Unsealed::new("INTENT", &[("comment", &long[..60_000])], &clear(), &SALTS).fits());
    }
}
