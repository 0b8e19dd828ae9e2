//! Invites a person into a tenant: a one-use code of 7 days.

use crate::app::tenants::open;
use crate::store::{invitation, invitation::Invitation, oidc, token};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use keywright_domain::caller::{Caller, Role};
use keywright_domain::clock::fill_random;
use keywright_domain::ids::{InvitationId, TenantId};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome};
use std::time::Duration;

const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

pub struct Invite {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
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
        let hash = hash(code.expose());
        let result: Result<Invitation, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                open::require(&mut tx, &id).await?;
                // Otherwise an operator could invite himself into a tenant and download its keys unseen.
                if by_operator
                    && (token::has_live_owner(&mut tx, &id).await? || oidc::has_owner(&mut tx, &id).await?)
                {
                    return Err(Failure::new(
                        Reason::PolicyForbids,
                        "The tenant has an owner, who invites others himself.",
                    )
                    .into());
                }
                let invitation = Invitation {
                    id: invitation_id.clone(),
                    tenant: id.clone(),
                    role,
                    email: email.clone(),
                    code_hash: hash.clone(),
                    created_by: caller.principal.id.clone(),
                    created_at: tx.now(),
                    expires_at: tx.now().plus(LIFETIME),
                    redeemed_at: None,
                };
                invitation::insert(&mut tx, &invitation).await?;
                intent.done(&mut tx, Outcome::succeeded()).await?;
                tx.commit().await?;
                Ok(invitation)
            })
            .await;
        let result = result.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        Ok((result?, code))
    }
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
