//! Decisions on Keywright's own services, remembered: they ask the same few questions with every call of theirs.
//!
//! Invariant: what is remembered is the answer of the policies to exactly these facts, and the policies stay as they are for
//! as long as the process lives. A refusal is not remembered: it is told with its reasons.

use keywright_domain::caller::{Caller, PrincipalKind, Role, ServiceName};
use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

/// Many times what they ask; a platform with more tenants than that begins anew now and then.
const MOST: usize = 10_000;

#[derive(Default)]
pub struct Known(RwLock<HashSet<Question>>);

/// Everything that the policies see of a service that works for itself, and of the object.
#[derive(PartialEq, Eq, Hash)]
pub struct Question {
    principal: String,
    acting: Option<ServiceName>,
    source_ip: String,
    action: String,
    tenant: String,
}

impl Question {
    /// None of anybody else.
    pub fn of(caller: &Caller, action: &str, tenant: &str) -> Option<Self> {
        let who = &caller.principal;
        let is_plain = who.permissions.is_empty() && who.tenant.is_none();
        let is_own = who.role == Role::Keywright && who.kind == PrincipalKind::System;
        (is_own && is_plain).then(|| Self {
            principal: who.id.clone(),
            acting: caller.acting,
            source_ip: caller.source_ip.clone(),
            action: action.to_owned(),
            tenant: tenant.to_owned(),
        })
    }
}

impl Known {
    pub fn permits(&self, question: &Question) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(question)
    }

    pub fn permit(&self, question: Question) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(question);
    }
}
