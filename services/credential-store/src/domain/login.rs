//! Which role a person from an identity provider gets: the operator's rules over the claims of the ID token.
//!
//! Invariant: the first rule that matches decides. Nothing is added up, and without a rule there is no role.

use keywright_domain::caller::Role;
use serde_json::{Map, Value};

/// The claims of a verified ID token.
pub type Claims = Map<String, Value>;

/// One rule: who has `value` in `claim` gets `role`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// A claim's name, or the JSON pointer to a nested one (`/realm_access/roles`).
    pub claim: String,
    pub value: String,
    pub role: Role,
    pub place: Place,
}

/// Where the role of a rule is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Platform,
    /// In the tenant with this id or external id.
    Tenant(String),
    /// In the tenant whose id or external id stands in this claim.
    Claim(String),
}

/// What a person gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub role: Role,
    /// An id or external id; none for the platform.
    pub tenant: Option<String>,
}

/// The grant of the first rule that matches. A rule by tenant claim matches only who has exactly one tenant there.
pub fn grant(rules: &[Rule], claims: &Claims) -> Option<Grant> {
    rules.iter().filter(|rule| texts(claims, &rule.claim).any(|value| value == rule.value)).find_map(|rule| {
        let tenant = match &rule.place {
            Place::Platform => None,
            Place::Tenant(tenant) => Some(tenant.clone()),
            Place::Claim(claim) => {
                let mut tenants = texts(claims, claim).filter(|tenant| !tenant.is_empty());
                let tenant = tenants.next()?;
                if tenants.next().is_some() {
                    return None;
                }
                Some(tenant.to_owned())
            }
        };
        Some(Grant { role: rule.role, tenant })
    })
}

/// The first text of a claim; empty if there is none.
pub fn text<'a>(claims: &'a Claims, claim: &str) -> &'a str {
    texts(claims, claim).next().unwrap_or_default()
}

/// The texts of a claim: itself, or the elements of its list.
fn texts<'a>(claims: &'a Claims, claim: &str) -> impl Iterator<Item = &'a str> {
    let value = match claim.strip_prefix('/') {
        None => claims.get(claim),
        Some(path) => {
            let (first, rest) = path.split_once('/').map_or((path, ""), |(first, rest)| (first, rest));
            let top = claims.get(&first.replace("~1", "/").replace("~0", "~"));
            if rest.is_empty() { top } else { top.and_then(|top| top.pointer(&format!("/{rest}"))) }
        }
    };
    let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    value.and_then(Value::as_str).into_iter().chain(list.iter().filter_map(Value::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        value.as_object().unwrap().clone()
    }

    fn rule(claim: &str, value: &str, role: Role, place: Place) -> Rule {
        Rule { claim: claim.to_owned(), value: value.to_owned(), role, place }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = [
            rule("groups", "ops", Role::Operator, Place::Platform),
            rule("groups", "admins", Role::TenantAdmin, Place::Tenant("acme".to_owned())),
            rule("iss", "https://login", Role::TenantMember, Place::Claim("org".to_owned())),
        ];
        let of = |value: Value| grant(&rules, &claims(value));
        let operator = Some(Grant { role: Role::Operator, tenant: None });
        assert_eq!(of(json!({"groups": ["admins", "ops"]})), operator);
        assert_eq!(of(json!({"groups": "ops"})), operator);
        let admin = Some(Grant { role: Role::TenantAdmin, tenant: Some("acme".to_owned()) });
        assert_eq!(of(json!({"groups": ["admins"], "iss": "https://login", "org": "other"})), admin);
        let member = Some(Grant { role: Role::TenantMember, tenant: Some("other".to_owned()) });
        assert_eq!(of(json!({"groups": ["Admins"], "iss": "https://login", "org": ["other"]})), member);
    }

    #[test]
    fn what_is_missing_ambiguous_or_of_another_kind_gives_nothing() {
        let rules = [rule("groups", "1", Role::TenantMember, Place::Claim("org".to_owned()))];
        for value in [
            json!({}),
            json!({"groups": 1, "org": "acme"}),
            json!({"groups": {"1": "1"}, "org": "acme"}),
            json!({"groups": "1"}),
            json!({"groups": "1", "org": ""}),
            json!({"groups": "1", "org": ["a", "b"]}),
            json!({"groups": "1", "org": {"id": "acme"}}),
        ] {
            assert_eq!(grant(&rules, &claims(value.clone())), None, "{value}");
        }
    }

    #[test]
    fn a_nested_claim_is_reached_by_a_pointer() {
        let rules = [rule("/realm_access/roles", "admin", Role::Operator, Place::Platform)];
        assert!(grant(&rules, &claims(json!({"realm_access": {"roles": ["admin"]}}))).is_some());
        assert!(grant(&rules, &claims(json!({"realm_access/roles": ["admin"]}))).is_none());
        assert_eq!(text(&claims(json!({"https://x/y": "z"})), "/https:~1~1x~1y"), "z");
        assert_eq!(text(&claims(json!({"https://x/y": "z"})), "https://x/y"), "z");
    }
}
