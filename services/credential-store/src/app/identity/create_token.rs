//! Creates a token. A role is granted only by somebody who has it; operators also issue auditors and internal
//! services.

use crate::domain::text::name;
use crate::store::{tenant, token, token::Token};
use keywright_domain::caller::{Caller, PrincipalKind, Role};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{PrincipalId, TenantId, TokenId};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::token::Signer;
use keywright_storage::{Db, Outcome};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
const LONGEST: Duration = Duration::from_secs(90 * 24 * 3600);
const DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What an internal service can be permitted.
const PERMISSIONS: &[&str] = &["access.provision"];

pub struct CreateToken {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub issuer: Signer,
}

pub struct NewToken {
    pub role: Option<Role>,
    pub tenant: String,
    pub permissions: Vec<String>,
    pub expires_in: Option<Duration>,
    pub name: String,
}

impl CreateToken {
    /// The token and its secret, which is not kept.
    pub async fn run(&self, caller: &Caller, new: NewToken) -> Result<(Token, Secret), Failure> {
        let tenant = parse_tenant(caller, &new.tenant)?;
        let target = tenant.as_ref().map(ToString::to_string).unwrap_or_default();
        self.guard.allow(caller, "token.create", tenant.as_ref(), &target, Reason::TenantNotFound).await?;
        let role = new.role.ok_or_else(|| Failure::violation("role", "must be a role"))?;
        if !may_grant(caller, role) {
            let entry = Entry::new("token.create").tenant(tenant.as_ref()).detail("role", role.as_str());
            self.audit.denied(caller, entry, Reason::PermissionDenied).await;
            return Err(Failure::new(
                Reason::PermissionDenied,
                "A role can only be granted by somebody who has it.",
            ));
        }
        check_shape(role, tenant.as_ref(), &new)?;
        let label =
            if new.name.trim().is_empty() { role.as_str().to_owned() } else { name("name", &new.name)? };
        let lifetime = lifetime(role, new.expires_in)?;
        let own = role == caller.principal.role && caller.principal.kind == PrincipalKind::User;
        let existing = PrincipalId::parse(&caller.principal.id).ok().filter(|_| own);
        let (id, fresh) = (TokenId::random()?, PrincipalId::random()?);
        let kind = if existing.is_some() { PrincipalKind::User } else { PrincipalKind::Service };
        let principal = existing.clone().unwrap_or(fresh);

        let entry = Entry::new("token.create")
            .tenant(tenant.as_ref())
            .target(id.as_str())
            .detail("role", role.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result: Result<Token, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                if let Some(tenant) = &tenant
                    && !tenant::exists(&mut tx, tenant).await?
                {
                    return Err(Failure::not_found(Reason::TenantNotFound, tenant.as_str()).into());
                }
                if existing.is_none() {
                    token::insert_principal(&mut tx, &principal, &label, kind).await?;
                }
                let now = tx.now();
                let token = Token {
                    id: id.clone(),
                    name: label.clone(),
                    principal: principal.clone(),
                    kind,
                    role,
                    tenant: tenant.clone(),
                    permissions: new.permissions.clone(),
                    created_at: now,
                    expires_at: now.plus(lifetime),
                    revoked_at: None,
                    last_used_at: None,
                    created_by: caller.principal.id.clone(),
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

/// The signed token itself.
pub fn secret(
    issuer: &Signer,
    id: &TokenId,
    principal: &PrincipalId,
    expires: Instant,
) -> Result<Secret, Failure> {
    issuer
        .user_token(id, principal.as_str(), expires)
        .map(Secret::from_text)
        .map_err(|_| Failure::new(Reason::Internal, "The token could not be signed."))
}

/// The tenant asked for; a tenant's own people need not name it.
fn parse_tenant(caller: &Caller, text: &str) -> Result<Option<TenantId>, Failure> {
    match text {
        "" => Ok(caller.principal.tenant.clone()),
        id => TenantId::parse(id).map(Some).map_err(|_| Failure::not_found(Reason::TenantNotFound, id)),
    }
}

pub(super) fn check_shape(role: Role, tenant: Option<&TenantId>, new: &NewToken) -> Result<(), Failure> {
    match role {
        Role::TenantOwner | Role::TenantAdmin | Role::TenantMember if tenant.is_none() => {
            Err(Failure::violation("tenantId", "is required for a tenant's role"))
        }
        Role::Operator | Role::InternalService if tenant.is_some() => {
            Err(Failure::violation("tenantId", "must be empty for a role of the platform"))
        }
        Role::Keywright => Err(Failure::violation("role", "belongs to Keywright's own services")),
        Role::InternalService if new.permissions.is_empty() => Err(Failure::violation(
            "permissions",
            "must name what the service may do, for example access.provision",
        )),
        Role::InternalService => match new.permissions.iter().find(|p| !PERMISSIONS.contains(&p.as_str())) {
            Some(_) => {
                Err(Failure::violation("permissions", format!("must be of {}", PERMISSIONS.join(", "))))
            }
            None => Ok(()),
        },
        _ if !new.permissions.is_empty() => {
            Err(Failure::violation("permissions", "are for internal services"))
        }
        _ => Ok(()),
    }
}

pub(super) fn may_grant(caller: &Caller, role: Role) -> bool {
    match caller.principal.role {
        Role::Operator => matches!(role, Role::Operator | Role::Auditor | Role::InternalService),
        Role::TenantOwner => matches!(role, Role::TenantOwner | Role::TenantAdmin | Role::TenantMember),
        Role::TenantAdmin => matches!(role, Role::TenantAdmin | Role::TenantMember),
        Role::TenantMember | Role::Auditor | Role::InternalService | Role::Keywright => false,
    }
}

fn lifetime(role: Role, asked: Option<Duration>) -> Result<Duration, Failure> {
    let lifetime = asked.unwrap_or(if role == Role::InternalService { DAY } else { DEFAULT });
    if lifetime < Duration::from_secs(60) || lifetime > LONGEST {
        return Err(Failure::violation("expiresIn", "must be from 60 seconds to 90 days"));
    }
    Ok(lifetime)
}
