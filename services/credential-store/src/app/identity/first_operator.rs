//! The first operator of an installation: made once, before anybody could ask for it.

use super::create_token::secret;
use crate::store::{token, token::Token};
use keywright_domain::caller::{PrincipalKind, Role};
use keywright_domain::ids::{PrincipalId, TokenId};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::token::Signer;
use keywright_storage::Db;
use std::time::Duration;

const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// Makes the first operator unless anybody exists; true if it did. `keep` puts the token where it will be found,
/// before the operator exists: if it cannot, nothing is made.
pub async fn first_operator(
    db: &Db,
    issuer: &Signer,
    keep: impl Fn(&Secret) -> bool,
) -> Result<bool, Failure> {
    let (id, principal) = (TokenId::random()?, PrincipalId::random()?);
    let made: Result<bool, Error> = db
        .serialized(|| async {
            let mut tx = db.begin_internal("first operator").await?;
            if token::any_principal(&mut tx).await? {
                return Ok(false);
            }
            token::insert_principal(&mut tx, &principal, "first operator", PrincipalKind::User).await?;
            let now = tx.now();
            let token = Token {
                id: id.clone(),
                name: "first operator".to_owned(),
                principal: principal.clone(),
                kind: PrincipalKind::User,
                role: Role::Operator,
                tenant: None,
                permissions: Vec::new(),
                created_at: now,
                expires_at: now.plus(LIFETIME),
                revoked_at: None,
                last_used_at: None,
                created_by: "init".to_owned(),
            };
            token::insert(&mut tx, &token).await?;
            if !keep(&secret(issuer, &id, &principal, token.expires_at)?) {
                return Err(Failure::new(Reason::Internal, "The operator token could not be written.").into());
            }
            tx.commit().await?;
            Ok(true)
        })
        .await;
    Ok(made?)
}
