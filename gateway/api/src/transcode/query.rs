//! Query parameters → message: dotted for nested fields, repeated for lists.

use super::read::{Reader, field_named, join, shortened};
use super::{is_well_known, scalar};
use crate::routes::percent_decode;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};

/// Sets every parameter of `query` in `message`.
pub fn apply(reader: &mut Reader, message: &mut DynamicMessage, query: &str) {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        match (percent_decode(name, true), percent_decode(text, true)) {
            (Some(name), Some(text)) => {
                let parts: Vec<&str> = name.split('.').collect();
                set(reader, message, &parts, text, "", &shortened(&name));
            }
            _ => reader.fault("", "A query parameter is not UTF-8"),
        }
    }
}

fn set(
    reader: &mut Reader,
    message: &mut DynamicMessage,
    parts: &[&str],
    text: String,
    path: &str,
    whole: &str,
) {
    let Some((first, rest)) = parts.split_first() else { return };
    let Some(field) = field_named(&message.descriptor(), first) else {
        return reader.fault(whole, "is not a parameter of this request");
    };
    let path = join(path, field.json_name());
    if rest.is_empty() {
        return leaf(reader, message, &field, text, &path);
    }
    let nested = matches!(field.kind(), Kind::Message(inner) if !is_well_known(&inner));
    match message.get_field_mut(&field).as_message_mut() {
        Some(inner) if nested => set(reader, inner, rest, text, &path, whole),
        _ => reader.fault(whole, "is not a parameter of this request"),
    }
}

fn leaf(
    reader: &mut Reader,
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    text: String,
    path: &str,
) {
    let object = matches!(field.kind(), Kind::Message(inner) if !is_well_known(&inner));
    if object || field.is_map() {
        return reader.fault(path, "must name one of its fields, as in a.b=value");
    }
    let json = scalar::from_text(&field.kind(), text);
    if field.is_list() {
        let Some(Value::List(mut read)) = reader.field(field, serde_json::Value::Array(vec![json]), path)
        else {
            return;
        };
        if let Some(list) = message.get_field_mut(field).as_list_mut() {
            list.append(&mut read);
        }
        return;
    }
    if !reader.gives(path) {
        return reader.fault(path, "is given twice");
    }
    if let Some(value) = reader.field(field, json, path) {
        reader.set(message, field, value, path);
    }
}
