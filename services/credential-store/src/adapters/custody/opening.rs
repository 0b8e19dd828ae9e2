//! Which key-encryption keys this process has in memory: at the start, after an unsealing, and when another replica
//! has made a new one.
//!
//! Invariant: a key is used only after it has opened the check that lies in the database; until then nothing there is
//! touched. Unsealing and sealing are of one process.

use super::kek::{Kek, KekError};
use super::key_files::{Form, KeyFiles};
use super::passphrase::{Wrapped, fit};
use super::ring::{Loaded, Ring};
use super::sealed::SealedStore;
use super::{AdminError, CustodyError};
use crate::domain::kek::{KekId, KekState};
use crate::store::kek::{self, KekRow};
use keywright_domain::clock::Instant;
use keywright_domain::secret::Secret;
use keywright_storage as storage;
use keywright_storage::Db;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{Mutex, Notify};

/// Wrong passphrases that are tried in a minute.
const TRIES: u32 = 5;

/// More than a passphrase needs.
const LARGEST_PASSPHRASE: u64 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the key-encryption key is not the one that sealed this database; nothing was touched")]
    WrongKey,
    #[error(
        "data keys lie under the key-encryption key {0}, which is missing; restore its file. Nothing was touched"
    )]
    OlderKey(KekId),
    #[error("the key-encryption key cannot be used")]
    BadKey,
    #[error(transparent)]
    Key(#[from] KekError),
    #[error("the database failed")]
    Storage(#[from] storage::Error),
}

/// Where the key-encryption key comes from.
pub enum KeySource {
    /// As it is: from the environment.
    Given(Kek),
    /// Files of the data directory, in the clear or under a passphrase.
    Files { files: KeyFiles, passphrase_file: Option<PathBuf> },
}

impl KeySource {
    pub fn files(data: &Path, passphrase_file: Option<PathBuf>) -> Self {
        Self::Files { files: KeyFiles::of(data), passphrase_file }
    }
}

/// A key that could be loaded now, or why none can be without a person.
enum Candidate {
    Open(Kek),
    UnderPassphrase,
}

pub(super) struct Keys {
    pub source: KeySource,
    /// None while the store is sealed.
    ring: RwLock<Option<Arc<Ring>>>,
    /// Held by whoever changes which keys are in memory: one passphrase is tried at a time.
    pub opening: Mutex<Tries>,
    /// Held by whoever carries a rotation on.
    pub turning: Mutex<()>,
    /// There is something to carry on.
    pub owed: Notify,
}

impl Keys {
    pub fn new(source: KeySource) -> Self {
        Self {
            source,
            ring: RwLock::new(None),
            opening: Mutex::default(),
            turning: Mutex::default(),
            owed: Notify::new(),
        }
    }

    pub fn ring(&self) -> Result<Arc<Ring>, CustodyError> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(CustodyError::Sealed)
    }

    pub fn set(&self, ring: Option<Ring>) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring.map(Arc::new);
    }
}

/// Wrong passphrases of this minute. Kept in memory: a brake, not a record.
#[derive(Default)]
pub(super) struct Tries {
    minute: i64,
    wrong: u32,
}

impl Tries {
    fn check(&mut self, now: Instant) -> Result<(), AdminError> {
        let minute = now.secs() / 60;
        if self.minute != minute {
            *self = Self { minute, wrong: 0 };
        }
        if self.wrong >= TRIES { Err(AdminError::TooManyTries) } else { Ok(()) }
    }

    /// Tries it, off the asynchronous threads, and counts a wrong one.
    pub async fn open(
        &mut self,
        wrapped: Wrapped,
        passphrase: Secret,
        now: Instant,
    ) -> Result<Kek, AdminError> {
        self.check(now)?;
        // Counted before: a request that is dropped meanwhile has had its try.
        self.wrong = self.wrong.saturating_add(1);
        let opened = tokio::task::spawn_blocking(move || wrapped.open(&passphrase)).await;
        let opened = opened.map_err(|_| AdminError::KeyFile)?;
        if !matches!(opened, Err(KekError::Passphrase)) {
            self.wrong = self.wrong.saturating_sub(1);
        }
        Ok(opened?)
    }
}

impl SealedStore {
    /// Opens the store with its key, makes the first one where there is none yet, or starts sealed where the key lies
    /// under a passphrase that is not at hand.
    pub async fn start(db: Db, source: KeySource) -> Result<Self, OpenError> {
        let store = Self::new(db, source);
        match store.candidate().await? {
            Candidate::Open(kek) => store.keys.set(Some(store.admit(kek).await?)),
            Candidate::UnderPassphrase => {
                tracing::warn!("the secret store is sealed: unseal it with keywright admin unseal");
            }
        }
        Ok(store)
    }

