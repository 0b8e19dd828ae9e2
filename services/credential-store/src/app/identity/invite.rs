//! Invites a person into a tenant: a one-use code of 7 days.
//!
//! Invariant: an operator's invitation into a tenant that has an owner exists only after a message to the tenant's own
//! people was written; where nobody would get one, there is no invitation. Otherwise an operator could invite himself
//! and download its keys unseen.

use crate::app::tenants::open;
use crate::store::{invitation, invitation::Invitation, oidc, token};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use keywright_domain::caller::{Caller, Role};
use keywright_domain::clock::{Instant, fill_random};
use keywright_domain::ids::{InvitationId, TenantId};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::notices::{News, Notices};
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::time::Duration;

const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

pub struct Invite {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub notices: Notices,
}

impl Invite {
    pub async fn run(
        &self,
        caller: &Caller,
        tenant: &str,
        role: Option<Role>,
        email: &str,
    ) -> Result<(Invitation, Secret), Failure> {
        let missing = || Failure::not_found(Reason::TenantNotFound, tenant);
        let id = TenantId::parse(tenant).map_err(|_| missing())?;
        self.guard.allow(caller, "invitation.create", Some(&id), tenant, Reason::TenantNotFound).await?;
        let role = match role {
            Some(role @ (Role::TenantOwner | Role::TenantAdmin | Role::TenantMember)) => role,
            _ => {
                return Err(Failure::violation(
                    "role",
                    "must be tenant_owner, tenant_admin or tenant_member",
                ));
            }
        };
        let by_operator = caller.principal.role == Role::Operator;
        if by_operator && role != Role::TenantOwner {
            return Err(Failure::new(
                Reason::PolicyForbids,
                "An operator invites a tenant's first owner; the owner invites everybody else.",
            ));
        }
        let email = parse_email(email)?;
        let code = code("kwinv-")?;
        let invitation_id = InvitationId::random()?;
        let entry = Entry::new("invitation.create")
            .tenant(Some(&id))
            .target(invitation_id.as_str())
            .detail("role", role.as_str())
            .detail("email", email.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let invitation = Invitation {
            id: invitation_id,
            tenant: id,
            role,
            email,
            code_hash: hash(code.expose()),
            created_by: caller.principal.id.clone(),
            // Set by the transaction's clock.
            created_at: Instant::from_micros(0),
            expires_at: Instant::from_micros(0),
            redeemed_at: None,
        };
        let result = self.create(&invitation, by_operator, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        Ok((result?, code))
    }

    async fn create(
        &self,
        invitation: &Invitation,
        by_operator: bool,
        intent: &Intent,
    ) -> Result<Invitation, Failure> {
        let told = by_operator && self.db.serialized(|| self.has_owner(&invitation.tenant)).await?;
        if told {
            self.tell(invitation).await?;
        }
        let insert = || self.insert(invitation, by_operator && !told, intent);
        self.db.serialized(insert).await.map_err(Failure::from)
    }

    async fn has_owner(&self, tenant: &TenantId) -> Result<bool, Error> {
        let mut tx = self.db.begin_internal("whether a tenant has an owner").await?;
        open::require(&mut tx, tenant).await?;
        let found = owned(&mut tx, tenant).await?;
        tx.commit().await?;
        Ok(found)
    }

    async fn tell(&self, invitation: &Invitation) -> Result<(), Failure> {
        let details = [
            ("role", invitation.role.as_str()),
            ("email", invitation.email.as_str()),
            ("createdBy", invitation.created_by.as_str()),
        ];
        let details = details.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let subject = invitation.id.as_str();
        let tenant = &invitation.tenant;
        self.notices
            .tell(News {
                event: "invitation.created",
                tenant: Some(tenant),
                subject,
                dedup: subject,
                details,
            })
            .await
    }

    async fn insert(
        &self,
        invitation: &Invitation,
        only_first_owner: bool,
        intent: &Intent,
    ) -> Result<Invitation, Error> {
        let mut tx = self.db.begin(intent).await?;
        open::require(&mut tx, &invitation.tenant).await?;
        if only_first_owner && owned(&mut tx, &invitation.tenant).await? {
            let what = "The tenant got an owner in this moment, who was not told; ask again.";
            return Err(Failure::new(Reason::PolicyForbids, what).into());
        }
        let (created_at, expires_at) = (tx.now(), tx.now().plus(LIFETIME));
        let invitation = Invitation { created_at, expires_at, ..invitation.clone() };
        invitation::insert(&mut tx, &invitation).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(invitation)
    }
}

async fn owned(tx: &mut Tx, tenant: &TenantId) -> Result<bool, Error> {
    Ok(token::has_live_owner(tx, tenant).await? || oidc::has_owner(tx, tenant).await?)
}

/// What is stored of a code.
pub fn hash(code: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, code).as_ref())
}

/// A fresh code of this prefix.
pub fn code(prefix: &str) -> Result<Secret, Failure> {
    let mut bytes = [0u8; 25];
    fill_random(&mut bytes)?;
    Ok(Secret::from_text(format!("{prefix}{}", BASE32_NOPAD.encode(&bytes).to_lowercase())))
}

fn parse_email(text: &str) -> Result<String, Failure> {
    let text = text.trim();
    let well_formed = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'))
        && text.len() <= 254
        && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    if well_formed {
        Ok(text.to_owned())
    } else {
        Err(Failure::violation("email", "must be an e-mail address"))
    }
}
