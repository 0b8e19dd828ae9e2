//! The embedded store: each version under a data key of its own, each data key wrapped by the key-encryption key in a
//! small table. Deleting the wrap destroys the version.

use super::CustodyError;
use super::envelope::{Purpose, SealingKey};
use super::kek::Kek;
use crate::store::material::{self, Sealed};
use keywright_domain::clock::fill_random;
use keywright_domain::ids::VersionId;
use keywright_domain::secret::Secret;
use keywright_storage as storage;
use keywright_storage::Db;
use std::sync::Arc;
use std::time::Duration;

const KNOWN_TEXT: &[u8] = b"keywright";

/// How often the log's emptying is tried while a reader is in the way; after that the background task does it.
const SCRUBS: u32 = 20;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the key-encryption key is not the one that sealed this database; nothing was touched")]
    WrongKey,
    #[error("the key-encryption key cannot be used")]
    BadKey,
    #[error("the database failed")]
    Storage(#[from] storage::Error),
}

#[derive(Clone)]
pub struct SealedStore {
    db: Db,
    /// None while the store is sealed.
    kek: Option<Arc<SealingKey>>,
}

impl SealedStore {
    /// Refuses a key that did not seal what lies in `db`.
    pub async fn open(db: Db, kek: &Kek) -> Result<Self, OpenError> {
        let key = SealingKey::new(kek.bytes()).map_err(|_| OpenError::BadKey)?;
        if material::key_check(&db).await?.is_none() {
            let check = key
                .seal(Purpose::KeyCheck, &Secret::new(KNOWN_TEXT.to_vec()))
                .map_err(|_| OpenError::BadKey)?;
            let mut tx = db.begin_internal("first use of a key-encryption key").await?;
            material::insert_key_check(&mut tx, &check).await?;
            tx.commit().await?;
        }
        // Read again: another replica may have been the first.
        let check = material::key_check(&db).await?.ok_or(OpenError::WrongKey)?;
        let known = key.open(Purpose::KeyCheck, &check).map_err(|_| OpenError::WrongKey)?;
        if known.expose() != KNOWN_TEXT {
            return Err(OpenError::WrongKey);
        }
        Ok(Self { db, kek: Some(Arc::new(key)) })
    }

    /// Without its key: it still destroys, and refuses everything else as sealed.
    pub fn locked(db: Db) -> Self {
        Self { db, kek: None }
    }

    fn kek(&self) -> Result<&SealingKey, CustodyError> {
        self.kek.as_deref().ok_or(CustodyError::Sealed)
    }

    pub async fn put(&self, version: &VersionId, plain: &Secret) -> Result<(), CustodyError> {
        let sealed = self.seal(version, plain)?;
        let written = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("material, before the row that names it").await?;
            material::insert(&mut tx, version, &sealed).await?;
            tx.commit().await
        });
        match written.await {
            Ok(()) => Ok(()),
            Err(storage::Error::Exists(_)) => Err(CustodyError::Exists),
            Err(_) => Err(CustodyError::Unavailable),
        }
    }

    fn seal(&self, version: &VersionId, plain: &Secret) -> Result<Sealed, CustodyError> {
        let mut bytes = vec![0u8; 32];
        fill_random(&mut bytes).map_err(|_| CustodyError::Unavailable)?;
        let data_key = Secret::new(bytes);
        let wrapped = self.kek()?.seal(Purpose::DataKey(version), &data_key);
        let sealed = SealingKey::new(&data_key).and_then(|key| key.seal(Purpose::Material(version), plain));
        match (wrapped, sealed) {
            (Ok(wrapped), Ok(sealed)) => Ok(Sealed { wrapped, sealed }),
            _ => Err(CustodyError::Unavailable),
        }
    }

    pub async fn get(&self, version: &VersionId) -> Result<Secret, CustodyError> {
        let kek = self.kek()?;
        let found = material::find(&self.db, version).await.map_err(|_| CustodyError::Unavailable)?;
        let found = found.ok_or(CustodyError::NotFound)?;
        let opened = kek
            .open(Purpose::DataKey(version), &found.wrapped)
            .and_then(|data_key| SealingKey::new(&data_key)?.open(Purpose::Material(version), &found.sealed));
        opened.map_err(|_| {
            tracing::error!(%version, "sealed material does not open: it was changed outside of Keywright");
            CustodyError::Unavailable
        })
    }

    pub async fn destroy(&self, version: &VersionId) -> Result<(), CustodyError> {
        let deleted = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("destruction of material").await?;
            material::delete(&mut tx, version).await?;
            tx.commit().await
        });
        deleted.await.map_err(|_: storage::Error| CustodyError::Unavailable)?;
        for _ in 0..SCRUBS {
            if material::scrub(&self.db).await.map_err(|_| CustodyError::Unavailable)? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        Err(CustodyError::Unavailable)
    }

    pub async fn ready(&self) -> Result<(), CustodyError> {
        self.kek()?;
        self.db.ready().await.map_err(|_| CustodyError::Unavailable)
    }
}