    /// Makes the first key, under a passphrase. One that is there already stays, if this passphrase opens it.
    pub async fn create_under_passphrase(db: &Db, data: &Path, passphrase: Secret) -> Result<(), OpenError> {
        fit(&passphrase)?;
        let files = KeyFiles::of(data);
        let found = files.list()?;
        let made =
            tokio::task::spawn_blocking(move || match found.into_iter().next().map(|found| found.form) {
                Some(Form::Wrapped(wrapped)) => wrapped.open(&passphrase),
                Some(Form::Plain(_)) => Err(KekError::InTheClear),
                None => {
                    let kek = Kek::random()?;
                    files.write_wrapped(&Wrapped::seal(&kek, &passphrase)?)?;
                    Ok(kek)
                }
            });
        let kek = made.await.map_err(|_| OpenError::BadKey)??;
        Self::new(db.clone(), KeySource::files(data, None)).admit(kek).await.map(drop)
    }

    /// Without its key: it still destroys, and refuses everything else as sealed.
    #[cfg(test)]
    pub fn locked(db: Db) -> Self {
        Self::new(db, KeySource::files(Path::new("/nowhere"), None))
    }

    /// Where the current key is.
    pub(super) async fn form(&self) -> Result<Option<Form>, OpenError> {
        let KeySource::Files { files, .. } = &self.keys.source else { return Ok(None) };
        let rows = kek::all(&self.db).await?;
        if let Some(current) = rows.iter().find(|row| row.state == KekState::Current) {
            return Ok(files.find(&current.id)?);
        }
        let mut found = files.list()?.into_iter();
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(KekError::Several { folder: files.folder().to_owned() }.into()),
            (only, _) => Ok(only.map(|found| found.form)),
        }
    }

    async fn candidate(&self) -> Result<Candidate, OpenError> {
        let (files, passphrase_file) = match &self.keys.source {
            KeySource::Given(kek) => return Ok(Candidate::Open(kek.duplicate())),
            KeySource::Files { files, passphrase_file } => (files, passphrase_file),
        };
        match self.form().await? {
            Some(Form::Plain(kek)) => Ok(Candidate::Open(kek)),
            Some(Form::Wrapped(wrapped)) => match passphrase_file {
                None => Ok(Candidate::UnderPassphrase),
                Some(path) => {
                    let passphrase = read_passphrase(path)?;
                    let opened = tokio::task::spawn_blocking(move || wrapped.open(&passphrase)).await;
                    Ok(Candidate::Open(opened.map_err(|_| OpenError::BadKey)??))
                }
            },
            None if !files.list()?.is_empty() => Err(OpenError::WrongKey),
            None if self.is_new().await? => Ok(Candidate::Open(files.make_first()?)),
            None => {
                let source = std::io::ErrorKind::NotFound.into();
                Err(KekError::Missing { path: files.first_path(), source }.into())
            }
        }
    }

    /// Whether no key was ever used with this database.
    async fn is_new(&self) -> Result<bool, OpenError> {
        Ok(kek::all(&self.db).await?.is_empty() && kek::unnamed(&self.db).await?.is_none())
    }

    /// The keys that go with `current`, which must be the database's.
    pub(super) async fn admit(&self, current: Kek) -> Result<Ring, OpenError> {
        let current = Loaded::new(current)?;
        self.register(&current).await?;
        let rows = kek::all(&self.db).await?;
        let row = rows.iter().find(|row| row.state == KekState::Current).ok_or(OpenError::WrongKey)?;
        if row.id != current.id || !current.made(&row.check) {
            return Err(OpenError::WrongKey);
        }
        let mut ring = Ring::of(current);
        for row in rows.iter().filter(|row| row.state == KekState::Retiring) {
            match self.predecessor(row, ring.current())? {
                Some(older) => ring.add(older),
                None if kek::counts(&self.db, row.id.as_str()).await?.1 == 0 => {}
                None => return Err(OpenError::OlderKey(row.id.clone())),
            }
        }
        Ok(ring)
    }

    /// The first key of a new database, or the name of one from before keys had names.
    async fn register(&self, key: &Loaded) -> Result<(), OpenError> {
        if let Some(check) = kek::unnamed(&self.db).await? {
            if !key.made(&check) {
                return Err(OpenError::WrongKey);
            }
            let named = self.db.serialized(|| async {
                let mut tx = self.db.begin_internal("the key-encryption key gets its name").await?;
                kek::name(&mut tx, &key.id).await?;
                tx.commit().await
            });
            return Ok(named.await?);
        }
        if !self.is_new().await? {
            return Ok(());
        }
        let check = key.check().map_err(|_| OpenError::BadKey)?;
        let registered = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("first use of a key-encryption key").await?;
            // Another replica may have been the first.
            if !kek::any_in(&mut tx).await? {
                kek::insert(&mut tx, &key.id, KekState::Current, &check).await?;
            }
            tx.commit().await
        });
        Ok(registered.await?)
    }

    /// From its own file in the clear, or under its successor.
    fn predecessor(&self, row: &KekRow, current: &Loaded) -> Result<Option<Loaded>, OpenError> {
        use super::envelope::Purpose;
        let KeySource::Files { files, .. } = &self.keys.source else { return Ok(None) };
        let kek = match (files.find(&row.id)?, files.bridge(&row.id)?) {
            (Some(Form::Plain(kek)), _) => kek,
            (_, Some(sealed)) => match current.open(Purpose::UnderSuccessor(&row.id), sealed.expose()) {
                Ok(bytes) => Kek::new(bytes)?,
                Err(_) => return Ok(None),
            },
            _ => return Ok(None),
        };
        let loaded = Loaded::new(kek)?;
        Ok((loaded.id == row.id && loaded.made(&row.check)).then_some(loaded))
    }

    /// Looks for a key that another replica made. Where it lies under a passphrase that is not at hand, this process
    /// is sealed from now on.
    pub(super) async fn refresh(&self, wanted: &KekId) -> Result<(), CustodyError> {
        let _opening = self.keys.opening.lock().await;
        let ring = self.keys.ring()?;
        let unavailable = |error: OpenError| {
            tracing::error!(error = %error, kek = %wanted, "a key-encryption key cannot be loaded");
            CustodyError::Unavailable
        };
        let rows = kek::all(&self.db).await.map_err(|_| CustodyError::Unavailable)?;
        let current = rows.iter().find(|row| row.state == KekState::Current);
        let kek = match current.and_then(|row| ring.get(&row.id)) {
            Some(known) => known.kek.duplicate(),
            None => match self.candidate().await.map_err(unavailable)? {
                Candidate::Open(kek) => kek,
                Candidate::UnderPassphrase => {
                    tracing::warn!(
                        "another replica rotated the key-encryption key: this process is sealed until it is unsealed"
                    );
                    self.keys.set(None);
                    return Err(CustodyError::Sealed);
                }
            },
        };
        self.keys.set(Some(self.admit(kek).await.map_err(unavailable)?));
        Ok(())
    }

    /// Opens this process's store. Repeating it changes nothing.
    pub async fn unseal(&self, passphrase: Secret) -> Result<(), AdminError> {
        let mut tries = self.keys.opening.lock().await;
        let wrapped = match (self.form().await?, &self.keys.source) {
            (Some(Form::Wrapped(wrapped)), _) => wrapped,
            (None, KeySource::Files { .. }) => return Err(AdminError::WrongKey),
            _ => return Err(AdminError::NoPassphrase),
        };
        if self.keys.ring().is_ok() {
            return Ok(());
        }
        let kek = tries.open(wrapped, passphrase, self.db.now().await.map_err(OpenError::from)?).await?;
        self.keys.set(Some(self.admit(kek).await?));
        self.keys.owed.notify_one();
        Ok(())
    }

    /// Whether it waits for a passphrase.
    pub fn is_locked(&self) -> bool {
        self.keys.ring().is_err()
    }

    /// Forgets the keys. Repeating it changes nothing.
    pub async fn seal(&self) -> Result<(), AdminError> {
        let _opening = self.keys.opening.lock().await;
        match self.form().await? {
            Some(Form::Wrapped(_)) => {
                self.keys.set(None);
                Ok(())
            }
            _ => Err(AdminError::NoPassphrase),
        }
    }
}

/// The file's first line.
pub fn read_passphrase(path: &Path) -> Result<Secret, KekError> {
    use std::io::Read;
    let failed = |source| KekError::PassphraseFile { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    // Room for any passphrase, so that no copy is left behind by a reallocation.
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(8192));
    file.take(LARGEST_PASSPHRASE).read_to_end(&mut bytes).map_err(failed)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(Secret::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
}
