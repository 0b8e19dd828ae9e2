//! Login through an identity provider: an ID token becomes a token of Keywright, once, with the role that the
//! operator's rules give.
//!
//! Invariant: a person is the same principal at each login, and an ID token opens one session.

use super::create_token::secret;
use crate::adapters::oidc::config::Settings;
use crate::adapters::oidc::{Proven, Providers, Refusal};
use crate::app::tenants::open;
use crate::domain::login::{Grant, grant, text};
use crate::store::member::{self, Entrance};
use crate::store::oidc::{self, Granted, Subject};
use crate::store::{invitation, token, token::Token};
use keywright_domain::caller::{Caller, Principal, PrincipalKind};
use keywright_domain::ids::{PrincipalId, TenantId, TokenId};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::rate::{Quota, Rate};
use keywright_runtime::token::Signer;
use keywright_storage::{Db, Outcome, Tx};

/// ID tokens that one source may have refused in a minute.
pub const TRIES: Quota = Quota::per_minute(10);
const TOO_MANY: &str = "Too many refused logins from your address.";
const MAX_NAME: usize = 100;
const MAX_EMAIL: usize = 254;

pub struct LoginWithOidc {
    pub db: Db,
    pub audit: Audit,
    pub issuer: Signer,
    pub providers: Providers,
    /// Refused logins by source.
    pub wrong: Rate,
}

/// Somebody whose ID token holds, and what he is to get.
struct Person<'a> {
    proven: Proven<'a>,
    name: String,
    email: String,
}

impl LoginWithOidc {
    pub fn providers(&self) -> impl Iterator<Item = &Settings> {
        self.providers.settings()
    }

    pub async fn run(
        &self,
        arrival: &Caller,
        id_token: &Secret,
        nonce: &str,
    ) -> Result<(Token, Secret), Failure> {
        if id_token.is_empty() {
            return Err(Failure::violation("idToken", "is required"));
        }
        self.wrong.look(&arrival.source_ip, TOO_MANY)?;
        let person = self.person(arrival, id_token, nonce).await?;
        let result = self.login(arrival, &person).await;
        if result
            .as_ref()
            .is_err_and(|failure| failure.is(Reason::PermissionDenied) || failure.is(Reason::Unauthenticated))
        {
            self.wrong.take(&arrival.source_ip, TOO_MANY)?;
        }
        result
    }

