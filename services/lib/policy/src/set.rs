//! What is shipped: the schema, the permits, the limits.

use crate::fault::PolicyError;
use cedar_policy::{
    EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use std::collections::HashSet;
use std::str::FromStr;

const SCHEMA: (&str, &str) = ("schema.cedarschema", include_str!("schema.cedarschema"));
const POLICIES: (&str, &str) = ("policies.cedar", include_str!("policies.cedar"));
const LIMITS: (&str, &str) = ("limits.cedar", include_str!("limits.cedar"));

/// Every shipped text by its name.
pub const TEXTS: [(&str, &str); 3] = [SCHEMA, POLICIES, LIMITS];

pub fn schema() -> Result<Schema, PolicyError> {
    let (schema, _warnings) =
        Schema::from_cedarschema_str(SCHEMA.1).map_err(|error| PolicyError::of(SCHEMA.0, error))?;
    Ok(schema)
}

pub fn shipped(schema: &Schema) -> Result<PolicySet, PolicyError> {
    let mut set = PolicySet::new();
    for (file, text) in [POLICIES, LIMITS] {
        let fail = |what: &dyn std::fmt::Display| PolicyError::of(file, what);
        let parsed = PolicySet::from_str(text).map_err(|error| fail(&error))?;
        for policy in parsed.policies() {
            let id = policy.annotation("id").ok_or_else(|| fail(&"a policy has no @id"))?;
            set.add(policy.new_id(PolicyId::new(id))).map_err(|error| fail(&error))?;
        }
    }
    let outcome = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    match outcome.validation_errors().next() {
        None => Ok(set),
        Some(error) => Err(PolicyError::of("shipped", error)),
    }
}

/// Whether a shipped policy is a limit.
pub fn is_limit(policy: &Policy) -> bool {
    policy.effect() == cedar_policy::Effect::Forbid
}

/// The actions that can be asked for, and which of them stand in a group that the code speaks of.
pub struct Actions {
    pub all: HashSet<String>,
    /// What Keywright's services do among themselves.
    pub inside: HashSet<String>,
    /// What lets a private key out, or has one sign.
    pub secrets: HashSet<String>,
}

pub fn actions(schema: &Schema) -> Result<Actions, PolicyError> {
    let known = schema.action_entities().map_err(|error| PolicyError::of(SCHEMA.0, error))?;
    let (inside, secrets) = (uid(r#"Keywright::Action::"inside""#)?, uid(r#"Keywright::Action::"secrets""#)?);
    // Groups have no dot in their names.
    let all = || schema.actions().filter(|action| action.id().unescaped().contains('.'));
    let name = |action: &EntityUid| action.id().unescaped().to_owned();
    let of =
        |group: &EntityUid| all().filter(|action| known.is_ancestor_of(group, action)).map(name).collect();
    Ok(Actions { all: all().map(name).collect(), inside: of(&inside), secrets: of(&secrets) })
}

fn uid(text: &str) -> Result<EntityUid, PolicyError> {
    EntityUid::from_str(text).map_err(|error| PolicyError::of(SCHEMA.0, error))
}

pub fn type_name(text: &str) -> Result<EntityTypeName, PolicyError> {
    EntityTypeName::from_str(text).map_err(|error| PolicyError::of(SCHEMA.0, error))
}
