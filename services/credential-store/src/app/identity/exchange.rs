//! Exchanges a token that a service of Keywright received for one of 60 seconds for one audience. The row behind the
//! token decides, each time: what is revoked ends here.

use crate::store::token::{self, Token};
use keywright_domain::caller::{Caller, Principal, ServiceName};
use keywright_domain::ids::TokenId;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::token::{Signer, Verified, Verifier};
use keywright_storage::Db;
use std::time::Duration;

/// `lastUsedAt` is kept to this.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

pub struct Exchange {
    pub db: Db,
    pub verifier: Verifier,
    pub issuer: Signer,
}

pub struct Asked {
    pub subject: Secret,
    pub audience: String,
    pub request_id: String,
    pub source_ip: String,
    pub user_agent: String,
}

impl Exchange {
    pub async fn run(&self, service: &Caller, asked: Asked) -> Result<Secret, Failure> {
        let acting = service.acting.ok_or_else(refused)?;
        let audience = ServiceName::parse(&asked.audience)
            .ok_or_else(|| Failure::violation("audience", "must be a service of Keywright"))?;
        let subject = asked.subject.expose_text().ok_or_else(unauthenticated)?;
        let caller = match self.verifier.verify_for(subject, acting).map_err(|_| unauthenticated())? {
            Verified::User { token, .. } => {
                // Only the door may take a user's token elsewhere; another service may only let him in to itself.
                if acting != ServiceName::Gateway && audience != acting {
                    return Err(refused());
                }
                let token = self.live(&token).await?;
                arrived(token, asked)
            }
            Verified::Exchanged(caller) => {
                if let Some(token) = &caller.principal.token {
                    self.live(token).await?;
                }
                *caller
            }
            Verified::Service(_) => return Err(refused()),
        };
        let token = self.issuer.exchanged(&caller, acting, audience).map_err(|_| unauthenticated())?;
        Ok(Secret::from_text(token))
    }

    async fn live(&self, id: &TokenId) -> Result<Token, Failure> {
        let token = token::get(&self.db, id).await?.ok_or_else(unauthenticated)?;
        let now = self.db.now().await?;
        if token.revoked_at.is_some() || token.expires_at <= now {
            return Err(unauthenticated());
        }
        if token.last_used_at.is_none_or(|at| at.plus(TOUCH_EVERY) <= now) {
            // Nobody is turned away because a time could not be noted: with a full disk, say, one must still revoke.
            if self.touch(id).await.is_err() {
                tracing::warn!(token = %id, "the last use of a token was not noted");
            }
        }
        Ok(token)
    }
}

impl Exchange {
    async fn touch(&self, id: &TokenId) -> Result<(), Error> {
        self.db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("last use of a token").await?;
                token::touch(&mut tx, id).await?;
                Ok(tx.commit().await?)
            })
            .await
    }
}

fn arrived(token: Token, asked: Asked) -> Caller {
    Caller {
        principal: Principal {
            id: token.principal.to_string(),
            kind: token.kind,
            role: token.role,
            tenant: token.tenant,
            permissions: token.permissions,
            token: Some(token.id),
            work: None,
        },
        acting: None,
        request_id: asked.request_id,
        trace_id: String::new(),
        source_ip: asked.source_ip,
        user_agent: asked.user_agent,
        bearer: None,
    }
}

fn unauthenticated() -> Failure {
    Failure::new(Reason::Unauthenticated, "The token is missing, unknown, expired or revoked.")
}

fn refused() -> Failure {
    Failure::new(Reason::PermissionDenied, "This service may not exchange this token.")
}