    async fn person(&self, arrival: &Caller, id_token: &Secret, nonce: &str) -> Result<Person<'_>, Failure> {
        let now = self.db.now().await?;
        let id_token = id_token.expose_text().unwrap_or_default();
        let proven = match self.providers.verify(id_token, nonce, now).await {
            Ok(proven) => proven,
            Err(Refusal::Unavailable(provider)) => {
                return Err(Failure::new(
                    Reason::ServiceUnavailable,
                    format!(
                        "The identity provider {provider} does not answer, so the login could not be checked."
                    ),
                ));
            }
            Err(Refusal::Invalid(why)) => {
                self.wrong.take(&arrival.source_ip, TOO_MANY)?;
                // Whoever it was, he is not known: the reason stands in the log, at most so often per source.
                let entry = Entry::new("session.login").detail("why", why);
                self.audit.denied(arrival, entry, Reason::Unauthenticated).await;
                return Err(Failure::new(
                    Reason::Unauthenticated,
                    format!("The ID token is refused: {why}."),
                ));
            }
        };
        let email = short(text(&proven.claims, "email"), MAX_EMAIL);
        let name = [text(&proven.claims, &proven.provider.name_claim), &email, &proven.subject]
            .into_iter()
            .map(|name| short(name, MAX_NAME))
            .find(|name| !name.is_empty())
            .unwrap_or_else(|| proven.provider.name.clone());
        Ok(Person { proven, name, email })
    }

    async fn login(&self, arrival: &Caller, person: &Person<'_>) -> Result<(Token, Secret), Failure> {
        let Proven { provider, subject, claims, .. } = &person.proven;
        let who = Subject { issuer: &provider.issuer, subject };
        let Some(Grant { role, tenant }) = grant(&provider.rules, claims) else {
            return Err(self.denied(arrival, person, None, NO_ROLE).await);
        };
        let tenant = match &tenant {
            None => None,
            Some(reference) => match oidc::tenant(&self.db, reference).await? {
                None => return Err(self.denied(arrival, person, None, NO_TENANT).await),
                Some(tenant) => Some(tenant),
            },
        };
        let known = oidc::principal(&self.db, who).await?;
        let principal = match &known {
            Some(principal) => principal.clone(),
            None => PrincipalId::random()?,
        };
        let id = TokenId::random()?;
        let mut caller = arrival.clone();
        caller.principal = Principal::person(&principal, role, tenant.clone());
        let entry = self
            .entry(person)
            .tenant(tenant.as_ref())
            .target(principal.as_str())
            .detail("role", role.as_str())
            .detail("token", id.as_str());
        let intent = self.audit.intend(&caller, entry).await?;
        let result: Result<Token, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                if !oidc::spend(&mut tx, &person.proven.digest, person.proven.ends).await? {
                    return Err(Failure::new(
                        Reason::Unauthenticated,
                        "The ID token is refused: it was used already.",
                    )
                    .into());
                }
                let granted = Granted { email: &person.email, role, tenant: tenant.as_ref() };
                if known.is_none() {
                    token::insert_principal(&mut tx, &principal, &person.name, PrincipalKind::User).await?;
                    if !oidc::insert(&mut tx, who, &principal, granted).await? {
                        // He came in by another request meanwhile, as another principal than this one.
                        return Err(Failure::new(
                            Reason::RequestInProgress,
                            "The same person's first login is under way.",
                        )
                        .into());
                    }
                }
                oidc::seen(&mut tx, &principal, &person.name, granted).await?;
                let now = tx.now();
                let token = Token {
                    id: id.clone(),
                    name: format!("login by {}", provider.name),
                    principal: principal.clone(),
                    kind: PrincipalKind::User,
                    role,
                    tenant: tenant.clone(),
                    permissions: Vec::new(),
                    created_at: now,
                    expires_at: now.plus(provider.lifetime),
                    revoked_at: None,
                    last_used_at: None,
                    created_by: principal.to_string(),
                    parent: None,
                    client_certificate: None,
                };
                if let Some(tenant) = &tenant {
                    open::require(&mut tx, tenant).await?;
                    admit(&mut tx, tenant, &principal, person).await?;
                }
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

    /// A refusal of somebody whose ID token holds, in the log under his name at the provider.
    async fn denied(
        &self,
        arrival: &Caller,
        person: &Person<'_>,
        tenant: Option<&TenantId>,
        why: &str,
    ) -> Failure {
        let entry = self.entry(person).tenant(tenant).detail("why", why);
        self.audit.denied(arrival, entry, Reason::PermissionDenied).await;
        Failure::new(Reason::PermissionDenied, why)
    }

    fn entry<'a>(&self, person: &Person<'_>) -> Entry<'a> {
        Entry::new("session.login")
            .detail("provider", &person.proven.provider.name)
            .detail("subject", &person.proven.subject)
            .detail("name", &person.name)
            .detail("email", &person.email)
    }
}

/// Into his tenant; somebody who was removed from it only if he was invited anew, which this login redeems.
async fn admit(
    tx: &mut Tx,
    tenant: &TenantId,
    principal: &PrincipalId,
    person: &Person<'_>,
) -> Result<(), Error> {
    if !member::is_removed(tx, tenant, principal).await? {
        return Ok(member::join(tx, tenant, principal, Entrance::Oidc).await?);
    }
    let verified = person.proven.claims.get("email_verified").and_then(serde_json::Value::as_bool);
    let invitation = match verified {
        Some(true) => invitation::open_for(tx, tenant, &person.email).await?,
        _ => None,
    };
    match invitation {
        Some(id) if invitation::redeem(tx, &id).await? => Ok(member::readmit(tx, tenant, principal).await?),
        _ => Err(Failure::new(Reason::PermissionDenied, REMOVED).into()),
    }
}

const REMOVED: &str =
    "You were removed from the tenant: its owner can invite you anew, at your verified e-mail address.";
const NO_ROLE: &str = "No role is mapped to you: ask your platform team for a rule in the OIDC configuration, or for \
                       a group that has one.";
const NO_TENANT: &str = "The tenant that you belong to at the identity provider does not exist here: ask your \
                         platform team.";

/// As much as the log shows, without control characters.
fn short(text: &str, most: usize) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(most).collect()
}
