//! Console sessions: a person's token makes a one-use code, the code a session, and the session ends with the token.
//!
//! Invariant: a session can do what the token that made it can, and never for longer.

use super::invite::{code, hash};
use crate::store::{session, token, token::Token};
use keywright_domain::caller::{Caller, Principal, PrincipalKind};
use keywright_domain::clock::Instant;
use keywright_domain::ids::TokenId;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::rate::{Quota, Rate};
use keywright_runtime::session::{PREFIX, csrf_of};
use keywright_storage::{Db, Outcome};
use std::time::Duration;

const CODE_LIFETIME: Duration = Duration::from_secs(60);
/// A session ends after so long, whatever happens in it.
const LONGEST: Duration = Duration::from_secs(8 * 3600);
/// A session that nobody used for so long has ended.
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// Wrong codes that one source may try in a minute.
pub const TRIES: Quota = Quota::per_minute(10);
const TOO_MANY: &str = "Too many wrong codes from your address.";

pub struct Console {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    /// Wrong codes by source.
    pub wrong: Rate,
}

/// An open session: what its browser must know.
pub struct Opened {
    pub secret: Secret,
    pub csrf: String,
    pub expires_at: Instant,
}

impl Console {
    /// The code, and until when it can be redeemed.
    pub async fn create_code(&self, caller: &Caller) -> Result<(Secret, Instant), Failure> {
        let tenant = caller.principal.tenant.as_ref();
        self.guard.allow(caller, "session.console", tenant, "", Reason::TenantNotFound).await?;
        let entry = Entry::new("session.console").tenant(tenant).target(&caller.principal.id);
        let token = caller.principal.token.as_ref();
        let Some(token) = token.filter(|_| caller.principal.kind == PrincipalKind::User) else {
            self.audit.denied(caller, entry, Reason::PermissionDenied).await;
            return Err(Failure::new(Reason::PermissionDenied, "The console is for people."));
        };
        let code = code("kwcon-")?;
        let intent = self.audit.intend(caller, entry).await?;
        let result: Result<Instant, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                let expires = tx.now().plus(CODE_LIFETIME);
                session::insert_code(&mut tx, &hash(code.expose()), token, expires).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok(expires)
            })
            .await;
        let result = result.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        Ok((code, result?))
    }

    /// Redeems a code, once.
    pub async fn open(&self, arrival: &Caller, given: &Secret) -> Result<Opened, Failure> {
        self.wrong.look(&arrival.source_ip, TOO_MANY)?;
        if given.is_empty() {
            return Err(Failure::violation("code", "is required"));
        }
        let (code_hash, now) = (hash(given.expose()), self.db.now().await?);
        let parent = match session::open_code(&self.db, &code_hash, now).await? {
            Some(id) => token::get(&self.db, &id).await?.filter(|token| token.is_live(now)),
            None => None,
        };
        let Some(parent) = parent else {
            self.wrong.take(&arrival.source_ip, TOO_MANY)?;
            // Whoever it was, he is not known: at most so often per source.
            self.audit.denied(arrival, Entry::new("session.open"), Reason::Unauthenticated).await;
            return Err(spent());
        };
        let (id, secret) = (TokenId::random()?, code(PREFIX)?);
        let mut caller = arrival.clone();
        caller.principal = Principal::person(&parent.principal, parent.role, parent.tenant.clone());
        let entry = Entry::new("session.open")
            .tenant(parent.tenant.as_ref())
            .target(parent.principal.as_str())
            .detail("token", id.as_str());
        let intent = self.audit.intend(&caller, entry).await?;
        let result: Result<Instant, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                if !token::is_live(&mut tx, &parent.id).await?
                    || !session::redeem_code(&mut tx, &code_hash).await?
                {
                    return Err(spent().into());
                }
                let now = tx.now();
                let expires = parent.expires_at.min(now.plus(LONGEST));
                token::insert(&mut tx, &behind(&parent, &id, now, expires)).await?;
                session::insert(&mut tx, &id, &hash(secret.expose())).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok(expires)
            })
            .await;
        let result = result.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        let csrf = csrf_of(secret.expose_text().unwrap_or_default());
        Ok(Opened { csrf, expires_at: result?, secret })
    }

    /// Ends the caller's session: its token, and what was made with it.
    pub async fn close(&self, caller: &Caller) -> Result<(), Failure> {
        let none = || Failure::new(Reason::Unauthenticated, "There is no console session to end.");
        let token = caller.principal.token.as_ref().ok_or_else(none)?;
        let tenant = caller.principal.tenant.as_ref();
        let entry = Entry::new("session.close").tenant(tenant).target(&caller.principal.id);
        let intent = self.audit.intend(caller, entry).await?;
        let result: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                if !session::delete(&mut tx, token).await? {
                    return Err(none().into());
                }
                token::revoke(&mut tx, token).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        let result = result.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}

/// The token behind a session: its maker's rights, shown to nobody.
fn behind(parent: &Token, id: &TokenId, now: Instant, expires: Instant) -> Token {
    Token {
        id: id.clone(),
        name: "console".to_owned(),
        created_at: now,
        expires_at: expires,
        last_used_at: None,
        created_by: parent.principal.to_string(),
        parent: Some(parent.id.clone()),
        ..parent.clone()
    }
}

fn spent() -> Failure {
    Failure::new(Reason::Unauthenticated, "The code does not exist, was redeemed or has expired.")
}
