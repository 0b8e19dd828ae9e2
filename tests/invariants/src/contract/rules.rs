//! Every RPC carries its rule, with an action that the policies know; the gateway has a route for the public ones and
//! none for the others; what stands on an internal service is internal, all of it.

use super::{Notes, files};
use crate::finding::Finding;
use keywright_policy::Policy;
use keywright_proto::{Exposure, Rule, RuleError, rule_of};
use prost_reflect::{DescriptorPool, MethodDescriptor};

/// Services that only Keywright's own services call.
const INTERNAL: &[&str] = &[
    "CustodyService",
    "ReleaseService",
    "DirectoryService",
    "ProofService",
    "AuditIntakeService",
    "NotificationIntakeService",
    "ExchangeService",
    "RevocationFeedService",
    "FleetWorkService",
    "WorkService",
];

/// What is wrong with the rule of one RPC.
fn broken(
    service: &str,
    rule: Result<&Rule, &RuleError>,
    routed: bool,
    knows: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let rule = match rule {
        Ok(rule) => rule,
        Err(error) => return vec![error.to_string()],
    };
    let mut rules = Vec::new();
    if !knows(&rule.action) {
        rules.push(format!("the policy set does not know the action {}", rule.action));
    }
    match (rule.exposure, routed) {
        (Exposure::Public, false) => rules.push("is public and has no google.api.http".to_owned()),
        (Exposure::Internal, true) => rules.push("is internal and has a google.api.http".to_owned()),
        _ => {}
    }
    let is_internal = INTERNAL.contains(&service);
    if is_internal && rule.exposure == Exposure::Public {
        rules.push(format!("{service} is internal as a whole, so is every RPC of it"));
    }
    if !is_internal && rule.exposure == Exposure::Internal {
        rules.push(format!("an internal RPC stands on a service of internal ones, not on {service}"));
    }
    rules
}

fn check(pool: &DescriptorPool, rule: &dyn Fn(&MethodDescriptor) -> Result<Rule, RuleError>) -> Vec<Finding> {
    let policy = Policy::shipped().unwrap();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let mut findings = Vec::new();
    for file in files(pool) {
        let notes = Notes::of(&file);
        for service in file.services() {
            for method in service.methods() {
                let routed = method.options().has_extension(&http);
                let rules =
                    broken(service.name(), rule(&method).as_ref(), routed, &|action| policy.knows(action));
                findings.extend(rules.into_iter().map(|rule| {
                    Finding::new(
                        notes.file(),
                        notes.line(method.path()),
                        format!("{}: {rule}", method.full_name()),
                    )
                }));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::{rpcs, stripped};
    use super::*;
    use crate::finding::assert_none;
    use keywright_proto::{AuditClass, pool};

    #[test]
    fn every_rpc_has_a_rule_that_fits() {
        assert_none(check(pool(), &rule_of));
        let services: Vec<String> = pool().services().map(|service| service.name().to_owned()).collect();
        for name in INTERNAL {
            assert!(services.contains(&(*name).to_owned()), "{name} is gone: take it off this list");
        }
    }

    #[test]
    fn a_contract_without_rules_or_routes_is_found_out() {
        let bare = stripped();
        assert_eq!(check(&bare, &rule_of).len(), rpcs(&bare).len());
        let rules = |method: &MethodDescriptor| {
            rule_of(
                &pool()
                    .get_service_by_name(method.parent_service().full_name())
                    .unwrap()
                    .methods()
                    .find(|m| m.name() == method.name())
                    .unwrap(),
            )
        };
        let unrouted = check(&bare, &rules);
        let public = rpcs(pool()).iter().filter(|m| rule_of(m).unwrap().exposure == Exposure::Public).count();
        assert_eq!(unrouted.len(), public);
        assert!(unrouted.iter().all(|finding| finding.rule.contains("has no google.api.http")));
    }

    #[test]
    fn each_misfit_is_named() {
        let rule = |exposure| Rule { action: "server.read".into(), audit_class: AuditClass::Read, exposure };
        let said = |service, exposure, routed, known: bool| {
            broken(service, Ok(&rule(exposure)), routed, &|_| known).join("; ")
        };
        assert_eq!(said("ServerService", Exposure::Public, true, true), "");
        assert_eq!(said("CustodyService", Exposure::Internal, false, true), "");
        assert!(
            said("ServerService", Exposure::Public, true, false)
                .contains("does not know the action server.read")
        );
        assert!(said("CustodyService", Exposure::Internal, true, true).contains("is internal and has a"));
        assert!(said("CustodyService", Exposure::Public, true, true).contains("internal as a whole"));
        assert!(said("ServerService", Exposure::Internal, false, true).contains("not on ServerService"));
    }
}
