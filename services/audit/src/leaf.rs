//! The committed form of an entry.
//!
//! A leaf is canonical JSON: one object, keys in byte order, no white space, UTF-8. `actor`, `sourceIp`, `userAgent`,
//! `target` and `details` stand as commitments, `sha256:` and the hexadecimal SHA-256 of
//! `salt (16 bytes) ‖ field name ‖ 0x00 ‖ value`; the value of `details` is itself canonical JSON. The leaf hash is
//! that of RFC 6962: SHA-256 of `0x00 ‖ leaf`.

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use keywright_domain::clock::{Instant, NoRandomness, fill_random};
use std::collections::BTreeMap;

/// The largest leaf, in bytes.
pub const MOST: usize = 65_535;

/// The values that stand as commitments, in clear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Clear {
    pub actor: String,
    pub source_ip: String,
    pub user_agent: String,
    pub target: String,
    pub details: BTreeMap<String, String>,
}

impl Clear {
    fn fields(&self) -> [(&'static str, String); 5] {
        [
            ("actor", self.actor.clone()),
            ("sourceIp", self.source_ip.clone()),
            ("userAgent", self.user_agent.clone()),
            ("target", self.target.clone()),
            ("details", canonical(&self.details)),
        ]
    }
}

/// The salts of an entry's commitments, by field: hexadecimal.
pub type Salts = BTreeMap<&'static str, String>;

/// A leaf, ready to be appended.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// What is hashed: its bytes in UTF-8.
    pub text: String,
    /// Hexadecimal.
    pub hash: String,
    pub salts: Salts,
}

/// Everything of a leaf but its time, which the log gives it.
#[derive(Debug, Clone)]
pub struct Unsealed {
    fields: BTreeMap<&'static str, String>,
    salts: Salts,
}

impl Unsealed {
    /// `open` are the fields that stand in clear.
    pub fn new(
        kind: &'static str,
        open: &[(&'static str, &str)],
        clear: &Clear,
    ) -> Result<Self, NoRandomness> {
        let mut salts = Salts::new();
        let mut fields: BTreeMap<&'static str, String> = BTreeMap::new();
        for (name, value) in clear.fields() {
            let mut salt = [0u8; 16];
            fill_random(&mut salt)?;
            fields.insert(name, commitment(&salt, name, &value));
            salts.insert(name, HEXLOWER.encode(&salt));
        }
        fields.extend(open.iter().map(|(name, value)| (*name, (*value).to_owned())));
        fields.insert("kind", kind.to_owned());
        fields.insert("version", "1".to_owned());
        Ok(Self { fields, salts })
    }

    pub fn seal(&self, at: Instant) -> Leaf {
        let mut fields = self.fields.clone();
        fields.insert("time", at.rfc3339());
        let text = canonical(&fields);
        let hash = leaf_hash(text.as_bytes());
        Leaf { text, hash, salts: self.salts.clone() }
    }

    /// Whether it is no larger than a leaf may be, whenever it is sealed: times are all of one length.
    pub fn fits(&self) -> bool {
        // JSON writes a byte as six at most, and what stands around the values is short.
        let values: usize = self.fields.values().map(String::len).sum();
        values.saturating_mul(6).saturating_add(1_024) <= MOST
            || self.seal(Instant::from_micros(0)).text.len() <= MOST
    }
}

fn commitment(salt: &[u8], name: &str, value: &str) -> String {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(name.as_bytes());
    context.update(&[0]);
    context.update(value.as_bytes());
    format!("sha256:{}", HEXLOWER.encode(context.finish().as_ref()))
}

pub fn leaf_hash(leaf: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(leaf);
    HEXLOWER.encode(context.finish().as_ref())
}

/// Canonical JSON of a map of texts.
pub fn canonical<K: AsRef<str> + Ord>(fields: &BTreeMap<K, String>) -> String {
    let object: serde_json::Map<String, serde_json::Value> =
        fields.iter().map(|(key, value)| (key.as_ref().to_owned(), value.clone().into())).collect();
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_holds_no_clear_value_and_opens_with_its_salts() {
        let clear = Clear {
            actor: "prn_alice".to_owned(),
            source_ip: "192.0.2.7".to_owned(),
            target: "srv_target".to_owned(),
            details: BTreeMap::from([("name".to_owned(), "web".to_owned())]),
            ..Clear::default()
        };
        let at = Instant::from_secs(1_700_000_000);
        let open = [("action", "server.register"), ("eventId", "evt_x")];
        let leaf = Unsealed::new("INTENT", &open, &clear).unwrap().seal(at);
        let text = leaf.text;
        for hidden in ["prn_alice", "192.0.2.7", "srv_target", "web"] {
            assert!(!text.contains(hidden), "{text}");
        }
        let object: BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
        assert_eq!(object["time"], "2023-11-14T22:13:20.000000Z");
        let salt = HEXLOWER.decode(leaf.salts["actor"].as_bytes()).unwrap();
        assert_eq!(object["actor"], commitment(&salt, "actor", "prn_alice"));
        assert_eq!(canonical(&object), text, "keys are in order and nothing is between them");
        let again = Unsealed::new("INTENT", &open, &clear).unwrap().seal(at);
        assert_ne!(again.hash, leaf.hash, "equal values do not show as equal");
    }

    #[test]
    fn the_leaf_hash_is_that_of_rfc_6962() {
        // SHA-256 of the single byte 0x00: the leaf hash of an empty leaf.
        assert_eq!(leaf_hash(b""), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    }
}
