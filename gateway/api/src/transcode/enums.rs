//! Enum values as REST writes them: `ROTATION_STATE_RUNNING` of `RotationState` is `running`.

use prost_reflect::{EnumDescriptor, EnumValueDescriptor};

/// The lower-case name without the type's prefix.
pub fn rest_name(value: &EnumValueDescriptor) -> String {
    let prefix = prefix(value.parent_enum().name());
    value.name().strip_prefix(&prefix).unwrap_or(value.name()).to_ascii_lowercase()
}

/// The number of a value: in REST's form in any case, or by its full name.
pub fn number(descriptor: &EnumDescriptor, text: &str) -> Option<i32> {
    descriptor
        .values()
        .find(|value| value.name() == text || rest_name(value).eq_ignore_ascii_case(text))
        .map(|value| value.number())
}

/// `ServerLifecycle` → `SERVER_LIFECYCLE_`.
fn prefix(name: &str) -> String {
    let mut prefix = String::with_capacity(name.len() + 4);
    let mut previous_is_upper = true;
    for c in name.chars() {
        if c.is_ascii_uppercase() && !previous_is_upper {
            prefix.push('_');
        }
        previous_is_upper = c.is_ascii_uppercase();
        prefix.push(c.to_ascii_uppercase());
    }
    prefix.push('_');
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_proto::pool;

    #[test]
    fn every_enum_of_the_contract_loses_its_prefix_and_finds_its_way_back() {
        for descriptor in pool().all_enums().filter(|e| e.package_name().starts_with("keywright.")) {
            for value in descriptor.values() {
                let name = rest_name(&value);
                assert!(name.len() < value.name().len(), "{} keeps its prefix", value.full_name());
                for text in [name.as_str(), &name.to_uppercase(), value.name()] {
                    assert_eq!(number(&descriptor, text), Some(value.number()));
                }
            }
            assert_eq!(number(&descriptor, "no_such_value"), None);
        }
    }
}
