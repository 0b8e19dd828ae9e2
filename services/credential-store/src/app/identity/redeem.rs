//! Redeems an invitation, once, for a person's token. Guessing is slowed down per source.

use super::create_token::secret;
use super::invite::hash;
use crate::domain::text::name;
use crate::store::{invitation, token, token::Token};
use keywright_domain::caller::{Caller, Principal, PrincipalKind};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{PrincipalId, TokenId};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::token::Signer;
use keywright_storage::{Db, Outcome};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// Wrong codes that one source may try in a minute.
const TRIES: u32 = 10;
/// Sources remembered; beyond it all are forgotten.
const SOURCES: usize = 10_000;

pub struct Redeem {
    pub db: Db,
    pub audit: Audit,
    pub issuer: Signer,
    pub wrong: WrongCodes,
}

impl Redeem {
    pub async fn run(
        &self,
        arrival: &Caller,
        code: &Secret,
        person: &str,
    ) -> Result<(Token, Secret), Failure> {
        let now = self.db.now().await?;
        self.wrong.check(&arrival.source_ip, now)?;
        let person = name("name", person)?;
        let hash = hash(code.expose());
        let Some(invitation) = invitation::open(&self.db, &hash, now).await? else {
            self.wrong.count(&arrival.source_ip, now);
            return Err(Failure::new(
                Reason::InvitationNotFound,
                "The invitation does not exist, was redeemed or has expired.",
            ));
        };
        let (principal, id) = (PrincipalId::random()?, TokenId::random()?);
        let mut caller = arrival.clone();
        caller.principal = Principal::person(&principal, invitation.role, Some(invitation.tenant.clone()));
        let entry = Entry::new("invitation.redeem")
            .tenant(Some(&invitation.tenant))
            .target(invitation.id.as_str())
            .detail("name", person.as_str())
            .detail("token", id.as_str());
        let intent = self.audit.intend(&caller, entry).await?;
        let result: Result<Token, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                if !invitation::redeem(&mut tx, &invitation.id).await? {
                    return Err(Failure::new(
                        Reason::InvitationNotFound,
                        "The invitation was redeemed already.",
                    )
                    .into());
                }
                token::insert_principal(&mut tx, &principal, &person, PrincipalKind::User).await?;
                let now = tx.now();
                let token = Token {
                    id: id.clone(),
                    name: person.clone(),
                    principal: principal.clone(),
                    kind: PrincipalKind::User,
                    role: invitation.role,
                    tenant: Some(invitation.tenant.clone()),
                    permissions: Vec::new(),
                    created_at: now,
                    expires_at: now.plus(LIFETIME),
                    revoked_at: None,
                    last_used_at: None,
                    created_by: invitation.created_by.clone(),
                };
                token::insert(&mut tx, &token).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok(token)
            })
            .await;
        let result = result.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        let token = result?;
        let secret = secret(&self.issuer, &token.id, &token.principal, token.expires_at)?;
        Ok((token, secret))
    }
}

/// Wrong codes per source and minute. Kept in memory: a brake, not a record.
#[derive(Default)]
pub struct WrongCodes(Mutex<HashMap<String, (i64, u32)>>);

impl WrongCodes {
    fn check(&self, source: &str, now: Instant) -> Result<(), Failure> {
        let seen = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match seen.get(source) {
            Some((minute, count)) if *minute == now.secs() / 60 && *count >= TRIES => {
                Err(Failure::new(Reason::RateLimited, "Too many wrong codes from your address."))
            }
            _ => Ok(()),
        }
    }

    fn count(&self, source: &str, now: Instant) {
        let minute = now.secs() / 60;
        let mut seen = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.len() >= SOURCES {
            seen.clear();
        }
        let entry = seen.entry(source.to_owned()).or_insert((minute, 0));
        *entry = if entry.0 == minute { (minute, entry.1.saturating_add(1)) } else { (minute, 1) };
    }
}
