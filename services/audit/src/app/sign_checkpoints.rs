//! Signs what the log has become: at an interval, and sooner after a burst.
//!
//! Invariant: what is signed is a continuation of what was signed before. Before each signature the root of the last
//! checkpoint is made again from the nodes and the hashes of the last leaves; leaves are hashed again when a node is made
//! of them, and one node a time, by chance, from its leaves. Where something differs, the tables were tampered with and
//! nothing more is signed. Any replica may sign; the database lets one do it.

use crate::journal::Journal;
use crate::store::checkpoint::{self, Key, Origin, Signed};
use crate::store::{log, tree};
use data_encoding::{BASE64, HEXLOWER};
use keywright_domain::clock::fill_random;
use keywright_domain::reason::Reason;
use keywright_log::note::Signer;
use keywright_log::tile::WIDTH;
use keywright_log::{Checkpoint, Hash};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::metrics::Gauge;
use keywright_storage::Db;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Callers cannot have checkpoints signed more often than so.
const JUST_NOW: Duration = Duration::from_secs(2);

/// Nodes that are made and written at once: of 16,384 leaves.
const NODES_AT_ONCE: u64 = 64;

/// When checkpoints are signed, and under which name.
#[derive(Debug, Clone)]
pub struct Signing {
    /// The first part of the log's name, as in `audit.example.com/keywright`; what makes it unique is added to it.
    pub name: String,
    /// The private keys: see `keywright_runtime::keys::checkpoint_keys_file`. Read again for every checkpoint.
    pub keys: PathBuf,
    /// New entries wait no longer than this for a checkpoint.
    pub interval: Duration,
    /// So many new entries do not wait for the interval.
    pub burst: u64,
}

#[derive(Clone)]
pub struct SignCheckpoints {
    pub db: Db,
    pub journal: Arc<Journal>,
    pub signing: Signing,
}

