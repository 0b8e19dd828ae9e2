//! Who may do what: one Cedar policy set, validated against its schema before a service starts.
//!
//! The only crate that names Cedar; everybody else sees a plain [`Decision`].

use cedar_policy::{
    Authorizer, Context, Decision as Verdict, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request, RestrictedExpression, Schema, ValidationMode, Validator,
};
use keywright_domain::caller::Caller;
use keywright_domain::ids::TenantId;
use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

const SCHEMA: &str = include_str!("schema.cedarschema");
const POLICIES: &str = include_str!("policies.cedar");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Allow,
    /// The role does not allow it.
    Deny,
    /// Another tenant's object: for this caller it does not exist.
    Hidden,
}

#[derive(Debug, thiserror::Error)]
#[error("the policy set cannot be used: {0}")]
pub struct PolicyError(String);

/// The validated policy set. Cheap to clone.
#[derive(Clone)]
pub struct Policy(Arc<Inner>);

struct Inner {
    policies: PolicySet,
    schema: Schema,
    principal: EntityTypeName,
    action: EntityTypeName,
    object: EntityTypeName,
    actions: HashSet<String>,
}

impl Policy {
    /// The shipped policies, validated.
    pub fn shipped() -> Result<Self, PolicyError> {
        let fail = |e: &dyn std::fmt::Display| PolicyError(e.to_string());
        let (schema, _warnings) = Schema::from_cedarschema_str(SCHEMA).map_err(|e| fail(&e))?;
        let policies = PolicySet::from_str(POLICIES).map_err(|e| fail(&e))?;
        let outcome = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        if !outcome.validation_passed() {
            return Err(PolicyError(
                outcome.validation_errors().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            ));
        }
        let name = |text: &str| EntityTypeName::from_str(text).map_err(|e| fail(&e));
        let actions = schema.actions().map(|uid| uid.id().unescaped().to_owned()).collect();
        Ok(Self(Arc::new(Inner {
            policies,
            schema,
            principal: name("Keywright::Principal")?,
            action: name("Keywright::Action")?,
            object: name("Keywright::Object")?,
            actions,
        })))
    }

    /// Whether the policy set knows the action; a server does not start with an RPC whose action it does not know.
    pub fn knows(&self, action: &str) -> bool {
        self.0.actions.contains(action)
    }

    /// Decides on an object of `tenant` (none: the platform's own).
    pub fn decide(&self, caller: &Caller, action: &str, tenant: Option<&TenantId>) -> Decision {
        let own = caller.principal.tenant.as_ref();
        if own.is_some() && tenant != own {
            return Decision::Hidden;
        }
        if self.0.evaluate(caller, action, tenant.map(TenantId::as_str)).unwrap_or(false) {
            Decision::Allow
        } else {
            Decision::Deny
        }
    }

    /// Whether the caller could be allowed the action on anything at all: decided at the door, before a request is
    /// read.
    pub fn could(&self, caller: &Caller, action: &str) -> bool {
        let tenant = caller.principal.tenant.as_ref().map(TenantId::as_str);
        self.0.evaluate(caller, action, tenant).unwrap_or(false)
    }
}

impl Inner {
    fn evaluate(&self, caller: &Caller, action: &str, tenant: Option<&str>) -> Option<bool> {
        let uid = |kind: &EntityTypeName, id: &str| {
            EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
        };
        let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
        let (principal, object) = (uid(&self.principal, &caller.principal.id), uid(&self.object, "object"));
        let who = HashMap::from([
            ("role".to_owned(), text(caller.principal.role.as_str())),
            ("kind".to_owned(), text(caller.principal.kind.as_str())),
            ("acting".to_owned(), text(caller.acting.map_or("", |service| service.as_str()))),
            ("tenant".to_owned(), text(caller.principal.tenant.as_ref().map_or("", TenantId::as_str))),
            (
                "permissions".to_owned(),
                RestrictedExpression::new_set(caller.principal.permissions.iter().map(|p| text(p))),
            ),
        ]);
        let what = HashMap::from([("tenant".to_owned(), text(tenant.unwrap_or_default()))]);
        let entities = Entities::from_entities(
            [
                Entity::new(principal.clone(), who, HashSet::new()).ok()?,
                Entity::new(object.clone(), what, HashSet::new()).ok()?,
            ],
            Some(&self.schema),
        )
        .ok()?;
        let request =
            Request::new(principal, uid(&self.action, action), object, Context::empty(), Some(&self.schema))
                .ok()?;
        let answer = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        Some(answer.decision() == Verdict::Allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_domain::caller::{Principal, PrincipalKind, Role, ServiceName};
    use keywright_domain::ids::PrincipalId;

    fn person(role: Role, tenant: Option<&TenantId>) -> Caller {
        let principal = Principal::person(&PrincipalId::random().unwrap(), role, tenant.cloned());
        Caller {
            principal,
            acting: Some(ServiceName::Gateway),
            ..Caller::background(ServiceName::Gateway, "")
        }
    }

    #[test]
    fn an_operator_never_downloads_and_an_owner_does() {
        let policy = Policy::shipped().unwrap();
        let tenant = TenantId::random().unwrap();
        let operator = person(Role::Operator, None);
        assert_eq!(policy.decide(&operator, "access.download", Some(&tenant)), Decision::Deny);
        assert_eq!(policy.decide(&operator, "access.revoke", Some(&tenant)), Decision::Allow);
        let owner = person(Role::TenantOwner, Some(&tenant));
        assert_eq!(policy.decide(&owner, "access.download", Some(&tenant)), Decision::Allow);
        let program = Caller {
            principal: Principal { kind: PrincipalKind::Service, ..owner.principal.clone() },
            ..owner
        };
        assert_eq!(policy.decide(&program, "access.download", Some(&tenant)), Decision::Deny);
    }

    #[test]
    fn another_tenant_is_hidden_whatever_the_role() {
        let policy = Policy::shipped().unwrap();
        let (mine, other) = (TenantId::random().unwrap(), TenantId::random().unwrap());
        for role in [Role::TenantOwner, Role::TenantAdmin, Role::TenantMember] {
            let caller = person(role, Some(&mine));
            assert_eq!(policy.decide(&caller, "server.read", Some(&other)), Decision::Hidden);
            assert_eq!(policy.decide(&caller, "server.read", None), Decision::Hidden);
            assert_eq!(policy.decide(&caller, "server.read", Some(&mine)), Decision::Allow);
        }
    }

    #[test]
    fn the_gateway_reaches_nothing_inside() {
        let policy = Policy::shipped().unwrap();
        let operator = person(Role::Operator, None);
        assert!(!policy.could(&operator, "credential.sign"));
        assert!(!policy.could(&operator, "custody.release"));
        let carried = Caller { acting: Some(ServiceName::KeyLifecycle), ..operator };
        assert!(policy.could(&carried, "custody.generate"));
    }

    #[test]
    fn an_unknown_action_is_denied() {
        let policy = Policy::shipped().unwrap();
        assert!(!policy.knows("server.explode"));
        assert!(!policy.could(&person(Role::Operator, None), "server.explode"));
    }
}
