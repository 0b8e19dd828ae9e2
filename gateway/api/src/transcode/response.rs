//! The RPC's response message → what a REST client gets.

use super::write;
use bytes::Bytes;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ReflectMessage, Value,
};
use serde_json::Value as Json;

/// The text of an entity tag; quoted in the header.
const ETAG: &str = "etag";

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
    /// `keywright-claim-id`, and `etag` the header of that name.
    pub headers: Vec<(String, String)>,
    /// The response says by its field `not_modified` that the client has this file: status 304.
    pub not_modified: bool,
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
            true => Content::Bytes(attachment(message, Vec::new(), false)),
            false => Content::Json(write::message(message)),
        };
    };
    let value = message.get_field(field);
    let not_modified = message.get_field_by_name("not_modified").is_some_and(|it| it.as_bool() == Some(true));
    match value.as_ref() {
        Value::Message(inner) if is_http_body(inner) => {
            Content::Bytes(attachment(inner, headers(message), not_modified))
        }
        value => Content::Json(write::field(field, value)),
    }
}

/// Whether the answer of `method`, or each message of its stream, is a file's bytes.
pub fn is_bytes(method: &MethodDescriptor, field: Option<&FieldDescriptor>) -> bool {
    let is_body = |message: &MessageDescriptor| message.full_name() == "google.api.HttpBody";
    match field.map(FieldDescriptor::kind) {
        Some(kind) => kind.as_message().is_some_and(is_body),
        None => is_body(&method.output()),
    }
}

fn is_http_body(message: &DynamicMessage) -> bool {
    message.descriptor().full_name() == "google.api.HttpBody"
}

fn attachment(body: &DynamicMessage, headers: Vec<(String, String)>, not_modified: bool) -> Attachment {
    let content_type = body.get_field_by_name("content_type").and_then(|v| v.as_str().map(str::to_owned));
    let data = body.get_field_by_name("data").and_then(|v| v.as_bytes().cloned());
    let (content_type, data) = (content_type.unwrap_or_default(), data.unwrap_or_default());
    Attachment { content_type, data, headers, not_modified }
}

fn headers(message: &DynamicMessage) -> Vec<(String, String)> {
    let texts = message.fields().filter(|(field, _)| field.kind() == Kind::String && !field.is_list());
    texts
        .filter_map(|(field, value)| {
            let text = value.as_str()?;
            Some(match field.name() {
                ETAG => (header_name(&field), format!("\"{text}\"")),
                _ => (header_name(&field), text.to_owned()),
            })
        })
        .collect()
}

/// The name of a response's field, where it is a header.
pub fn header_name(field: &FieldDescriptor) -> String {
    match field.name() {
        ETAG => ETAG.to_owned(),
        name => format!("keywright-{}", name.replace('_', "-")),
    }
}
