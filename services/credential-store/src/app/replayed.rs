//! The first answer to a repeated request, before anything is done for it again.

use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::idempotency::{Answer, replay};
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Intent, Outcome};

/// Within an audited operation, which it ends where there is an answer.
pub async fn first_answer<T: Answer>(
    db: &Db,
    intent: &Intent,
    scope: Option<&Scope>,
) -> Result<Option<T>, Failure> {
    if scope.is_none() {
        return Ok(None);
    }
    let found: Result<Option<T>, Error> = db
        .serialized(|| async {
            let mut tx = db.begin(intent).await?;
            let found = replay(&mut tx, scope).await?;
            if found.is_some() {
                intent.done(&mut tx, Outcome::succeeded().with("replayed", "true")).await?;
                tx.commit().await?;
            }
            Ok(found)
        })
        .await;
    Ok(found?)
}

/// Before the object is looked for, which the first request may have deleted. Nothing happens, so nothing is audited.
pub async fn earlier_answer<T: Answer>(db: &Db, scope: Option<&Scope>) -> Result<Option<T>, Failure> {
    if scope.is_none() {
        return Ok(None);
    }
    let found: Result<Option<T>, Error> = db
        .serialized(|| async {
            let mut tx = db.begin_internal("look for the answer of an earlier request").await?;
            replay(&mut tx, scope).await
        })
        .await;
    Ok(found?)
}
