//! One REST request → the RPC's request message.

use super::{json, query, read::Reader, scalar, wipe};
use crate::{
    errors::{self, Refusal},
    ports::Violation,
    routes::{BodyRule, Route, Variable},
};
use http::{HeaderMap, Method, header};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};
use serde_json::Value as Json;

/// The message that `route` wants, from the values of its path, the query and the body.
pub fn message(
    route: &Route,
    values: Vec<String>,
    query: Option<&str>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<DynamicMessage, Refusal> {
    let body = if body.is_empty() { None } else { Some(parse(headers, body)?) };
    let mut reader = Reader::default();
    let input = route.rpc.method.input();
    let mut message = match &route.body {
        BodyRule::Whole => reader.message(&input, body.unwrap_or_else(empty), ""),
        BodyRule::Field(field) => {
            let mut message = DynamicMessage::new(input);
            let path = field.json_name().to_owned();
            if let Some(value) = reader.field(field, body.unwrap_or_else(empty), &path) {
                message.set_field(field, value);
            }
            message
        }
        BodyRule::None => {
            no_body(&mut reader, body.unwrap_or_else(empty));
            DynamicMessage::new(input)
        }
    };
    if let Some(query) = query {
        if route.body != BodyRule::Whole || route.method == Method::DELETE {
            query::apply(&mut reader, &mut message, query);
        } else if !query.is_empty() {
            reader.fault("", "This request takes no query parameters: send them in the body");
        }
    }
    for (variable, value) in route.template.variables().zip(values) {
        path_value(&mut reader, &mut message, variable, value);
    }
    if let (Some(field), Some(known)) = (if_none_match(route), headers.get(header::IF_NONE_MATCH)) {
        message.set_field(&field, Value::String(entity_tags(known.to_str().unwrap_or_default())));
    }
    match reader.finish() {
        violations if violations.is_empty() => Ok(message),
        violations => {
            wipe(message);
            Err(errors::invalid(violations).into())
        }
    }
}

/// A request that can be answered with "as before" has this field; over REST it is the header.
pub fn if_none_match(route: &Route) -> Option<FieldDescriptor> {
    let field = route.rpc.method.input().get_field_by_name("if_none_match");
    field.filter(|field| field.kind() == Kind::String && !field.is_list())
}

/// The entity tags of `If-None-Match`, without quotes and marks of weakness, joined by commas; or `*`.
fn entity_tags(header: &str) -> String {
    let tags = header.split(',').map(|tag| {
        let tag = tag.trim();
        tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
    });
    tags.collect::<Vec<_>>().join(",")
}

fn empty() -> Json {
    Json::Object(serde_json::Map::new())
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Json, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::unsupported_media_type());
    }
    json::parse(body).map_err(|at| {
        let description = format!("The body is not well-formed JSON: line {}, column {}", at.line, at.column);
        errors::invalid(vec![Violation { field: String::new(), description }]).into()
    })
}

/// Some clients send `{}` with everything; anything in it would be ignored, so it is refused.
fn no_body(reader: &mut Reader, body: Json) {
    match &body {
        Json::Object(object) if object.is_empty() => {}
        _ => reader.fault("", "This request takes no body"),
    }
    wipe::json(body);
}

/// Sets what stands in the path. What the body or the query says about the same field must be equal.
fn path_value(reader: &mut Reader, message: &mut DynamicMessage, variable: &Variable, text: String) {
    let Some((last, outer)) = variable.fields.split_last() else { return };
    let path = variable.json_path();
    let json = scalar::from_text(&last.kind(), text);
    let Some(value) = reader.field(last, json, &path) else { return };
    let Some(inner) = descend(message, outer) else { return };
    if reader.was_given(&path) && *inner.get_field(last) != value {
        return reader.fault(&path, "is not what the path says");
    }
    inner.set_field(last, value);
}

fn descend<'a>(message: &'a mut DynamicMessage, outer: &[FieldDescriptor]) -> Option<&'a mut DynamicMessage> {
    let mut inner = message;
    for field in outer {
        inner = inner.get_field_mut(field).as_message_mut()?;
    }
    Some(inner)
}
