//! Operators that nobody could ask for: the first one of an installation, and the one after a restore.

use super::create_token::secret;
use crate::store::{restored, token, token::Token};
use keywright_domain::caller::{PrincipalKind, Role};
use keywright_domain::ids::{PrincipalId, TokenId};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::token::Signer;
use keywright_storage::{Db, Tx};
use std::time::Duration;

const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// Makes the first operator unless anybody exists; true if it did. `keep` puts the token where it will be found,
/// before the operator exists: if it cannot, nothing is made.
pub async fn first_operator(
    db: &Db,
    issuer: &Signer,
    keep: impl Fn(&Secret) -> bool,
) -> Result<bool, Failure> {
    let newcomer = Newcomer::new("first operator", "init")?;
    let made: Result<bool, Error> = db
        .serialized(|| async {
            let mut tx = db.begin_internal("first operator").await?;
            if token::any_principal(&mut tx).await? {
                return Ok(false);
            }
            newcomer.enter(&mut tx, issuer, &keep).await?;
            tx.commit().await?;
            Ok(true)
        })
        .await;
    Ok(made?)
}

/// Ends every token, session, code and open invitation of the backup and makes a new operator, in one transaction.
/// `keep` puts the token where it will be found, before anything is done: if it cannot, nothing is.
pub async fn restored_operator(
    db: &Db,
    issuer: &Signer,
    keep: impl Fn(&Secret) -> bool,
) -> Result<(), Failure> {
    let newcomer = Newcomer::new("operator after a restore", "restore")?;
    let made: Result<(), Error> = db
        .serialized(|| async {
            let mut tx = db.begin_internal("operator of a restored installation").await?;
            restored::end_all(&mut tx).await?;
            newcomer.enter(&mut tx, issuer, &keep).await?;
            tx.commit().await?;
            Ok(())
        })
        .await;
    Ok(made?)
}

/// The same one at every attempt of its transaction.
struct Newcomer {
    id: TokenId,
    principal: PrincipalId,
    name: &'static str,
    made_by: &'static str,
}

impl Newcomer {
    fn new(name: &'static str, made_by: &'static str) -> Result<Self, Failure> {
        Ok(Self { id: TokenId::random()?, principal: PrincipalId::random()?, name, made_by })
    }

    async fn enter(&self, tx: &mut Tx, issuer: &Signer, keep: impl Fn(&Secret) -> bool) -> Result<(), Error> {
        token::insert_principal(tx, &self.principal, self.name, PrincipalKind::User).await?;
        let now = tx.now();
        let token = Token {
            id: self.id.clone(),
            name: self.name.to_owned(),
            principal: self.principal.clone(),
            kind: PrincipalKind::User,
            role: Role::Operator,
            tenant: None,
            permissions: Vec::new(),
            created_at: now,
            expires_at: now.plus(LIFETIME),
            revoked_at: None,
            last_used_at: None,
            created_by: self.made_by.to_owned(),
            parent: None,
            client_certificate: None,
        };
        token::insert(tx, &token).await?;
        if keep(&secret(issuer, &self.id, &self.principal, token.expires_at)?) {
            return Ok(());
        }
        Err(Failure::new(Reason::Internal, "The operator token could not be written.").into())
    }
}
