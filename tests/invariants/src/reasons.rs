//! Why a request fails has one table, in the domain; the contract names reasons from it and nothing else.

use crate::contract::{Notes, files};
use crate::finding::Finding;
use keywright_domain::reason::Reason;
use prost_reflect::DescriptorPool;
use std::collections::BTreeSet;

/// The reasons that a comment names after `Errors:`.
fn named(comment: &str) -> Vec<&str> {
    let Some((_, errors)) = comment.split_once("Errors:") else { return Vec::new() };
    let words = errors
        .split(|symbol: char| !(symbol.is_ascii_uppercase() || symbol.is_ascii_digit() || symbol == '_'));
    words.filter(|word| word.len() > 2).collect()
}

fn unknown(pool: &DescriptorPool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files(pool) {
        let notes = Notes::of(&file);
        for method in file.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let reasons =
                named(notes.comment(method.path())).into_iter().filter(|name| Reason::parse(name).is_none());
            findings.extend(reasons.map(|name| {
                let rule = format!("{}: {name} is no reason of keywright_domain::reason", method.full_name());
                Finding::new(notes.file(), notes.line(method.path()), rule)
            }));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::assert_none;
    use keywright_proto::pool;

    #[test]
    fn every_reason_in_the_contract_exists() {
        let all = files(pool())
            .iter()
            .map(Notes::of)
            .map(|notes| notes.all().map(|c| named(c).len()).sum::<usize>())
            .sum::<usize>();
        assert!(all > 100, "only {all} reasons were read");
        assert_none(unknown(pool()));
    }

    #[test]
    fn an_unknown_reason_is_read_from_a_comment() {
        let read = named(
            "Makes it. Callers: a USER.\n Errors: SERVER_NOT_FOUND (the id), NO_SUCH_REASON, the key\nreasons.",
        );
        assert_eq!(read, ["SERVER_NOT_FOUND", "NO_SUCH_REASON"]);
        assert!(Reason::parse("NO_SUCH_REASON").is_none());
        assert!(named("Callers: OPERATORS.").is_empty());
    }

    #[test]
    fn the_contract_and_the_domain_list_the_same_reasons() {
        let listed = pool().get_enum_by_name("keywright.common.v1.ErrorReason").unwrap();
        let listed: BTreeSet<String> = listed
            .values()
            .map(|value| value.name().trim_start_matches("ERROR_REASON_").to_owned())
            .collect();
        let known: BTreeSet<String> = Reason::ALL
            .iter()
            .map(|reason| reason.as_str().to_owned())
            .chain(["UNSPECIFIED".to_owned()])
            .collect();
        assert_eq!(listed, known);
    }
}
