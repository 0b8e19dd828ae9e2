//! References that internal services hold: whose each one is.

use crate::domain::usage::Reference;
use keywright_storage::{Columns, Db, Error, Tx};

/// The name of a principal; it outlives its tokens and is given by whoever may issue them.
pub async fn name_of(db: &Db, principal: &str) -> Result<Option<String>, Error> {
    let row = sqlx::query("SELECT name FROM principal WHERE id = $1")
        .bind(principal)
        .fetch_optional(db.read())
        .await?;
    row.map(|row| row.text("name")).transpose()
}

/// Who holds the reference, if it is held: empty for Keywright's own services.
pub async fn holder(tx: &mut Tx, subject: &str, reference: &Reference) -> Result<Option<String>, Error> {
    let row =
        sqlx::query("SELECT held_by FROM held_reference WHERE subject = $1 AND owner = $2 AND purpose = $3")
            .bind(subject)
            .bind(&reference.owner)
            .bind(&reference.purpose)
            .fetch_optional(tx.conn())
            .await?;
    row.map(|row| row.text("held_by")).transpose()
}

/// Marks a reference that was just taken as this service's.
pub async fn set_holder(
    tx: &mut Tx,
    subject: &str,
    reference: &Reference,
    holder: &str,
) -> Result<(), Error> {
    sqlx::query("UPDATE held_reference SET held_by = $4 WHERE subject = $1 AND owner = $2 AND purpose = $3")
        .bind(subject)
        .bind(&reference.owner)
        .bind(&reference.purpose)
        .bind(holder)
        .execute(tx.conn())
        .await?;
    Ok(())
}
