//! Creates a token. A role is granted only by somebody who has it; operators also issue auditors and internal
//! services.

use crate::app::tenants::open;
use crate::domain::text::{group, name};
use crate::store::{token, token::Token};
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

/// What an internal service of the platform can be permitted, by operators.
const PLATFORM_PERMISSIONS: &[&str] = &["access.provision", "reference.write"];
/// What one can be permitted in a tenant, by the tenant's owners and admins alone.
const TENANT_PERMISSIONS: &[&str] = &["credential.resolve", "credential.sign"];
/// Followed by a server group, whose revocation list it may read: in a tenant, of the tenant's servers.
const READ_KRL: &str = "krl.read:";

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
    /// SHA-256 of the client certificate to bind it to, in hexadecimal; empty for none.
    pub client_certificate: String,
}

impl CreateToken {
    /// The token and its secret, which is not kept.
    pub async fn run(&self, caller: &Caller, new: NewToken) -> Result<(Token, Secret), Failure> {
        let tenant = parse_tenant(caller, &new.tenant)?;
        let target = tenant.as_ref().map(ToString::to_string).unwrap_or_default();
        self.guard.allow(caller, "token.create", tenant.as_ref(), &target, Reason::TenantNotFound).await?;
        let role = new.role.ok_or_else(|| Failure::violation("role", "must be a role"))?;
        if !may_grant(caller, role, tenant.as_ref()) || !may_permit(caller, &new.permissions) {
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
        let certificate = certificate(caller, role, &new.client_certificate)?;
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
                // Its own token may have been revoked meanwhile; nothing is made with it any more.
                if let Some(parent) = &caller.principal.token
                    && !token::is_live(&mut tx, parent).await?
                {
                    return Err(Failure::new(Reason::Unauthenticated, "The token was revoked.").into());
                }
                if let Some(tenant) = &tenant {
                    open::require(&mut tx, tenant).await?;
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
                    parent: caller.principal.token.clone(),
                    client_certificate: certificate.clone(),
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
        Role::Operator if tenant.is_some() => {
            Err(Failure::violation("tenantId", "must be empty for a role of the platform"))
        }
        Role::Keywright => Err(Failure::violation("role", "belongs to Keywright's own services")),
        Role::InternalService => check_permissions(tenant, &new.permissions),
        _ if !new.permissions.is_empty() => {
            Err(Failure::violation("permissions", "are for internal services"))
        }
        _ => Ok(()),
    }
}

fn check_permissions(tenant: Option<&TenantId>, asked: &[String]) -> Result<(), Failure> {
    let allowed = if tenant.is_some() { TENANT_PERMISSIONS } else { PLATFORM_PERMISSIONS };
    let place = if tenant.is_some() { "in a tenant" } else { "of the platform" };
    let known = |name: &String| allowed.contains(&name.as_str()) || reads_a_krl(name);
    if asked.is_empty() || !asked.iter().all(known) {
        return Err(Failure::violation(
            "permissions",
            format!("must name what a service {place} may do: {}, {READ_KRL}GROUP", allowed.join(", ")),
        ));
    }
    Ok(())
}

fn reads_a_krl(permission: &str) -> bool {
    let named = permission.strip_prefix(READ_KRL).filter(|text| !text.is_empty());
    named.is_some_and(|text| group(text).is_ok_and(|group| group == text))
}

pub(super) fn may_grant(caller: &Caller, role: Role, tenant: Option<&TenantId>) -> bool {
    match (caller.principal.role, role) {
        // What a program may do with a tenant's keys is the tenant's to say.
        (Role::Operator, Role::InternalService) => tenant.is_none(),
        (Role::TenantOwner | Role::TenantAdmin, Role::InternalService) => tenant.is_some(),
        (Role::Operator, _) => matches!(role, Role::Operator | Role::Auditor),
        (Role::TenantOwner, _) => matches!(role, Role::TenantOwner | Role::TenantAdmin | Role::TenantMember),
        (Role::TenantAdmin, _) => matches!(role, Role::TenantAdmin | Role::TenantMember),
        (Role::TenantMember | Role::Auditor | Role::InternalService | Role::Keywright, _) => false,
    }
}

/// Nobody permits a program what is not his to give; what does not exist is told as a mistake.
pub(super) fn may_permit(caller: &Caller, permissions: &[String]) -> bool {
    let foreign = if caller.principal.is_tenant_bound() { PLATFORM_PERMISSIONS } else { TENANT_PERMISSIONS };
    !permissions.iter().any(|name| foreign.contains(&name.as_str()))
}

/// The certificate to bind to: as asked, or, for a program, the one that the request came with.
pub(super) fn certificate(caller: &Caller, role: Role, asked: &str) -> Result<Option<String>, Failure> {
    if asked.is_empty() {
        let shown = Some(caller.client_certificate.clone()).filter(|it| !it.is_empty());
        return Ok(shown.filter(|_| role == Role::InternalService));
    }
    // As tools print it: in capitals, with colons.
    let plain: String = asked.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
    if plain.len() == 64 && plain.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(Some(plain));
    }
    Err(Failure::violation("clientCertificate", "must be a SHA-256: 64 hexadecimal digits"))
}

fn lifetime(role: Role, asked: Option<Duration>) -> Result<Duration, Failure> {
    let lifetime = asked.unwrap_or(if role == Role::InternalService { DAY } else { DEFAULT });
    if lifetime < Duration::from_secs(60) || lifetime > LONGEST {
        return Err(Failure::violation("expiresIn", "must be from 60 seconds to 90 days"));
    }
    Ok(lifetime)
}
