//! Redeems an invitation, once, for a person's token. Guessing is slowed down per source.

use super::create_token::secret;
use super::invite::hash;
use crate::app::tenants::open;
use crate::domain::text::name;
use crate::store::member::{self, Entrance};
use crate::store::{invitation, token, token::Token};
use keywright_domain::caller::{Caller, Principal, PrincipalKind};
use keywright_domain::ids::{PrincipalId, TokenId};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::rate::{Quota, Rate};
use keywright_runtime::token::Signer;
use keywright_storage::{Db, Outcome};
use std::time::Duration;

const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// Wrong codes that one source may try in a minute.
pub const TRIES: Quota = Quota::per_minute(10);
const TOO_MANY: &str = "Too many wrong codes from your address.";

pub struct Redeem {
    pub db: Db,
    pub audit: Audit,
    pub issuer: Signer,
    pub wrong: Rate,
}

impl Redeem {
    pub async fn run(
        &self,
        arrival: &Caller,
        code: &Secret,
        person: &str,
    ) -> Result<(Token, Secret), Failure> {
        let now = self.db.now().await?;
        self.wrong.look(&arrival.source_ip, TOO_MANY)?;
        let person = name("name", person)?;
        let hash = hash(code.expose());
        let Some(invitation) = invitation::open(&self.db, &hash, now).await? else {
            self.wrong.take(&arrival.source_ip, TOO_MANY)?;
            // Whoever it was, he is not known: at most so often per source.
            self.audit.denied(arrival, Entry::new("invitation.redeem"), Reason::InvitationNotFound).await;
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
                open::require(&mut tx, &invitation.tenant).await?;
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
                    parent: None,
                    client_certificate: None,
                };
                member::join(&mut tx, &invitation.tenant, &principal, Entrance::Invitation).await?;
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
