//! The key-encryption keys in memory: the current one, and its predecessor while data keys lie under it.

use super::envelope::{Purpose, SealingKey, Unopened};
use super::kek::{Kek, KekError};
use crate::domain::kek::KekId;
use keywright_domain::secret::Secret;
use std::collections::BTreeMap;
use std::sync::Arc;

const KNOWN_TEXT: &[u8] = b"keywright";

/// A key, ready for use.
pub struct Loaded {
    pub id: KekId,
    pub kek: Kek,
    key: SealingKey,
}

impl Loaded {
    pub fn new(kek: Kek) -> Result<Self, KekError> {
        let key = SealingKey::new(kek.bytes()).map_err(|_| KekError::Malformed("the key".to_owned()))?;
        Ok(Self { id: kek.id()?, kek, key })
    }

    pub fn seal(&self, purpose: Purpose<'_>, plain: &Secret) -> Result<Vec<u8>, Unopened> {
        self.key.seal(purpose, plain)
    }

    pub fn open(&self, purpose: Purpose<'_>, sealed: &[u8]) -> Result<Secret, Unopened> {
        self.key.open(purpose, sealed)
    }

    /// The known text under it.
    pub fn check(&self) -> Result<Vec<u8>, Unopened> {
        self.seal(Purpose::KeyCheck, &Secret::new(KNOWN_TEXT.to_vec()))
    }

    /// Whether this key made that check.
    pub fn made(&self, check: &[u8]) -> bool {
        self.open(Purpose::KeyCheck, check).is_ok_and(|known| known.expose() == KNOWN_TEXT)
    }
}

#[derive(Clone)]
pub struct Ring {
    current: Arc<Loaded>,
    older: BTreeMap<KekId, Arc<Loaded>>,
}

impl Ring {
    pub fn of(current: Loaded) -> Self {
        Self { current: Arc::new(current), older: BTreeMap::new() }
    }

    pub fn add(&mut self, older: Loaded) {
        self.older.insert(older.id.clone(), Arc::new(older));
    }

    pub fn current(&self) -> &Arc<Loaded> {
        &self.current
    }

    pub fn get(&self, id: &KekId) -> Option<&Arc<Loaded>> {
        if self.current.id == *id { Some(&self.current) } else { self.older.get(id) }
    }

    /// Whether exactly these and the current one are there.
    pub fn holds_just(&self, older: &[&KekId]) -> bool {
        self.older.len() == older.len() && older.iter().all(|id| self.older.contains_key(id))
    }
}
