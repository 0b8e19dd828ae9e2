//! Proofs of inclusion and consistency, for trees up to the size of the newest checkpoint.

use super::read_tree::{PROVE, newest};
use crate::store::{checkpoint, event, tree};
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::reason::Reason;
use keywright_log::Hash;
use keywright_log::tree::{Leaves, consistency, inclusion};
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;

#[derive(Clone)]
pub struct Prove {
    pub db: Db,
    pub guard: Guard,
}

/// Which leaf.
#[derive(Debug, Clone)]
pub enum Which {
    Index(i64),
    /// The leaf of an event's intent.
    Event(String),
}

#[derive(Debug, Clone)]
pub struct Inclusion {
    pub index: u64,
    pub size: u64,
    pub leaf: Hash,
    pub hashes: Vec<Hash>,
    pub root: Hash,
    /// The signed checkpoint of that size; empty where none was signed.
    pub checkpoint: String,
}

#[derive(Debug, Clone)]
pub struct Consistency {
    pub from: u64,
    pub size: u64,
    pub hashes: Vec<Hash>,
    pub from_root: Hash,
    pub root: Hash,
    /// The signed checkpoint of the larger size; empty where none was signed.
    pub checkpoint: String,
}

impl Prove {
    pub async fn inclusion(
        &self,
        caller: &Caller,
        which: Which,
        size: Option<i64>,
    ) -> Result<Inclusion, Failure> {
        self.allow(caller).await?;
        let size = self.size(size).await?;
        let (index, beyond) = match which {
            Which::Index(index) => {
                (number("index", index)?, ("index", "must be less than the size of the tree"))
            }
            Which::Event(id) => {
                let beyond = ("eventId", "must stand in the tree: the next checkpoint will cover it");
                (self.position(caller, &id).await?, beyond)
            }
        };
        let path = inclusion(index, size).ok_or_else(|| Failure::violation(beyond.0, beyond.1))?;
        let leaf = index..index.saturating_add(1);
        let (mut hashes, root) = self.roots([&path[..], &[leaf]].concat(), size).await?;
        let leaf = hashes.pop().unwrap_or(root);
        let checkpoint = self.note(size).await?;
        Ok(Inclusion { index, size, leaf, hashes, root, checkpoint })
    }

    pub async fn consistency(
        &self,
        caller: &Caller,
        from: i64,
        size: Option<i64>,
    ) -> Result<Consistency, Failure> {
        self.allow(caller).await?;
        let (from, size) = (number("from", from)?, self.size(size).await?);
        let path = consistency(from, size)
            .ok_or_else(|| Failure::violation("from", "must not be more than the size of the tree"))?;
        let smaller = 0..from;
        let (mut hashes, root) = self.roots([&path[..], &[smaller]].concat(), size).await?;
        let from_root = hashes.pop().unwrap_or(root);
        let checkpoint = self.note(size).await?;
        Ok(Consistency { from, size, hashes, from_root, root, checkpoint })
    }

    async fn allow(&self, caller: &Caller) -> Result<(), Failure> {
        let tenant = caller.principal.tenant.clone();
        self.guard.allow(caller, PROVE, tenant.as_ref(), "proofs", Reason::CheckpointNotFound).await
    }

    /// The tree's size: the newest checkpoint's, or a smaller one.
    async fn size(&self, size: Option<i64>) -> Result<u64, Failure> {
        let newest = newest(&self.db).await?.size;
        match size {
            None => Ok(newest),
            Some(size) => {
                let size = number("size", size)?;
                let what = format!("must not be more than {newest}, the size of the newest checkpoint");
                if size <= newest { Ok(size) } else { Err(Failure::violation("size", what)) }
            }
        }
    }

    /// Whoever asks by an event must be one who may read it: its position alone would tell that it exists.
    async fn position(&self, caller: &Caller, id: &str) -> Result<u64, Failure> {
        let missing = Reason::EventNotFound;
        let (index, tenant) =
            event::position(&self.db, id).await?.ok_or_else(|| Failure::not_found(missing, shown(id)))?;
        self.guard.allow(caller, "audit.read", tenant.as_ref(), id, missing).await?;
        Ok(tree::unsigned(index))
    }

    /// The roots of these ranges, and that of the whole tree.
    async fn roots(&self, mut ranges: Vec<Leaves>, size: u64) -> Result<(Vec<Hash>, Hash), Failure> {
        ranges.push(0..size);
        let mut roots = tree::roots(&self.db, &ranges).await?;
        let whole = roots.pop().unwrap_or_else(Hash::of_nothing);
        Ok((roots, whole))
    }

    async fn note(&self, size: u64) -> Result<String, Failure> {
        Ok(checkpoint::of_size(&self.db, size).await?.map(|signed| signed.note).unwrap_or_default())
    }
}

fn number(field: &str, number: i64) -> Result<u64, Failure> {
    u64::try_from(number).map_err(|_| Failure::violation(field, "must not be negative"))
}
