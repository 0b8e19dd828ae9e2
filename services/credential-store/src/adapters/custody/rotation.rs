//! A new key-encryption key, and every data key under it, while everything runs.
//!
//! announced (a row) → its file is durable → current, the old one retiring (one transaction) → data keys are wrapped
//! anew, in batches → the old one retired → its file gone. Whatever stops in between, any replica with its keys in
//! memory carries on from the rows.
//! Invariant: a key's file goes only when no data key names the key. Material is never touched.

use super::envelope::Purpose;
use super::kek::Kek;
use super::key_files::Form;
use super::opening::{KeySource, OpenError};
use super::passphrase::{Wrapped, fit};
use super::ring::{Loaded, Ring};
use super::sealed::SealedStore;
use super::{AdminError, CustodyError};
use crate::domain::kek::{KekId, KekState};
use crate::store::kek::{self, Wrap};
use keywright_domain::secret::Secret;
use keywright_storage as storage;
use keywright_storage::Tx;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Data keys wrapped in one transaction.
const BATCH: i64 = 100;
/// How old an announcement is when its rotation is taken for dead: longer than any request lives.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// How often what is left over is looked for.
const UPKEEP_EVERY: Duration = Duration::from_secs(30);

/// A new key whose file is durable, and which nothing lies under yet.
pub struct Turn {
    new: Kek,
    pub id: KekId,
    pub previous: KekId,
}

impl SealedStore {
    /// Makes the new key. `present` is the passphrase of the present one where it lies under one; the new one lies
    /// under `new`, or where that is empty as the present one does.
    pub async fn prepare(&self, present: Secret, new: Secret) -> Result<Turn, AdminError> {
        let KeySource::Files { files, .. } = &self.keys.source else { return Err(AdminError::Environment) };
        let mut tries = self.keys.opening.lock().await;
        let ring = self.keys.ring()?;
        if !new.is_empty() {
            fit(&new)?;
        }
        let passphrase = match self.form().await? {
            Some(Form::Wrapped(wrapped)) => {
                if present.is_empty() {
                    return Err(AdminError::PassphraseRequired);
                }
                let now = self.db.now().await.map_err(OpenError::from)?;
                tries.open(wrapped, present.duplicate(), now).await?;
                Some(if new.is_empty() { present } else { new })
            }
            Some(Form::Plain(_)) => Some(new).filter(|new| !new.is_empty()),
            None => return Err(AdminError::KeyFile),
        };
        let (kek, current) = (Kek::random()?, ring.current());
        let next = Loaded::new(kek.duplicate())?;
        self.announce(&next, &current.id).await?;
        let bridge = next
            .seal(Purpose::UnderSuccessor(&current.id), current.kek.bytes())
            .map_err(|_| AdminError::KeyFile)?;
        let turn = Turn { new: kek, id: next.id, previous: current.id.clone() };
        let written = match passphrase {
            None => files.write_plain(&turn.new),
            Some(passphrase) => {
                let copy = turn.new.duplicate();
                let wrapped = tokio::task::spawn_blocking(move || Wrapped::seal(&copy, &passphrase)).await;
                let wrapped = wrapped.map_err(|_| AdminError::KeyFile)?;
                wrapped.and_then(|wrapped| {
                    files.write_bridge(&turn.previous, &bridge)?;
                    files.write_wrapped(&wrapped)
                })
            }
        };
        if let Err(error) = written {
            drop(tries);
            self.abandon(&turn).await;
            return Err(error.into());
        }
        Ok(turn)
    }

