//! A caller and an object as Cedar sees them.

use crate::fault::PolicyError;
use crate::set::type_name;
use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema,
};
use keywright_domain::caller::Caller;
use keywright_domain::ids::TenantId;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

pub struct Facts {
    schema: Schema,
    principal: EntityTypeName,
    action: EntityTypeName,
    object: EntityTypeName,
}

impl Facts {
    pub fn new(schema: Schema) -> Result<Self, PolicyError> {
        Ok(Self {
            schema,
            principal: type_name("Keywright::Principal")?,
            action: type_name("Keywright::Action")?,
            object: type_name("Keywright::Object")?,
        })
    }

    /// The question whether `caller` may do `action` to an object of `tenant` (empty: the platform's own). None where
    /// it does not fit the schema.
    pub fn of(&self, caller: &Caller, action: &str, tenant: &str) -> Option<(Request, Entities)> {
        let uid = |kind: &EntityTypeName, id: &str| {
            EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
        };
        let who = &caller.principal;
        let (principal, object) = (uid(&self.principal, &who.id), uid(&self.object, "object"));
        let permissions = who.permissions.iter().map(|permission| text(kind_of(permission)));
        let attributes = HashMap::from([
            ("role".to_owned(), text(who.role.as_str())),
            ("kind".to_owned(), text(who.kind.as_str())),
            ("acting".to_owned(), text(caller.acting.map_or("", |service| service.as_str()))),
            ("tenant".to_owned(), text(who.tenant.as_ref().map_or("", TenantId::as_str))),
            ("permissions".to_owned(), RestrictedExpression::new_set(permissions)),
        ]);
        let what = HashMap::from([("tenant".to_owned(), text(tenant))]);
        let entities = [
            Entity::new(principal.clone(), attributes, HashSet::new()).ok()?,
            Entity::new(object.clone(), what, HashSet::new()).ok()?,
        ];
        let entities = Entities::from_entities(entities, Some(&self.schema)).ok()?;
        let context = Context::from_pairs(source(&caller.source_ip)).ok()?;
        let action = uid(&self.action, action);
        let request = Request::new(principal, action, object, context, Some(&self.schema)).ok()?;
        Some((request, entities))
    }
}

/// What a permission is for. Which group a `krl.read:GROUP` names, the use case checks.
fn kind_of(permission: &str) -> &str {
    match permission.split_once(':') {
        Some((kind @ "krl.read", _)) => kind,
        _ => permission,
    }
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

/// Nothing where the address is not known.
fn source(address: &str) -> Option<(String, RestrictedExpression)> {
    let address: IpAddr = address.parse().ok()?;
    Some(("source".to_owned(), RestrictedExpression::new_ip(address.to_canonical().to_string())))
}
