//! Takes the line of a key that does not count (any more) off its host, and destroys the key.
//!
//! Invariant: in the same pass the key in use has just logged in; a key that was in use is destroyed only after its line
//! was proven gone; the one in use never is, whatever was recorded of it.

use super::drive::{Keys, in_use};
use crate::adapters::credential_store::Server;
use crate::model::{Management, Receipt};
use crate::recovery;
use crate::store;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};

impl Keys {
    /// Nobody has logged in with it but its own proof: it is destroyed first, so that it opens nothing while its line
    /// still stands on a host that is down.
    pub(super) async fn clean_up(&self, it: &Management) -> Result<(), Failure> {
        if self.is_in_use(it).await? {
            return self.promote(it).await;
        }
        self.bootstrap.discard(it).await?;
        if it.public_key.is_none() {
            return self.forget(it).await;
        }
        self.take_off(it).await
    }

    /// As credential-store says it, who has the last word.
    async fn is_in_use(&self, it: &Management) -> Result<bool, Failure> {
        match self.store.server(&it.server).await {
            Err(failure) if failure.is(Reason::ServerNotFound) => Ok(false),
            server => Ok(server?.management.is_some_and(|(credential, _)| credential == it.credential)),
        }
    }

    pub(super) async fn end(&self, it: &Management) -> Result<(), Failure> {
        self.take_off(it).await
    }

    async fn take_off(&self, it: &Management) -> Result<(), Failure> {
        recovery::refuse_while_active(&self.db).await?;
        let server = match self.store.server(&it.server).await {
            Err(failure) if failure.is(Reason::ServerNotFound) => {
                self.bootstrap.discard(it).await?;
                return self.forget(it).await;
            }
            server => server?,
        };
        let mut reader = store::reader(&self.db).await?;
        let known = store::management::of(&mut reader, &it.server).await?;
        drop(reader);
        match in_use(&server, &known) {
            Some(current) if current.id != it.id => self.pass(it, current, &server).await,
            // The one in use is nobody's predecessor, and without one nobody can log in.
            _ => self.forget(it).await,
        }
    }

    /// Proof of the other path, removal, proof of the refusal.
    async fn pass(&self, it: &Management, current: &Management, server: &Server) -> Result<(), Failure> {
        self.begin_end(it).await?;
        self.login(it, current).await?;
        let intent = self.intend(it, server, "host.edit", "remove").await?;
        let removed = self.editor.set(server, it, false).await;
        self.concluded(&intent, removed).await?;
        let refused = self.refused(it).await?;
        if it.replaced_at.is_some() {
            self.bootstrap.discard(it).await?;
        }
        self.removed(it, &refused).await
    }

    async fn begin_end(&self, it: &Management) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a former management key is taken off a host").await?;
            store::management::begin_end(&mut tx, &it.id).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    async fn removed(&self, it: &Management, refused: &Receipt) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a management line is gone").await?;
            store::management::removed(&mut tx, &it.id, Some(refused)).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }

    /// Nothing is left to be done about it.
    async fn forget(&self, it: &Management) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a management key is done with").await?;
            store::management::look_again(&mut tx, &it.id, None).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}