impl SignCheckpoints {
    pub async fn run(self, stop: CancellationToken) {
        let contradicts = Gauge::new(
            "keywright_audit_log_contradicted",
            "1 while the stored log is no continuation of its last checkpoint",
        );
        loop {
            match self.when_due().await {
                Ok(_) => contradicts.record(0),
                Err(failure) if failure.is(Reason::Internal) => {
                    contradicts.record(1);
                    tracing::error!(
                        message = failure.message,
                        "no checkpoint is signed: compare the log with the checkpoints kept elsewhere"
                    );
                }
                Err(failure) => {
                    tracing::warn!(reason = failure.reason.as_str(), "a checkpoint could not be signed");
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        // What was logged until the end is covered too.
        if let Err(failure) = self.once().await {
            tracing::warn!(reason = failure.reason.as_str(), "the last checkpoint could not be signed");
        }
    }

    async fn when_due(&self) -> Result<bool, Failure> {
        let (size, _) = log::head(&self.db).await?;
        let Some(last) = checkpoint::newest(&self.db).await? else { return self.once().await };
        let new = tree::unsigned(size).saturating_sub(last.size);
        let is_old = self.db.now().await? >= last.at.plus(self.signing.interval);
        let is_named = checkpoint::origin(&self.db).await?.is_some_and(|origin| origin.number == last.origin);
        if !is_named || tree::unsigned(size) < last.size || new >= self.signing.burst || (new > 0 && is_old) {
            self.once().await
        } else {
            Ok(false)
        }
    }

    /// Signs the log as it is; false where that was done already.
    pub async fn once(&self) -> Result<bool, Failure> {
        let origin = self.origin().await?;
        // The checkpoint before the size: whoever signs meanwhile signs more, not less.
        let last = checkpoint::newest(&self.db).await?;
        let (size, _) = log::head(&self.db).await?;
        let size = tree::unsigned(size);
        if let Some(last) = &last {
            self.continues(last, size).await?;
            if last.origin == origin.number && last.size == size {
                return Ok(false);
            }
        }
        self.write_nodes(size).await?;
        self.look_at_one_node().await?;
        let root = self.root(size).await?;
        let known = checkpoint::keys(&self.db).await?;
        let signers = allowed(read_signers(&self.signing.keys, &origin.name)?, &known, &origin.name)?;
        let note = Checkpoint { origin: origin.name.clone(), size, root }.sign(&signers);
        let at = self.db.now().await?;
        let signed = Signed { origin: origin.number, size, root, note, at };
        self.keep(&origin, &signed, &signers, &known).await
    }

    /// Signs, unless that was done just now: for whoever wants all that is there.
    pub async fn freshly(&self) -> Result<bool, Failure> {
        match checkpoint::newest(&self.db).await? {
            Some(last) if self.db.now().await? < last.at.plus(JUST_NOW) => Ok(false),
            _ => self.once().await,
        }
    }

    /// The name that the log has; the first process gives it one.
    async fn origin(&self) -> Result<Origin, Failure> {
        if let Some(origin) = checkpoint::origin(&self.db).await? {
            return Ok(origin);
        }
        let first = Origin { number: 0, name: unique(&self.signing.name)?, from_size: 0 };
        let named: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("the log's name").await?;
                checkpoint::name(&mut tx, &first).await?;
                tx.commit().await?;
                Ok(())
            })
            .await;
        named?;
        Ok(checkpoint::origin(&self.db).await?.unwrap_or(first))
    }

    /// Whether the log still begins with what was signed last.
    async fn continues(&self, last: &Signed, size: u64) -> Result<(), Failure> {
        let differs = if size < last.size {
            Some(format!("the log has {size} entries, its last checkpoint {}", last.size))
        } else if self.root(last.size).await? != last.root {
            Some(format!("the first {} entries do not have the root that was signed", last.size))
        } else {
            None
        };
        differs.map_or(Ok(()), |what| Err(Failure::new(Reason::Internal, what)))
    }

    async fn root(&self, size: u64) -> Result<Hash, Failure> {
        if size == 0 {
            return Ok(Hash::of_nothing());
        }
        let whole = 0..size;
        let roots = tree::roots(&self.db, std::slice::from_ref(&whole)).await?;
        Ok(roots.first().copied().unwrap_or_else(Hash::of_nothing))
    }

    /// Writes the roots of the subtrees that have become complete.
    async fn write_nodes(&self, size: u64) -> Result<(), Failure> {
        let (mut level, mut below) = (0u8, size);
        while below >= WIDTH {
            let above = level.saturating_add(1);
            let complete = below / WIDTH;
            let mut from = tree::nodes(&self.db, above).await?;
            while from < complete {
                let until = complete.min(from.saturating_add(NODES_AT_ONCE));
                let (first, end) = (from.saturating_mul(WIDTH), until.saturating_mul(WIDTH));
                let hashes = tree::row(&self.db, level, first, end).await?;
                if level == 0 {
                    self.are_of_their_leaves(first, end, &hashes).await?;
                }
                let width = usize::try_from(WIDTH).unwrap_or(usize::MAX);
                let nodes: Vec<Hash> =
                    hashes.chunks(width).map(|of_one| tree::complete(of_one.to_vec())).collect();
                let written: Result<(), Error> = self
                    .db
                    .serialized(|| async {
                        let mut tx = self.db.begin_internal("nodes of the tree").await?;
                        tree::add(&mut tx, self.db.dialect(), above, from, &nodes).await?;
                        tx.commit().await?;
                        Ok(())
                    })
                    .await;
                written?;
                from = until;
            }
            (level, below) = (above, complete);
        }
        Ok(())
    }

    /// Whether the hashes from `first` on are those of the leaves; a retired leaf is not there to be hashed.
    async fn are_of_their_leaves(&self, first: u64, end: u64, hashes: &[Hash]) -> Result<(), Failure> {
        let leaves = log::leaves(&self.db, first, end).await?;
        for ((index, leaf), hash) in (first..).zip(&leaves).zip(hashes) {
            if !leaf.is_empty() && Hash::leaf(leaf) != *hash {
                let what = format!("entry {index} does not have the hash that stands beside it");
                return Err(Failure::new(Reason::Internal, what));
            }
        }
        Ok(())
    }

    /// Makes one node again from its leaves.
    async fn look_at_one_node(&self) -> Result<(), Failure> {
        let nodes = tree::nodes(&self.db, 1).await?;
        let mut random = [0; 8];
        fill_random(&mut random)?;
        let Some(node) = u64::from_le_bytes(random).checked_rem(nodes) else { return Ok(()) };
        let first = node.saturating_mul(WIDTH);
        let end = first.saturating_add(WIDTH);
        let hashes = tree::row(&self.db, 0, first, end).await?;
        self.are_of_their_leaves(first, end, &hashes).await?;
        let kept = tree::row(&self.db, 1, node, node.saturating_add(1)).await?;
        if kept.first() == Some(&tree::complete(hashes)) {
            Ok(())
        } else {
            let what = format!("the entries from {first} on do not have the root that was made of them");
            Err(Failure::new(Reason::Internal, what))
        }
    }

    /// Keeps the checkpoint, and which keys have signed. A change of the keys is an entry of the log itself, written before
    /// it.
    async fn keep(
        &self,
        origin: &Origin,
        signed: &Signed,
        signers: &[Signer],
        known: &[Key],
    ) -> Result<bool, Failure> {
        let sign: Vec<String> = signers.iter().map(|signer| signer.verifier().to_string()).collect();
        let is_active = |verifier: &String| known.iter().any(|key| key.active && key.verifier == *verifier);
        let begin: Vec<&String> = sign.iter().filter(|verifier| !is_active(verifier)).collect();
        let end: Vec<&String> = known
            .iter()
            .filter(|key| key.active && !sign.contains(&key.verifier))
            .map(|key| &key.verifier)
            .collect();
        if !known.is_empty() {
            for (what, verifiers) in [("signs", &begin), ("ended", &end)] {
                for verifier in verifiers {
                    self.tell(what, verifier).await?;
                }
            }
        }
        let kept: Result<bool, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("a checkpoint").await?;
                let is_new = checkpoint::add(&mut tx, signed).await?;
                if is_new {
                    for verifier in &begin {
                        checkpoint::key_signs(&mut tx, verifier, &origin.name, signed.size).await?;
                    }
                    for verifier in &end {
                        checkpoint::key_rests(&mut tx, verifier).await?;
                    }
                }
                tx.commit().await?;
                Ok(is_new)
            })
            .await;
        Ok(kept?)
    }

    async fn tell(&self, what: &str, verifier: &str) -> Result<(), Failure> {
        let details = BTreeMap::from([
            ("verifierKey".to_owned(), verifier.to_owned()),
            ("change".to_owned(), what.to_owned()),
        ]);
        let event = self.journal.intend("log.checkpoint_key", details).await?;
        self.journal.succeeded(&event, BTreeMap::new()).await
    }
}

