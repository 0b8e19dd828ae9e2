//! Who may do what: one Cedar policy set, validated against its schema before a service starts. Keywright ships permits
//! and hard limits; an operator adds policies of his own from a folder.
//!
//! Invariants: a limit is a `forbid`, so that no permit lifts it; additions concern people and programs alone, never what
//! Keywright's services do among themselves; a policy that cannot be evaluated denies.
//!
//! The only crate that names Cedar; everybody else sees a plain [`Decision`].

mod additions;
mod facts;
mod fault;
mod known;
mod limits;
mod set;
#[cfg(test)]
mod tests;
mod words;

pub use fault::{Fault, PolicyError};

use cedar_policy::{Authorizer, Decision as Verdict, PolicySet};
use facts::Facts;
use keywright_domain::caller::{Caller, Role};
use keywright_domain::ids::TenantId;
use known::{Known, Question};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Allow,
    /// The role does not allow it.
    Deny(DeniedBy),
    /// Another tenant's object: for this caller it does not exist.
    Hidden,
}

/// What denied, for the audit log alone: the ids of the policies that forbid, or that none permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedBy(String);

impl fmt::Display for DeniedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The validated policy set. Cheap to clone.
#[derive(Clone)]
pub struct Policy(Arc<Inner>);

struct Inner {
    facts: Facts,
    shipped: PolicySet,
    /// With the operator's additions.
    all: PolicySet,
    actions: set::Actions,
    added: Vec<String>,
    known: Known,
    /// What an object's tenant may have to be for an addition to permit something.
    tenants: Vec<String>,
}

impl Policy {
    /// The shipped policies, validated.
    pub fn shipped() -> Result<Self, PolicyError> {
        Self::assemble(additions::Additions::default())
    }

    /// The shipped policies with those of the `*.cedar` files in a folder.
    pub fn with_additions(folder: &Path) -> Result<Self, PolicyError> {
        Self::assemble(additions::read(folder)?)
    }

    fn assemble(additions: additions::Additions) -> Result<Self, PolicyError> {
        let schema = set::schema()?;
        let shipped = set::shipped(&schema)?;
        let all = additions.join(&shipped, &schema)?;
        let policy = Self(Arc::new(Inner {
            actions: set::actions(&schema)?,
            facts: Facts::new(schema)?,
            shipped,
            all,
            added: additions.ids(),
            known: Known::default(),
            tenants: additions.tenants(),
        }));
        limits::check(&policy, &additions)?;
        Ok(policy)
    }

    /// The schema and the policies as they are shipped, for an operator to read.
    pub fn text() -> String {
        set::TEXTS.iter().map(|(name, text)| format!("// ==== {name} ====\n{text}\n")).collect()
    }

    /// The ids of the policies that were added, in their order.
    pub fn added(&self) -> &[String] {
        &self.0.added
    }

    /// Whether the policy set knows the action; a server does not start with an RPC whose action it does not know.
    pub fn knows(&self, action: &str) -> bool {
        self.0.actions.all.contains(action)
    }

    /// Decides on an object of `tenant` (none: the platform's own).
    pub fn decide(&self, caller: &Caller, action: &str, tenant: Option<&TenantId>) -> Decision {
        let own = caller.principal.tenant.as_ref();
        if own.is_some() && tenant != own {
            return Decision::Hidden;
        }
        match self.0.evaluate(caller, action, tenant.map_or("", TenantId::as_str)) {
            Ok(()) => Decision::Allow,
            Err(denied) => Decision::Deny(denied),
        }
    }

    /// Whether the caller could be allowed the action on anything at all: decided at the door, before a request is
    /// read.
    pub fn admits(&self, caller: &Caller, action: &str) -> Result<(), DeniedBy> {
        let own = caller.principal.tenant.as_ref();
        let Err(denied) = self.0.evaluate(caller, action, own.map_or("", TenantId::as_str)) else {
            return Ok(());
        };
        let elsewhere = |tenant: &String| self.0.evaluate(caller, action, tenant).is_ok();
        if own.is_none() && self.0.tenants.iter().any(elsewhere) { Ok(()) } else { Err(denied) }
    }
}

impl Inner {
    fn evaluate(&self, caller: &Caller, action: &str, tenant: &str) -> Result<(), DeniedBy> {
        let own = self.actions.inside.contains(action) || caller.principal.role == Role::Keywright;
        let set = if own { &self.shipped } else { &self.all };
        let Some(question) = Question::of(caller, action, tenant) else {
            return self.judge(set, caller, action, tenant);
        };
        if !self.known.permits(&question) {
            self.judge(set, caller, action, tenant)?;
            self.known.permit(question);
        }
        Ok(())
    }

    fn judge(&self, set: &PolicySet, caller: &Caller, action: &str, tenant: &str) -> Result<(), DeniedBy> {
        let role = caller.principal.role.as_str();
        let none = || DeniedBy(format!("no policy permits {action} to {role}"));
        let (request, entities) = self.facts.of(caller, action, tenant).ok_or_else(none)?;
        let answer = Authorizer::new().is_authorized(&request, set, &entities);
        // A forbid that cannot be evaluated would not count: better nobody than somebody whom it was to stop.
        if answer.diagnostics().errors().next().is_some() {
            return Err(DeniedBy("a policy could not be evaluated".to_owned()));
        }
        if answer.decision() == Verdict::Allow {
            return Ok(());
        }
        let mut ids: Vec<&str> = answer.diagnostics().reason().map(AsRef::as_ref).collect();
        ids.sort_unstable();
        if ids.is_empty() { Err(none()) } else { Err(DeniedBy(ids.join(", "))) }
    }
}
