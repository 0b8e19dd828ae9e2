//! The embedded store: each version under a data key of its own, each data key wrapped by a key-encryption key in a
//! small table. Deleting the wrap destroys the version.
//!
//! `opening` says which keys are in memory, `rotation` replaces one by another.
//! Invariant: a data key is written only under the key that is current in the same transaction.

use super::CustodyError;
use super::envelope::{Purpose, SealingKey};
use super::kek::Kek;
use super::opening::{KeySource, Keys, OpenError};
use super::ring::Loaded;
use crate::domain::kek::KekId;
use crate::store::kek;
use crate::store::material::{self, Sealed};
use keywright_domain::clock::fill_random;
use keywright_domain::ids::VersionId;
use keywright_domain::secret::Secret;
use keywright_storage as storage;
use keywright_storage::Db;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// How often a scrub is tried while a reader is in the way; after that the background task does it.
const SCRUBS: u32 = 20;
const BETWEEN_SCRUBS: Duration = Duration::from_millis(25);

/// How often a key that another replica made current is looked for.
const MOVES: u32 = 3;

#[derive(Clone)]
pub struct SealedStore {
    pub(super) db: Db,
    pub(super) keys: Arc<Keys>,
    scrubs: Arc<Scrubs>,
}

/// One scrub serves everybody whose rows were gone when it began.
#[derive(Default)]
struct Scrubs {
    asked: AtomicU64,
    served: Mutex<u64>,
}

/// What became of a write.
enum Written {
    Done,
    /// Another key is current by now.
    Moved(KekId),
}

impl SealedStore {
    /// With this key and no other source of one. Refuses a key that did not seal what lies in `db`.
    pub async fn open(db: Db, kek: &Kek) -> Result<Self, OpenError> {
        Self::start(db, KeySource::Given(kek.duplicate())).await
    }

    pub(super) fn new(db: Db, source: KeySource) -> Self {
        Self { db, keys: Arc::new(Keys::new(source)), scrubs: Arc::default() }
    }

    pub async fn put(&self, version: &VersionId, plain: &Secret) -> Result<(), CustodyError> {
        for _ in 0..MOVES {
            let ring = self.keys.ring()?;
            let sealed = seal(ring.current(), version, plain)?;
            let written = self.db.serialized(|| async {
                let mut tx = self.db.begin_internal("material, before the row that names it").await?;
                match kek::current_in(&mut tx).await? {
                    Some(current) if current != sealed.kek => return Ok(Written::Moved(current)),
                    _ => material::insert(&mut tx, version, &sealed).await?,
                }
                tx.commit().await?;
                Ok(Written::Done)
            });
            match written.await {
                Ok(Written::Done) => return Ok(()),
                Ok(Written::Moved(current)) => self.refresh(&current).await?,
                Err(storage::Error::Exists(_)) => return Err(CustodyError::Exists),
                Err(_) => return Err(CustodyError::Unavailable),
            }
        }
        Err(CustodyError::Unavailable)
    }

    pub async fn get(&self, version: &VersionId) -> Result<Secret, CustodyError> {
        for _ in 0..MOVES {
            self.keys.ring()?;
            let found = material::find(&self.db, version).await.map_err(|_| CustodyError::Unavailable)?;
            let found = found.ok_or(CustodyError::NotFound)?;
            let ring = self.keys.ring()?;
            let Some(kek) = ring.get(&found.kek) else {
                self.refresh(&found.kek).await?;
                continue;
            };
            let opened = kek.open(Purpose::DataKey(version), &found.wrapped).and_then(|data_key| {
                SealingKey::new(&data_key)?.open(Purpose::Material(version), &found.sealed)
            });
            return opened.map_err(|_| {
                tracing::error!(%version, "sealed material does not open: it was changed outside of Keywright");
                CustodyError::Unavailable
            });
        }
        Err(CustodyError::Unavailable)
    }

    pub async fn destroy(&self, version: &VersionId) -> Result<(), CustodyError> {
        let deleted = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("destruction of material").await?;
            material::delete(&mut tx, version).await?;
            tx.commit().await
        });
        deleted.await.map_err(|_: storage::Error| CustodyError::Unavailable)?;
        self.scrub().await
    }

    /// Nothing of what is deleted by now stays in the tables' files.
    pub(super) async fn scrub(&self) -> Result<(), CustodyError> {
        let mine = self.scrubs.asked.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let mut served = self.scrubs.served.lock().await;
        if *served >= mine {
            return Ok(());
        }
        let everybody = self.scrubs.asked.load(Ordering::SeqCst);
        let horizon = material::horizon(&self.db).await.map_err(|_| CustodyError::Unavailable)?;
        for _ in 0..SCRUBS {
            if material::scrub(&self.db, horizon).await.map_err(|_| CustodyError::Unavailable)? {
                *served = everybody;
                return Ok(());
            }
            tokio::time::sleep(BETWEEN_SCRUBS).await;
        }
        Err(CustodyError::Unavailable)
    }

    pub async fn ready(&self) -> Result<(), CustodyError> {
        self.keys.ring()?;
        self.db.ready().await.map_err(|_| CustodyError::Unavailable)
    }
}

fn seal(kek: &Loaded, version: &VersionId, plain: &Secret) -> Result<Sealed, CustodyError> {
    let mut bytes = vec![0u8; 32];
    fill_random(&mut bytes).map_err(|_| CustodyError::Unavailable)?;
    let data_key = Secret::new(bytes);
    let wrapped = kek.seal(Purpose::DataKey(version), &data_key);
    let sealed = SealingKey::new(&data_key).and_then(|key| key.seal(Purpose::Material(version), plain));
    match (wrapped, sealed) {
        (Ok(wrapped), Ok(sealed)) => Ok(Sealed { kek: kek.id.clone(), wrapped, sealed }),
        _ => Err(CustodyError::Unavailable),
    }
}
