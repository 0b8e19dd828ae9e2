//! Exchanges a token that a service of Keywright received for one of 60 seconds for one audience. The row behind the
//! token decides, each time: what is revoked ends here. A token that was revoked, or that comes without the certificate
//! that it is bound to, is in somebody's hands who should not have it: that stands in the log.

use super::console::IDLE;
use super::invite::hash;
use crate::app::tenants::open;
use crate::store::session;
use crate::store::token::{self, Token};
use keywright_domain::caller::{Caller, Principal, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::TokenId;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::session::is_secret;
use keywright_runtime::token::{Signer, Verified, Verifier};
use keywright_storage::Db;
use std::time::Duration;

/// `lastUsedAt` is kept to this.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

pub struct Exchange {
    pub db: Db,
    pub audit: Audit,
    pub verifier: Verifier,
    pub issuer: Signer,
}

pub struct Asked {
    pub subject: Secret,
    pub audience: String,
    pub request_id: String,
    pub source_ip: String,
    pub user_agent: String,
    /// SHA-256 of the client certificate of the connection, in hexadecimal; empty for none.
    pub client_certificate: String,
}

impl Exchange {
    pub async fn run(&self, service: &Caller, asked: Asked) -> Result<Secret, Failure> {
        let acting = service.acting.ok_or_else(refused)?;
        let audience = ServiceName::parse(&asked.audience)
            .ok_or_else(|| Failure::violation("audience", "must be a service of Keywright"))?;
        let subject = asked.subject.expose_text().ok_or_else(unauthenticated)?;
        // Before the look: what ends meanwhile ends this too.
        let now = self.db.now().await?;
        let mut caller = if is_secret(subject) {
            // A browser's, which comes to the gateway alone.
            if acting != ServiceName::Gateway {
                return Err(refused());
            }
            let token = self.session(subject, now).await?;
            if !is_good_here(&token, &asked) {
                return Err(unauthenticated());
            }
            arrived(token, &asked)
        } else {
            self.subject(subject, acting, audience, &asked, now).await?
        };
        caller.vouched_at = now;
        let token = self.issuer.exchanged(&caller, acting, audience).map_err(|_| unauthenticated())?;
        Ok(Secret::from_text(token))
    }

    async fn subject(
        &self,
        subject: &str,
        acting: ServiceName,
        audience: ServiceName,
        asked: &Asked,
        now: Instant,
    ) -> Result<Caller, Failure> {
        match self.verifier.verify_for(subject, acting).map_err(|_| unauthenticated())? {
            Verified::User { token, .. } => {
                // Only the door may take a user's token elsewhere; another service may only let him in to itself.
                if acting != ServiceName::Gateway && audience != acting {
                    return Err(refused());
                }
                let token = token::get(&self.db, &token).await?.ok_or_else(unauthenticated)?;
                if token.revoked_at.is_some() {
                    return Err(self.refuse("token.revoked_use", token, asked).await);
                }
                let token = self.admit(token, now).await?;
                if !is_good_here(&token, asked) {
                    return Err(self.refuse("token.certificate_mismatch", token, asked).await);
                }
                Ok(arrived(token, asked))
            }
            // The certificate that its token is bound to was seen where it came in.
            Verified::Exchanged(caller) => {
                if let Some(token) = &caller.principal.token {
                    self.live(token, now).await?;
                }
                Ok(*caller)
            }
            Verified::Service(_) => Err(refused()),
        }
    }

    /// The token behind a console session that is in use.
    async fn session(&self, secret: &str, now: Instant) -> Result<Token, Failure> {
        let session = session::by_secret(&self.db, &hash(secret.as_bytes())).await?;
        let session = session.ok_or_else(unauthenticated)?;
        if session.last_seen_at.plus(IDLE) <= now {
            return Err(unauthenticated());
        }
        let token = self.live(&session.token, now).await?;
        if session.last_seen_at.plus(TOUCH_EVERY) <= now && self.keep(&session.token).await.is_err() {
            tracing::warn!(token = %session.token, "the last use of a session was not noted");
        }
        Ok(token)
    }

    async fn live(&self, id: &TokenId, now: Instant) -> Result<Token, Failure> {
        let token = token::get(&self.db, id).await?.ok_or_else(unauthenticated)?;
        self.admit(token, now).await
    }

    async fn admit(&self, token: Token, now: Instant) -> Result<Token, Failure> {
        if token.revoked_at.is_some() || token.expires_at <= now {
            return Err(unauthenticated());
        }
        open::admit(&self.db, token.tenant.as_ref()).await?;
        if token.last_used_at.is_none_or(|at| at.plus(TOUCH_EVERY) <= now) {
            // Nobody is turned away because a time could not be noted: with a full disk, say, one must still revoke.
            if self.touch(&token.id).await.is_err() {
                tracing::warn!(token = %token.id, "the last use of a token was not noted");
            }
        }
        Ok(token)
    }

    /// Logged under the token's principal and source; its bearer hears no more than of any other token.
    async fn refuse(&self, action: &str, token: Token, asked: &Asked) -> Failure {
        let (id, caller) = (token.id.clone(), arrived(token, asked));
        let entry = Entry::new(action).tenant(caller.principal.tenant.as_ref()).target(id.as_str());
        self.audit.denied(&caller, entry, Reason::Unauthenticated).await;
        unauthenticated()
    }
}

impl Exchange {
    async fn keep(&self, id: &TokenId) -> Result<(), Error> {
        self.db
            .serialized(|| async {
                let mut tx = self.db.begin_internal("last use of a console session").await?;
                session::touch(&mut tx, id).await?;
                Ok(tx.commit().await?)
            })
            .await
    }

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

/// Whether it came over a connection that it is good for.
fn is_good_here(token: &Token, asked: &Asked) -> bool {
    token.client_certificate.as_ref().is_none_or(|bound| *bound == asked.client_certificate)
}

/// Whoever holds the token.
fn arrived(token: Token, asked: &Asked) -> Caller {
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
        request_id: asked.request_id.clone(),
        trace_id: String::new(),
        source_ip: asked.source_ip.clone(),
        user_agent: asked.user_agent.clone(),
        client_certificate: asked.client_certificate.clone(),
        vouched_at: Instant::from_micros(0),
        bearer: None,
    }
}

fn unauthenticated() -> Failure {
    Failure::new(Reason::Unauthenticated, "The token is missing, unknown, expired or revoked.")
}

fn refused() -> Failure {
    Failure::new(Reason::PermissionDenied, "This service may not exchange this token.")
}
