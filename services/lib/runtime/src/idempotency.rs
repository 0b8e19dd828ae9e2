//! The keyed hash of a request: two requests under one idempotency key are the same if it is.

use crate::failure::{Error, Failure};
use aws_lc_rs::hmac;
use keywright_domain::caller::Caller;
use keywright_domain::reason::Reason;
use keywright_storage::Tx;
use keywright_storage::idempotency::{Scope, Seen, look, remember};
use prost::Message;

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
        if key.len() > 100 {
            return Err(Failure::violation("idempotencyKey", "must have at most 100 characters"));
        }
        let bytes = zeroize_after(request.encode_to_vec());
        let tag = hmac::sign(&self.key, bytes.expose());
        Ok(Some(Scope {
            caller: caller.principal.id.clone(),
            method,
            key: key.to_owned(),
            request_hash: data_encoding::HEXLOWER.encode(tag.as_ref()),
        }))
    }
}

fn zeroize_after(bytes: Vec<u8>) -> keywright_domain::secret::Secret {
    keywright_domain::secret::Secret::new(bytes)
}

/// An answer that can be kept and given again.
pub trait Answer: Message + Default {}

impl<T: Message + Default> Answer for T {}

/// The first answer to the same request, if there is one. A different request under the key is refused.
pub async fn replay<T: Answer>(tx: &mut Tx, scope: Option<&Scope>) -> Result<Option<T>, Error> {
    let Some(scope) = scope else { return Ok(None) };
    match look(tx, scope).await? {
        Seen::New => Ok(None),
        Seen::Same(bytes) => Ok(T::decode(bytes.as_slice()).ok()),
        Seen::Different => Err(Failure::new(
            Reason::IdempotencyKeyReused,
            "The idempotency key was used for another request.",
        )
        .into()),
    }
}

/// Remembers the answer, in the transaction of the effect.
pub async fn keep(tx: &mut Tx, scope: Option<&Scope>, answer: &impl Answer) -> Result<(), Error> {
    let Some(scope) = scope else { return Ok(()) };
    Ok(remember(tx, scope, &answer.encode_to_vec()).await?)
}
