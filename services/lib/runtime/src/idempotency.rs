//! One effect for one idempotency key: the keyed hash of a request, the wait for a request that is being worked on, and
//! the first answer again.
//!
//! Two requests under one key are the same if caller, method and hash are. A repetition passes the same checks as the
//! first request before it is answered.

use crate::failure::{Error, Failure};
use aws_lc_rs::hmac;
use keywright_domain::caller::Caller;
use keywright_domain::ids::RequestId;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_storage::idempotency::{self, LIFETIME, Scope, Seen, Turn, look, remember};
use keywright_storage::{Db, Tx};
use prost::Message;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Longer than any request lives: the claim of one whose process died lapses then.
const CLAIM: Duration = Duration::from_secs(75);

/// How long a repetition waits for the answer to the first request.
const PATIENCE: Duration = Duration::from_secs(10);

const FIRST_LOOK: Duration = Duration::from_millis(10);
const SLOWEST_LOOK: Duration = Duration::from_millis(250);

/// How often answers are looked for whose time is over.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

const MAX_KEY: usize = 100;

#[derive(Clone)]
pub struct Idempotency {
    key: hmac::Key,
}

impl Idempotency {
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// The scope of a request; none where it carries no key.
    pub fn scope(
        &self,
        caller: &Caller,
        method: &'static str,
        key: &str,
        request: &impl Message,
    ) -> Result<Option<Scope>, Failure> {
        if key.is_empty() {
            return Ok(None);
        }
        if key.chars().count() > MAX_KEY || key.chars().any(char::is_control) {
            let limit = "must have at most 100 characters, none of them a control character";
            return Err(Failure::violation("idempotencyKey", limit));
        }
        let bytes = Secret::new(request.encode_to_vec());
        let tag = hmac::sign(&self.key, bytes.expose());
        Ok(Some(Scope {
            caller: caller.principal.id.clone(),
            method,
            key: key.to_owned(),
            request_hash: data_encoding::HEXLOWER.encode(tag.as_ref()),
        }))
    }
}

/// Does `work`, unless a request under the same key is being worked on, here or on another replica: then its end is
/// waited for, and `work`, which passes its own checks either way, finds its answer.
pub async fn once<T>(
    db: &Db,
    scope: Option<&Scope>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(scope) = scope else { return work.await };
    match turn(db, scope).await? {
        None => work.await,
        Some(mut claim) => {
            let result = work.await;
            claim.release().await;
            result
        }
    }
}

/// None: there is an answer, which is for `work` to give or to refuse.
async fn turn(db: &Db, scope: &Scope) -> Result<Option<Claim>, Failure> {
    let holder = RequestId::random()?.to_string();
    let until = Instant::now() + PATIENCE;
    let mut pause = FIRST_LOOK;
    loop {
        match db.serialized(|| idempotency::claim(db, scope, &holder, CLAIM)).await? {
            Turn::Mine => {
                return Ok(Some(Claim { db: db.clone(), scope: scope.clone(), holder, held: true }));
            }
            Turn::Answered => return Ok(None),
            Turn::InProgress if Instant::now() + pause > until => {
                let message = "The first request under this idempotency key is being worked on.";
                return Err(Failure::new(Reason::RequestInProgress, message));
            }
            Turn::InProgress => {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(SLOWEST_LOOK);
            }
        }
    }
}

/// A request that is being worked on. One that is dropped (its caller went away, its deadline passed) is given back too.
struct Claim {
    db: Db,
    scope: Scope,
    holder: String,
    held: bool,
}

impl Claim {
    async fn release(&mut self) {
        self.held = false;
        give_back(&self.db, &self.scope, &self.holder).await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.held {
            let (db, scope, holder) = (self.db.clone(), self.scope.clone(), self.holder.clone());
            runtime.spawn(async move { give_back(&db, &scope, &holder).await });
        }
    }
}

/// What cannot be given back lapses.
async fn give_back(db: &Db, scope: &Scope, holder: &str) {
    if db.serialized(|| idempotency::release(db, scope, holder)).await.is_err() {
        tracing::warn!(method = scope.method, "the claim of a request lapses by itself");
    }
}

fn reused() -> Failure {
    Failure::new(Reason::IdempotencyKeyReused, "The idempotency key was used for another request.")
}

/// An answer that can be kept and given again.
pub trait Answer: Message + Default {}

impl<T: Message + Default> Answer for T {}

/// The first answer to the same request, if there is one. A different request under the key is refused.
pub async fn replay<T: Answer>(tx: &mut Tx, scope: Option<&Scope>) -> Result<Option<T>, Error> {
    let Some(scope) = scope else { return Ok(None) };
    match look(tx, scope).await? {
        Seen::New => Ok(None),
        Seen::Same(bytes) => match T::decode(bytes.as_slice()) {
            Ok(answer) => Ok(Some(answer)),
            Err(_) => Err(Failure::new(Reason::Internal, "The first answer cannot be read.").into()),
        },
        Seen::Different => Err(reused().into()),
    }
}

/// Remembers the answer, in the transaction of the effect.
pub async fn keep(tx: &mut Tx, scope: Option<&Scope>, answer: &impl Answer) -> Result<(), Error> {
    let Some(scope) = scope else { return Ok(()) };
    Ok(remember(tx, scope, &answer.encode_to_vec()).await?)
}

/// Forgets answers at the end of their time, until `stop`.
pub async fn sweep(db: Db, stop: CancellationToken) {
    loop {
        if idempotency::sweep(&db).await.is_err() {
            tracing::debug!(lifetime = LIFETIME.as_secs(), "old answers wait for the next sweep");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
    }
}
