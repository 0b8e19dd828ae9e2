//! The first answer to the same request again, by the id of what it began.

use crate::failure::{Error, Failure};
use keywright_domain::reason::Reason;
use keywright_storage::Tx;
use keywright_storage::idempotency::{self, Scope, Seen};

/// In the transaction that would begin it. IDEMPOTENCY_KEY_REUSED where another request carried the key.
pub async fn first_answer(tx: &mut Tx, scope: Option<&Scope>) -> Result<Option<String>, Error> {
    let Some(scope) = scope else { return Ok(None) };
    match idempotency::look(tx, scope).await? {
        Seen::New => Ok(None),
        Seen::Same(id) => Ok(String::from_utf8(id).ok()),
        Seen::Different => Err(Failure::new(
            Reason::IdempotencyKeyReused,
            "The idempotency key was used for another request.",
        )
        .into()),
    }
}

pub async fn remember(tx: &mut Tx, scope: Option<&Scope>, id: &str) -> Result<(), Error> {
    let Some(scope) = scope else { return Ok(()) };
    Ok(idempotency::remember(tx, scope, id.as_bytes()).await?)
}
