//! Where secrets cross the contract: their fields are marked, one public RPC answers with a key file (a file that is
//! marked), and no public answer holds key material.

use super::{Notes, files, messages, rpcs};
use crate::finding::Finding;
use keywright_proto::{Exposure, rule_of};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use std::collections::BTreeSet;

const SECRETS: &[&str] = &["private_key", "passphrase", "token", "code", "file", "subject_token"];
/// Here `code` is a reason's name.
const REASONS: &[&str] =
    &["keywright.credential.v1.KeyCheck.code", "keywright.probe.v1.ConnectivityCheck.code"];
/// Files that hold no secret: revocation lists, what is kept of a tenant.
const OPEN_FILES: &[&str] = &[
    "keywright.audit.v1.ExportAuditLogResponse.chunk",
    "keywright.audit.v1.GetCheckpointResponse.note",
    "keywright.audit.v1.GetTileResponse.tile",
    "keywright.lifecycle.v1.GetKrlResponse.file",
    "keywright.lifecycle.v1.GetKrlTextResponse.file",
    "keywright.lifecycle.v1.GetOffboardingExportResponse.file",
];
/// Here `file` is the name of one.
const FILE_NAMES: &[&str] = &["keywright.lifecycle.v1.ServerKey.file"];
const BODY: &str = "google.api.HttpBody";
/// What no public answer may hold.
const MATERIAL: &[&str] = &["private_key", "material", "passphrase"];

/// A field that must not be printed: marked so, or a body of bytes.
pub fn is_redacted(field: &FieldDescriptor) -> bool {
    field.options().get_field_by_name("debug_redact").is_some_and(|value| value.as_bool() == Some(true))
}

pub fn is_body(kind: &Kind) -> bool {
    kind.as_message().is_some_and(|message| message.full_name() == BODY)
}

fn holds_a_value(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::String | Kind::Bytes) || is_body(&field.kind())
}

fn unmarked(pool: &DescriptorPool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files(pool) {
        let notes = Notes::of(&file);
        for field in messages(&file).iter().flat_map(|message| message.fields().collect::<Vec<_>>()) {
            let is_named =
                [REASONS, OPEN_FILES, FILE_NAMES].iter().any(|list| list.contains(&field.full_name()));
            let is_secret = SECRETS.contains(&field.name()) && !is_named;
            if is_secret && holds_a_value(&field) && !is_redacted(&field) {
                let rule = format!("{} holds a secret and is not marked debug_redact", field.full_name());
                findings.push(Finding::new(notes.file(), notes.line(field.path()), rule));
            }
        }
    }
    findings
}

/// Every field of `message` and of what it holds.
pub fn deep_fields(message: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let (mut seen, mut todo, mut found) = (BTreeSet::new(), vec![message.clone()], Vec::new());
    while let Some(message) = todo.pop() {
        if seen.insert(message.full_name().to_owned()) {
            todo.extend(message.fields().filter_map(|field| field.kind().as_message().cloned()));
            found.extend(message.fields());
        }
    }
    found
}

fn is_public(method: &MethodDescriptor) -> bool {
    rule_of(method).is_ok_and(|rule| rule.exposure == Exposure::Public)
}

fn answers_a_file(message: &MessageDescriptor) -> bool {
    message.full_name() == BODY || deep_fields(message).iter().any(|field| is_body(&field.kind()))
}

/// With a file that is marked as a secret.
fn answers_a_key_file(message: &MessageDescriptor) -> bool {
    message.full_name() == BODY
        || deep_fields(message).iter().any(|field| is_body(&field.kind()) && is_redacted(field))
}

fn material(message: &MessageDescriptor) -> Vec<String> {
    let fields = deep_fields(message);
    fields
        .iter()
        .filter(|field| MATERIAL.contains(&field.name()))
        .map(|field| field.full_name().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::stripped;
    use super::*;
    use crate::finding::assert_none;
    use keywright_proto::pool;

    #[test]
    fn every_secret_is_marked() {
        assert_none(unmarked(pool()));
        for field in REASONS.iter().chain(OPEN_FILES).chain(FILE_NAMES) {
            let (message, name) = field.rsplit_once('.').unwrap();
            let message = pool().get_message_by_name(message).unwrap_or_else(|| panic!("{message} is gone"));
            assert!(message.get_field_by_name(name).is_some(), "{field} is gone: take it off this list");
        }
    }

    #[test]
    fn an_unmarked_secret_is_found() {
        let found = unmarked(&stripped());
        for field in [
            "CreateSshCredentialRequest.private_key",
            "ExchangeRequest.subject_token",
            "CreateTokenResponse.token",
        ] {
            assert!(found.iter().any(|finding| finding.rule.contains(field)), "{field}: {found:?}");
        }
        assert!(found.iter().all(|finding| !finding.rule.contains("KeyCheck")));
    }

    #[test]
    fn one_public_rpc_answers_with_a_key_file() {
        let answering = |answers: fn(&MessageDescriptor) -> bool| {
            let all = rpcs(pool()).into_iter().filter(is_public).filter(move |m| answers(&m.output()));
            all.map(|method| method.full_name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(answering(answers_a_key_file), ["keywright.lifecycle.v1.SshAccessService.DownloadSshKey"]);
        let mut files = answering(answers_a_file);
        files.retain(|name| !name.ends_with(".DownloadSshKey"));
        assert_eq!(files.len(), OPEN_FILES.len(), "a file that is no key is on the list: {files:?}");
        assert!(
            rpcs(&stripped()).iter().all(|method| !is_public(method)),
            "without a rule nothing is public"
        );
    }

    #[test]
    fn no_public_answer_holds_key_material() {
        let mut findings = Vec::new();
        for method in rpcs(pool()).iter().filter(|method| is_public(method)) {
            let notes = Notes::of(&method.parent_service().parent_file());
            findings.extend(material(&method.output()).into_iter().map(|field| {
                let rule = format!("{} is public and answers with {field}", method.full_name());
                Finding::new(notes.file(), notes.line(method.path()), rule)
            }));
        }
        assert_none(findings);
    }

    #[test]
    fn key_material_is_found_in_depth() {
        let message = |name: &str| pool().get_message_by_name(name).unwrap();
        let request = message("keywright.credential.v1.CreateSshCredentialRequest");
        assert!(
            material(&request)
                .contains(&"keywright.credential.v1.CreateSshCredentialRequest.private_key".to_owned())
        );
        let nested = message("keywright.probe.v1.CreateDraftConnectivityTestRequest");
        assert!(!material(&nested).is_empty());
        assert!(answers_a_file(&message("keywright.lifecycle.v1.DownloadSshKeyResponse")));
    }
}
