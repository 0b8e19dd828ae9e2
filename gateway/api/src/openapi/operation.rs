//! One route as an operation.

use super::{comments, errors, schema::Schemas};
use crate::{
    routes::{BodyRule, Route},
    transcode::{self, is_well_known},
};
use http::Method;
use keywright_proto::AuditClass;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

/// `nth`: an RPC's further bindings need operation ids of their own.
pub fn operation(route: &Route, nth: usize, schemas: &mut Schemas) -> Value {
    let method = &route.rpc.method;
    let comment = comments::comment(&method.parent_file(), method.path());
    let mut name = lower_first(method.name());
    if nth > 1 {
        name.push_str(&nth.to_string());
    }
    let mut responses = errors::responses(route, &comment);
    responses.insert("200".to_owned(), answer(route, schemas));
    if transcode::if_none_match(route).is_some() {
        let description = "The file is the one of `If-None-Match`.";
        responses.insert("304".to_owned(), json!({ "description": description }));
    }
    let mut operation = json!({
        "operationId": name,
        "tags": [method.parent_service().name()],
        "summary": comments::summary(&comment),
        "description": comment,
        "parameters": parameters(route, schemas),
        "responses": responses,
    });
    if let Value::Object(object) = &mut operation {
        if let Some(body) = request_body(route, schemas) {
            object.insert("requestBody".to_owned(), body);
        }
        if route.rpc.rule.audit_class == AuditClass::Public {
            object.insert("security".to_owned(), json!([]));
        }
    }
    operation
}

fn parameters(route: &Route, schemas: &mut Schemas) -> Vec<Value> {
    let mut parameters = Vec::new();
    for variable in route.template.variables() {
        if let Some(field) = variable.fields.last() {
            parameters.push(parameter("path", &variable.json_path(), field, true, schemas));
        }
    }
    let in_path: Vec<String> = route.template.variables().map(|variable| variable.json_path()).collect();
    let in_body = match &route.body {
        BodyRule::Whole if route.method != Method::DELETE => return parameters,
        BodyRule::Field(field) => Some(field.clone()),
        _ => None,
    };
    // What a DELETE takes as a body it takes as a query too: nothing of it is required there.
    let required = route.body == BodyRule::None;
    let mut queries = Vec::new();
    query_fields(&route.rpc.method.input(), "", 0, &mut queries);
    for (path, field) in queries {
        let taken = in_path.contains(&path) || in_body.as_ref() == Some(&field);
        if transcode::if_none_match(route).as_ref() == Some(&field) {
            parameters.push(parameter("header", "If-None-Match", &field, false, schemas));
        } else if !taken {
            let required = required && super::schema::behaves(&field, "REQUIRED");
            parameters.push(parameter("query", &path, &field, required, schemas));
        }
    }
    parameters
}

/// Every field that a query can name, nested ones by a dotted path.
fn query_fields(
    message: &MessageDescriptor,
    prefix: &str,
    depth: usize,
    found: &mut Vec<(String, FieldDescriptor)>,
) {
    for field in message.fields() {
        let path = if prefix.is_empty() {
            field.json_name().to_owned()
        } else {
            format!("{prefix}.{}", field.json_name())
        };
        match field.kind() {
            _ if field.is_map() => {}
            Kind::Message(inner) if !is_well_known(&inner) => {
                if !field.is_list() && depth < 4 {
                    query_fields(&inner, &path, depth + 1, found);
                }
            }
            _ => found.push((path, field)),
        }
    }
}

fn parameter(
    place: &str,
    name: &str,
    field: &FieldDescriptor,
    required: bool,
    schemas: &mut Schemas,
) -> Value {
    let comment = comments::comment(&field.parent_file(), field.path());
    json!({
        "name": name,
        "in": place,
        "required": required,
        "description": comment,
        "schema": schemas.plain(field),
    })
}

fn request_body(route: &Route, schemas: &mut Schemas) -> Option<Value> {
    let schema = match &route.body {
        BodyRule::None => return None,
        BodyRule::Field(field) => schemas.plain(field),
        BodyRule::Whole => {
            let in_path: Vec<&str> = route
                .template
                .variables()
                .filter(|variable| variable.fields.len() == 1)
                .filter_map(|variable| variable.fields.first().map(FieldDescriptor::name))
                .collect();
            schemas.request(&route.rpc.method.input(), &in_path)
        }
    };
    Some(json!({
        "required": route.method != Method::DELETE && schemas.needs_something(&schema),
        "content": { "application/json": { "schema": schema } },
    }))
}

fn answer(route: &Route, schemas: &mut Schemas) -> Value {
    let output = route.rpc.method.output();
    let schema = match &route.response_body {
        Some(field) => schemas.plain(field),
        None => schemas.of_message(&output),
    };
    let is_bytes = |kind: &Kind| matches!(kind, Kind::Message(m) if m.full_name() == "google.api.HttpBody");
    if route.response_body.as_ref().is_some_and(|field| is_bytes(&field.kind())) {
        return download(&output);
    }
    if route.rpc.method.is_server_streaming() {
        return json!({
            "description": "Server-sent events: the data of a `snapshot` is this schema as JSON, that of an `error` a Status.",
            "content": { "text/event-stream": { "schema": event(schema) } },
        });
    }
    json!({
        "description": comments::comment(&output.parent_file(), output.path()),
        "content": { "application/json": { "schema": schema } },
    })
}

/// One server-sent event, as a reader of them has it: its data is JSON in a text.
fn event(snapshot: Value) -> Value {
    json!({
        "type": "object",
        "description": "One event.",
        "properties": {
            "id": { "type": "string", "description": "Counts the snapshots of the stream." },
            "event": { "type": "string", "enum": ["snapshot", "error"] },
            "data": { "type": "string", "contentMediaType": "application/json", "contentSchema": snapshot },
        },
        "required": ["event", "data"],
    })
}

/// A file; the other fields of the response are headers.
fn download(output: &MessageDescriptor) -> Value {
    let mut headers = Map::new();
    for field in output.fields().filter(|field| field.kind() == Kind::String && !field.is_list()) {
        let name = transcode::header_name(&field);
        let description = comments::comment(&field.parent_file(), field.path());
        headers.insert(name, json!({ "description": description, "schema": { "type": "string" } }));
    }
    json!({
        "description": "The file, as an attachment.",
        "headers": headers,
        "content": { "*/*": {} },
    })
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}
