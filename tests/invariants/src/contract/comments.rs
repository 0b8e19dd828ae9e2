//! Every service, RPC, message, field, enum and value says what it is; every field says who sets it; every RPC says
//! who may call it and how it fails; every RPC that changes something says what repeating it does.

use super::{Notes, files, messages};
use crate::finding::Finding;
use keywright_proto::{AuditClass, rule_of};
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};

fn undocumented(pool: &DescriptorPool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files(pool) {
        let notes = Notes::of(&file);
        let mut look = |name: &str, path: &[i32]| {
            if notes.comment(path).is_empty() {
                findings.push(Finding::new(notes.file(), notes.line(path), format!("{name} has no comment")));
            }
        };
        for service in file.services() {
            look(service.full_name(), service.path());
            service.methods().for_each(|method| look(method.full_name(), method.path()));
        }
        for message in messages(&file) {
            look(message.full_name(), message.path());
            message.fields().for_each(|field| look(field.full_name(), field.path()));
            message.oneofs().filter(|o| !o.is_synthetic()).for_each(|o| look(o.full_name(), o.path()));
        }
        let inner = messages(&file).into_iter().flat_map(|message| message.child_enums().collect::<Vec<_>>());
        for kind in file.enums().chain(inner) {
            look(kind.full_name(), kind.path());
            kind.values().for_each(|value| look(value.full_name(), value.path()));
        }
    }
    findings
}

/// The messages of options: nobody sends them.
fn is_option(pool: &DescriptorPool, message: &MessageDescriptor) -> bool {
    pool.all_extensions().any(|extension| extension.kind().as_message() == Some(message))
}

fn without_behavior(pool: &DescriptorPool) -> Vec<Finding> {
    let extension = pool.get_extension_by_name("google.api.field_behavior").unwrap();
    let mut findings = Vec::new();
    for file in files(pool) {
        let notes = Notes::of(&file);
        for field in messages(&file)
            .iter()
            .filter(|m| !is_option(pool, m))
            .flat_map(|m| m.fields().collect::<Vec<_>>())
        {
            if !field.options().has_extension(&extension) {
                let rule = format!("{} has no google.api.field_behavior", field.full_name());
                findings.push(Finding::new(notes.file(), notes.line(field.path()), rule));
            }
        }
    }
    findings
}

fn is_mutation(method: &MethodDescriptor) -> bool {
    rule_of(method).is_ok_and(|rule| rule.audit_class == AuditClass::Mutation)
}

/// `changes`: which RPCs have to say what repeating them does.
fn incomplete(pool: &DescriptorPool, changes: fn(&MethodDescriptor) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files(pool) {
        let notes = Notes::of(&file);
        for method in file.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let comment = notes.comment(method.path());
            let mut broken = |rule: &str| {
                findings.push(Finding::new(
                    notes.file(),
                    notes.line(method.path()),
                    format!("{} {rule}", method.full_name()),
                ));
            };
            if !comment.contains("Callers: ") {
                broken("does not say who may call it (Callers: …)");
            }
            if !comment.contains("Errors: ") {
                broken("does not say how it fails (Errors: …)");
            }
            let said = ["no idempotency key", "repeating", "idempotent"];
            let has_key = method.input().get_field_by_name("idempotency_key").is_some();
            if changes(&method) && !has_key && !said.iter().any(|word| comment.to_lowercase().contains(word))
            {
                broken("has no idempotency_key and does not say what repeating it does");
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
    use keywright_proto::pool;

    #[test]
    fn everything_is_explained() {
        assert_none(undocumented(pool()));
    }

    #[test]
    fn every_field_says_who_sets_it() {
        assert_none(without_behavior(pool()));
    }

    #[test]
    fn every_rpc_says_who_calls_it_how_it_fails_and_what_repeating_does() {
        assert!(rpcs(pool()).iter().filter(|method| is_mutation(method)).count() > 10);
        assert_none(incomplete(pool(), is_mutation));
    }

    #[test]
    fn a_contract_without_a_word_is_found_out() {
        let silent = stripped();
        let fields =
            files(&silent).iter().flat_map(messages).map(|message| message.fields().len()).sum::<usize>();
        let found = undocumented(&silent);
        assert!(found.len() > fields + rpcs(&silent).len());
        for name in [
            "SshCredentialService has",
            "CreateTenant has",
            "Tenant.name has",
            "Exposure has",
            "EXPOSURE_PUBLIC has",
        ] {
            assert!(found.iter().any(|finding| finding.rule.contains(name)), "{name}");
        }
        let behavior = without_behavior(&silent);
        assert_eq!(behavior.len(), fields - 3, "all but the three fields of the rule option");
        let without_key =
            rpcs(&silent).iter().filter(|m| m.input().get_field_by_name("idempotency_key").is_none()).count();
        assert_eq!(incomplete(&silent, |_| true).len(), 2 * rpcs(&silent).len() + without_key);
    }
}
