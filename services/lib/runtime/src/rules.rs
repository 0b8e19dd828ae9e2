//! The rule of every RPC by its path, read once from the descriptor set.

use keywright_domain::caller::ServiceName;
use keywright_policy::Policy;
use keywright_proto::{Rule, RuleError, pool, rule_of};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// `/keywright.credential.v1.ServerService/GetServer` → rule.
#[derive(Clone)]
pub struct Rules(Arc<Inner>);

struct Inner {
    rules: HashMap<String, Rule>,
    streams: HashSet<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error(transparent)]
    Missing(#[from] RuleError),
    #[error("the policy set does not know the action {action} of {method}")]
    UnknownAction { method: String, action: String },
    #[error("the descriptor set holds no service")]
    Empty,
}

impl Rules {
    /// Refuses an RPC without a rule, or with an action that the policy set does not know.
    pub fn load(policy: &Policy) -> Result<Self, RulesError> {
        let (mut rules, mut streams) = (HashMap::new(), HashSet::new());
        for service in pool().services().filter(|service| service.full_name().starts_with("keywright.")) {
            for method in service.methods() {
                let rule = rule_of(&method)?;
                if !policy.knows(&rule.action) {
                    return Err(RulesError::UnknownAction {
                        method: method.full_name().to_owned(),
                        action: rule.action,
                    });
                }
                let path = format!("/{}/{}", service.full_name(), method.name());
                if method.is_server_streaming() {
                    streams.insert(path.clone());
                }
                rules.insert(path, rule);
            }
        }
        if rules.is_empty() { Err(RulesError::Empty) } else { Ok(Self(Arc::new(Inner { rules, streams }))) }
    }

    pub fn get(&self, path: &str) -> Option<&Rule> {
        self.0.rules.get(path)
    }

    /// Whether the answer of the RPC is a stream, which may outlive the token it was asked for with.
    pub fn streams(&self, path: &str) -> bool {
        self.0.streams.contains(path)
    }
}

/// Which service serves a proto package.
pub fn service_of(package: &str) -> Option<ServiceName> {
    match package {
        "keywright.credential.v1" | "keywright.identity.v1" => Some(ServiceName::CredentialStore),
        "keywright.lifecycle.v1" => Some(ServiceName::KeyLifecycle),
        "keywright.probe.v1" => Some(ServiceName::ConnectivityProbe),
        "keywright.audit.v1" => Some(ServiceName::Audit),
        _ => None,
    }
}