/// The log's name with what makes it unique.
pub fn unique(name: &str) -> Result<String, Failure> {
    let mut bytes = [0; 8];
    fill_random(&mut bytes)?;
    Ok(format!("{name}/{}", HEXLOWER.encode(&bytes)))
}

/// Of this machine's keys those that may sign. The newest key that signs this log has to be among them: a machine with
/// an older file, or one of its own, would otherwise undo what was decided on another. A key that was ended stays so.
fn allowed(signers: Vec<Signer>, known: &[Key], origin: &str) -> Result<Vec<Signer>, Failure> {
    let is = |signer: &Signer, key: &Key| signer.verifier().to_string() == key.verifier;
    let newest = known
        .iter()
        .filter(|key| key.active && key.origin == origin)
        .max_by_key(|key| (key.since, key.from_size));
    if newest.is_some_and(|newest| !signers.iter().any(|signer| is(signer, newest))) {
        let what = "this machine's checkpoint keys are not those of the log: copy the file from the machine that has them";
        return Err(Failure::new(Reason::StorageUnavailable, what));
    }
    let ended = |signer: &Signer| known.iter().any(|key| !key.active && is(signer, key));
    Ok(signers.into_iter().filter(|signer| !ended(signer)).collect())
}

/// The keys of the file, under the log's name.
fn read_signers(file: &Path, origin: &str) -> Result<Vec<Signer>, Failure> {
    let broken = |what: &str| {
        let text = format!("the file of the checkpoint keys {what}: see audit-tree.md");
        Failure::new(Reason::StorageUnavailable, text)
    };
    let text = std::fs::read_to_string(file).map_err(|_| broken("cannot be read"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let signers = lines.map(|line| Signer::new(origin, &BASE64.decode(line.as_bytes()).ok()?).ok());
    let signers = signers.collect::<Option<Vec<Signer>>>().ok_or_else(|| broken("does not hold keys"))?;
    if signers.is_empty() { Err(broken("is empty")) } else { Ok(signers) }
}
