//! An addition that would permit what a limit never allows is refused at the start: its author believes something that
//! does not hold. What is not seen here is overruled all the same, since a forbid wins.
//!
//! The tenant boundary is no fault of a permit that does not speak of it: it holds by itself, for every policy.

use crate::Policy;
use crate::additions::Additions;
use crate::fault::PolicyError;
use crate::set;
use cedar_policy::{Effect, PolicySet};
use keywright_domain::caller::{Caller, PrincipalKind, Role, ServiceName};
use keywright_domain::ids::TenantId;

const BOUNDARY: &str = "tenant-boundary";

pub fn check(policy: &Policy, additions: &Additions) -> Result<(), PolicyError> {
    let limits = limits(policy)?;
    let mut faults = Vec::new();
    for added in additions.iter().filter(|added| added.policy.effect() == Effect::Permit) {
        let alone = one(&added.policy)?;
        let overruled = questions(policy).into_iter().find_map(|(caller, action, tenant)| {
            policy.0.judge(&alone, &caller, &action, &tenant).ok()?;
            let limit = policy.0.judge(&limits, &caller, &action, &tenant).err()?;
            Some((caller.principal.role, caller.principal.kind, action, limit))
        });
        if let Some((role, kind, action, limit)) = overruled {
            let (role, kind) = (role.as_str(), kind.as_str());
            faults.push(added.fault(format!(
                "it would permit {action} to {role} ({kind}), which Keywright never allows ({limit}): name fewer actions or roles"
            )));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(PolicyError(faults)) }
}

/// The limits alone, over a permit of everything; without the boundary.
fn limits(policy: &Policy) -> Result<PolicySet, PolicyError> {
    let everything = cedar_policy::Policy::parse(None, "permit (principal, action, resource);");
    let mut set = one(&everything.map_err(|error| PolicyError::of("limits.cedar", error))?)?;
    let shipped = policy.0.shipped.policies().filter(|policy| set::is_limit(policy));
    for limit in shipped.filter(|limit| AsRef::<str>::as_ref(limit.id()) != BOUNDARY) {
        set.add(limit.clone()).map_err(|error| PolicyError::of("limits.cedar", error))?;
    }
    Ok(set)
}

fn one(policy: &cedar_policy::Policy) -> Result<PolicySet, PolicyError> {
    PolicySet::from_policies([policy.clone()]).map_err(|error| PolicyError::of("additions", error))
}

/// Who could ask for what a limit speaks of: every role of people and programs.
fn questions(policy: &Policy) -> Vec<(Caller, String, String)> {
    let actions = &policy.0.actions;
    let mut all: Vec<&String> = actions.all.iter().collect();
    all.sort_unstable();
    let mut questions = Vec::new();
    for role in Role::ALL.iter().copied().filter(|role| *role != Role::Keywright) {
        let limited = all.iter().filter(|action| {
            role == Role::Auditor || actions.inside.contains(**action) || actions.secrets.contains(**action)
        });
        for action in limited {
            for kind in [PrincipalKind::User, PrincipalKind::Service] {
                for tenant in &policy.0.tenants {
                    let question = (somebody(role, kind, tenant), (*action).clone(), tenant.clone());
                    questions.push(question);
                }
            }
        }
    }
    questions
}

fn somebody(role: Role, kind: PrincipalKind, tenant: &str) -> Caller {
    let mut caller = Caller::background(ServiceName::Gateway, "");
    caller.principal.id = "prn_somebody".to_owned();
    (caller.principal.role, caller.principal.kind) = (role, kind);
    let bound = matches!(role, Role::TenantOwner | Role::TenantAdmin | Role::TenantMember);
    caller.principal.tenant = TenantId::parse(tenant).ok().filter(|_| bound);
    caller.source_ip = "127.0.0.1".to_owned();
    caller
}
