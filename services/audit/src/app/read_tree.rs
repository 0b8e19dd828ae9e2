//! What anybody needs to check the log: the newest checkpoint, tiles of hashes, bundles of entries, and the keys.

use crate::store::checkpoint::{self, Key, Signed};
use crate::store::{log, tree};
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::reason::Reason;
use keywright_log::tile::{Level, Tile, WIDTH};
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;

pub const PROVE: &str = "audit.prove";

#[derive(Clone)]
pub struct ReadTree {
    pub db: Db,
    pub guard: Guard,
}

impl ReadTree {
    pub async fn checkpoint(&self, caller: &Caller) -> Result<Signed, Failure> {
        self.allow(caller, "checkpoint", Reason::CheckpointNotFound).await?;
        newest(&self.db).await
    }

    pub async fn keys(&self, caller: &Caller) -> Result<Vec<Key>, Failure> {
        self.allow(caller, "keys", Reason::CheckpointNotFound).await?;
        Ok(checkpoint::keys(&self.db).await?)
    }

    /// The bytes of a tile, as C2SP tlog-tiles has them.
    pub async fn tile(&self, caller: &Caller, path: &str) -> Result<Vec<u8>, Failure> {
        let missing = || Failure::not_found(Reason::TileNotFound, shown(path));
        self.allow(caller, path, Reason::TileNotFound).await?;
        let tile = Tile::parse(path).ok_or_else(missing)?;
        if tile.level == Level::Entries {
            // Every tenant's entries stand in one bundle.
            self.guard.allow(caller, "audit.read", None, shown(path), Reason::TileNotFound).await?;
        }
        let size = newest(&self.db).await?.size;
        let (_, each) = tile.reach().ok_or_else(missing)?;
        let first = tile.index.checked_mul(WIDTH).ok_or_else(missing)?;
        let until =
            first.checked_add(tile.width).filter(|until| *until <= size / each).ok_or_else(missing)?;
        match tile.level {
            Level::Hashes(level) => {
                let hashes = tree::row(&self.db, level, first, until).await?;
                Ok(hashes.iter().flat_map(|hash| *hash.bytes()).collect())
            }
            Level::Entries => {
                let leaves = log::leaves(&self.db, first, until).await?;
                bundle(&leaves).ok_or_else(missing)
            }
        }
    }

    async fn allow(&self, caller: &Caller, target: &str, missing: Reason) -> Result<(), Failure> {
        let tenant = caller.principal.tenant.clone();
        self.guard.allow(caller, PROVE, tenant.as_ref(), shown(target), missing).await
    }
}

pub async fn newest(db: &Db) -> Result<Signed, Failure> {
    let newest = checkpoint::newest(db).await?;
    newest.ok_or_else(|| Failure::new(Reason::CheckpointNotFound, "No checkpoint is signed yet."))
}

/// Each entry with its length before it; none where one is retired.
fn bundle(leaves: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for leaf in leaves {
        let length = u16::try_from(leaf.len()).ok().filter(|length| *length > 0)?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(leaf);
    }
    Some(bytes)
}