    async fn announce(&self, next: &Loaded, current: &KekId) -> Result<(), AdminError> {
        let check = next.check().map_err(|_| AdminError::KeyFile)?;
        let announced: Result<bool, storage::Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("a key-encryption key is announced").await?;
                let elsewhere = kek::current_in(&mut tx).await?.as_ref() != Some(current);
                if elsewhere || kek::turning_in(&mut tx).await? {
                    return Ok(false);
                }
                // It may have died: its transaction finds out if it did not.
                kek::supersede(&mut tx).await?;
                kek::insert(&mut tx, &next.id, KekState::Announced, &check).await?;
                tx.commit().await?;
                Ok(true)
            })
            .await;
        if announced.map_err(OpenError::from)? { Ok(()) } else { Err(AdminError::InProgress) }
    }

    /// In the transaction that records the rotation: the new key is the current one. False where its announcement was
    /// taken for dead.
    pub async fn switch(&self, tx: &mut Tx, turn: &Turn) -> Result<bool, storage::Error> {
        Ok(kek::advance(tx, &turn.previous, KekState::Current, KekState::Retiring).await?
            && kek::advance(tx, &turn.id, KekState::Announced, KekState::Current).await?)
    }

    /// After that transaction's commit.
    pub async fn switched(&self, turn: Turn) {
        let _opening = self.keys.opening.lock().await;
        // Sealed meanwhile: it stays so.
        if self.keys.ring().is_ok() {
            match self.admit(turn.new).await {
                Ok(ring) => self.keys.set(Some(ring)),
                Err(error) => tracing::error!(error = %error, "the new key-encryption key cannot be loaded"),
            }
        }
        self.keys.owed.notify_one();
    }

    /// After that transaction failed. If it was committed all the same, this changes nothing.
    pub async fn abandon(&self, turn: &Turn) {
        if self.clear_away(turn).await.is_err() {
            tracing::warn!("a rotation of the key-encryption key is not cleared away yet");
        }
        self.keys.owed.notify_one();
    }

    async fn clear_away(&self, turn: &Turn) -> Result<(), CustodyError> {
        let KeySource::Files { files, .. } = &self.keys.source else { return Ok(()) };
        self.advance(&turn.id, KekState::Announced, KekState::Retired).await?;
        let rows = kek::all(&self.db).await.map_err(unavailable)?;
        // A later rotation may have taken the announcement away before the file was written.
        match rows.iter().any(|row| row.id == turn.id && row.state != KekState::Retired) {
            true => Ok(()),
            false => files.remove(&turn.id).map_err(|_| CustodyError::Unavailable),
        }
    }

    async fn advance(&self, id: &KekId, from: KekState, to: KekState) -> Result<(), CustodyError> {
        let advanced = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("the life of a key-encryption key").await?;
            kek::advance(&mut tx, id, from, to).await?;
            tx.commit().await
        });
        advanced.await.map_err(unavailable)
    }

    /// Carries on what a rotation has left to do.
    pub async fn maintain(&self) -> Result<(), CustodyError> {
        let KeySource::Files { files, .. } = &self.keys.source else { return Ok(()) };
        let _turning = self.keys.turning.lock().await;
        let Ok(ring) = self.keys.ring() else { return Ok(()) };
        let rows = kek::all(&self.db).await.map_err(unavailable)?;
        let retiring: Vec<&KekId> = named(&rows, KekState::Retiring);
        if let Some(current) = named(&rows, KekState::Current).first()
            && (ring.current().id != **current || !ring.holds_just(&retiring))
        {
            self.refresh(current).await?;
        }
        let ring = self.keys.ring()?;
        let oldest = self.db.now().await.map_err(unavailable)?.minus(FORGOTTEN_AFTER);
        for row in rows.iter().filter(|row| row.state == KekState::Announced) {
            if row.created_at.is_some_and(|at| at < oldest) {
                self.advance(&row.id, KekState::Announced, KekState::Retired).await?;
            }
        }
        for id in retiring {
            self.rewrap_all(id, &ring).await?;
            self.retire(id).await?;
        }
        let rows = kek::all(&self.db).await.map_err(unavailable)?;
        for id in named(&rows, KekState::Retired) {
            if let Err(error) = files.remove(id) {
                tracing::error!(error = %error, "a retired key-encryption key's file cannot be removed");
                return Err(CustodyError::Unavailable);
            }
            self.scrub().await?;
            self.advance(id, KekState::Retired, KekState::Gone).await?;
            tracing::info!(kek = %id, "a key-encryption key is gone");
        }
        if let Some(current) = named(&rows, KekState::Current).first()
            && !ring.holds_just(&named(&rows, KekState::Retiring))
        {
            self.refresh(current).await?;
        }
        Ok(())
    }

    /// Wraps every data key under `from` by the current key. One that does not open stays, and holds `from` back.
    async fn rewrap_all(&self, from: &KekId, ring: &Ring) -> Result<(), CustodyError> {
        let Some(old) = ring.get(from) else { return Ok(()) };
        let new = ring.current();
        let mut after = String::new();
        loop {
            let wraps = kek::wraps(&self.db, from, &after, BATCH).await.map_err(unavailable)?;
            let Some(last) = wraps.last() else { return Ok(()) };
            after = last.version.to_string();
            // Sealed meanwhile: the rest waits.
            self.keys.ring()?;
            let mut batch = Vec::with_capacity(wraps.len());
            for wrap in &wraps {
                let purpose = Purpose::DataKey(&wrap.version);
                match old.open(purpose, &wrap.wrapped).and_then(|data_key| new.seal(purpose, &data_key)) {
                    Ok(wrapped) => batch.push(Wrap { version: wrap.version.clone(), wrapped }),
                    Err(_) => {
                        tracing::error!(version = %wrap.version, "a data key does not open, so its key stays")
                    }
                }
            }
            let rewrapped = self.db.serialized(|| async {
                let mut tx = self.db.begin_internal("data keys under a new key-encryption key").await?;
                for wrap in &batch {
                    kek::rewrap(&mut tx, wrap, from, &new.id).await?;
                }
                tx.commit().await
            });
            rewrapped.await.map_err(unavailable)?;
        }
    }

    async fn retire(&self, id: &KekId) -> Result<(), CustodyError> {
        let retired = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a key-encryption key retires").await?;
            if !kek::is_used_in(&mut tx, id).await? {
                kek::advance(&mut tx, id, KekState::Retiring, KekState::Retired).await?;
            }
            tx.commit().await
        });
        retired.await.map_err(unavailable)
    }

    /// [`SealedStore::maintain`] whenever there is something to do, until `stop`.
    pub async fn upkeep(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.maintain().await {
                tracing::warn!(error = %error, "a rotation of the key-encryption key waits");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.keys.owed.notified() => {}
                () = tokio::time::sleep(UPKEEP_EVERY) => {}
            }
        }
    }
}

fn named(rows: &[kek::KekRow], state: KekState) -> Vec<&KekId> {
    rows.iter().filter(|row| row.state == state).map(|row| &row.id).collect()
}

fn unavailable(_: storage::Error) -> CustodyError {
    CustodyError::Unavailable
}
