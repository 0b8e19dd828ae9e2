//! Error answers: from the reasons that an RPC's comment names, and those that any request can meet.

use crate::routes::{BodyRule, Route};
use keywright_domain::reason::Reason;
use keywright_proto::AuditClass;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Answers by status: each says which reasons it stands for.
pub fn responses(route: &Route, comment: &str) -> Map<String, Value> {
    let mut reasons: BTreeSet<&'static str> = BTreeSet::new();
    let words = comment.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    reasons.extend(words.filter_map(Reason::parse).map(Reason::as_str));
    let mut always = vec![Reason::ValidationFailed, Reason::ServiceUnavailable, Reason::DeadlineExceeded];
    if route.rpc.rule.audit_class != AuditClass::Public {
        always.extend([Reason::Unauthenticated, Reason::PermissionDenied]);
    }
    if route.body != BodyRule::None {
        always.push(Reason::PayloadTooLarge);
    }
    reasons.extend(always.into_iter().map(Reason::as_str));

    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for reason in reasons {
        if let Some(known) = Reason::parse(reason) {
            by_status.entry(known.http_status()).or_default().push(reason);
        }
    }
    if route.body != BodyRule::None {
        by_status.entry(415).or_default().push(Reason::ValidationFailed.as_str());
    }
    let mut responses: Map<String, Value> = by_status
        .into_iter()
        .map(|(status, reasons)| (status.to_string(), response(&reasons.join(", "))))
        .collect();
    responses.insert("default".to_owned(), response("Any other error"));
    responses
}

fn response(description: &str) -> Value {
    json!({
        "description": description,
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Status" } } },
    })
}

/// `google.rpc.Status`.
pub fn schema() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong. Clients branch on the reason of the ErrorInfo detail, never on text.",
        "required": ["code", "message", "details"],
        "properties": {
            "code": { "type": "integer", "format": "int32", "description": "The gRPC status code." },
            "message": { "type": "string", "description": "For people; names the remedy." },
            "details": {
                "type": "array",
                "description": "google.rpc.ErrorInfo always; BadRequest, RetryInfo and ResourceInfo where true.",
                "items": {
                    "type": "object",
                    "required": ["@type"],
                    "properties": {
                        "@type": { "type": "string" },
                        "reason": { "type": "string", "description": "In ErrorInfo.", "enum": Reason::ALL.iter().map(|r| r.as_str()).collect::<Vec<_>>() },
                        "domain": { "type": "string", "description": "In ErrorInfo: keywright." },
                        "metadata": { "type": "object", "additionalProperties": { "type": "string" }, "description": "In ErrorInfo: facts; `code` is the reason in lower case." },
                        "fieldViolations": {
                            "type": "array",
                            "description": "In BadRequest.",
                            "items": {
                                "type": "object",
                                "properties": { "field": { "type": "string" }, "description": { "type": "string" } },
                            },
                        },
                        "retryDelay": { "type": "string", "description": "In RetryInfo: wait so long, for example 1s." },
                    },
                    "additionalProperties": true,
                },
            },
        },
    })
}
