//! The descriptor set, and the rule that every RPC carries as a method option.

use crate::common::{AuditClass as ProtoClass, Exposure as ProtoExposure};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage, Value};
use std::sync::LazyLock;

/// The compiled contract with its options and comments.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    // The bytes were produced by this crate's build script; a set that cannot be read yields an empty pool, with
    // which no server starts (every RPC must carry its rule).
    DescriptorPool::decode(DESCRIPTOR_SET).unwrap_or_default()
});

/// The one descriptor pool of the process.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// What the audit log must hold about an RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditClass {
    Read,
    Mutation,
    SecretUse,
    Public,
}

/// Who can reach an RPC at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    Public,
    Internal,
    /// Internal platform services, on the internal port.
    Platform,
}

/// The rule of one RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub action: String,
    pub audit_class: AuditClass,
    pub exposure: Exposure,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method} carries no complete rule option (keywright.common.v1.rule)")]
pub struct RuleError {
    pub method: String,
}

/// The rule of `method`, from its option.
pub fn rule_of(method: &MethodDescriptor) -> Result<Rule, RuleError> {
    read_rule(method).ok_or_else(|| RuleError { method: method.full_name().to_owned() })
}

fn read_rule(method: &MethodDescriptor) -> Option<Rule> {
    let extension = pool().get_extension_by_name("keywright.common.v1.rule")?;
    let options: DynamicMessage = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    let value = options.get_extension(&extension);
    let rule = value.as_message()?;
    let action = rule.get_field_by_name("action")?.as_str()?.to_owned();
    let number = |name: &str| rule.get_field_by_name(name).and_then(|v| Value::as_enum_number(&v));
    let audit_class = match ProtoClass::try_from(number("audit_class")?).ok()? {
        ProtoClass::Unspecified => return None,
        ProtoClass::Read => AuditClass::Read,
        ProtoClass::Mutation => AuditClass::Mutation,
        ProtoClass::SecretUse => AuditClass::SecretUse,
        ProtoClass::Public => AuditClass::Public,
    };
    let exposure = match ProtoExposure::try_from(number("exposure")?).ok()? {
        ProtoExposure::Unspecified => return None,
        ProtoExposure::Public => Exposure::Public,
        ProtoExposure::Internal => Exposure::Internal,
        ProtoExposure::Platform => Exposure::Platform,
    };
    debug_assert!(rule.descriptor().full_name().ends_with("Rule"));
    if action.is_empty() { None } else { Some(Rule { action, audit_class, exposure }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_carries_a_rule_and_every_public_one_a_route() {
        let http = pool().get_extension_by_name("google.api.http").unwrap();
        let mut rpcs = 0;
        for service in pool().services().filter(|s| s.full_name().starts_with("keywright.")) {
            for method in service.methods() {
                rpcs += 1;
                let rule = rule_of(&method).unwrap();
                let routed = method.options().has_extension(&http);
                assert_eq!(rule.exposure == Exposure::Public, routed, "{}", method.full_name());
            }
        }
        assert!(rpcs > 40, "the descriptor set lost its services: {rpcs}");
    }
}
