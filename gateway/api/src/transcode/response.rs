//! The RPC's response message → what a REST client gets.

use super::write;
use bytes::Bytes;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};
use serde_json::Value as Json;

/// The answer's content.
#[derive(Debug)]
pub enum Content {
    Json(Json),
    Bytes(Attachment),
}

/// A `google.api.HttpBody`.
pub struct Attachment {
    pub content_type: String,
    pub data: Bytes,
    /// Name and text of the other text fields of the response, which become headers: `claim_id` is
    /// `keywright-claim-id`.
    pub headers: Vec<(String, String)>,
}

/// It may be a private key: only its size is shown.
impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment").field("bytes", &self.data.len()).finish_non_exhaustive()
    }
}

/// What `message` says to a REST client, where `field` (or all of it) is the answer.
pub fn content(field: Option<&FieldDescriptor>, message: &DynamicMessage) -> Content {
    let Some(field) = field else {
        return match is_http_body(message) {
            true => Content::Bytes(attachment(message, Vec::new())),
            false => Content::Json(write::message(message)),
        };
    };
    let value = message.get_field(field);
    match value.as_ref() {
        Value::Message(inner) if is_http_body(inner) => Content::Bytes(attachment(inner, headers(message))),
        value => Content::Json(write::field(field, value)),
    }
}

fn is_http_body(message: &DynamicMessage) -> bool {
    message.descriptor().full_name() == "google.api.HttpBody"
}

fn attachment(body: &DynamicMessage, headers: Vec<(String, String)>) -> Attachment {
    let content_type = body.get_field_by_name("content_type").and_then(|v| v.as_str().map(str::to_owned));
    let data = body.get_field_by_name("data").and_then(|v| v.as_bytes().cloned());
    Attachment { content_type: content_type.unwrap_or_default(), data: data.unwrap_or_default(), headers }
}

fn headers(message: &DynamicMessage) -> Vec<(String, String)> {
    let texts = message.fields().filter(|(field, _)| field.kind() == Kind::String && !field.is_list());
    texts
        .filter_map(|(field, value)| {
            Some((format!("keywright-{}", field.name().replace('_', "-")), value.as_str()?.to_owned()))
        })
        .collect()
}
