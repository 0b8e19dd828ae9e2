//! Message → JSON.

use super::{enums, is_well_known};
use data_encoding::BASE64;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value};
use serde_json::{Map, Value as Json};

/// All of a message. A field that knows whether it was set (a message, an `optional`, a choice) is left out if not.
pub fn message(message: &DynamicMessage) -> Json {
    if is_well_known(&message.descriptor()) {
        // A value outside its type's range (a timestamp of the year 10000) has no JSON form.
        return serde_json::to_value(message).unwrap_or(Json::Null);
    }
    let mut object = Map::new();
    for field in message.descriptor().fields() {
        if !field.supports_presence() || message.has_field(&field) {
            object.insert(field.json_name().to_owned(), self::field(&field, &message.get_field(&field)));
        }
    }
    Json::Object(object)
}

/// The value of one field.
pub fn field(field: &FieldDescriptor, value: &Value) -> Json {
    let kind = field.kind();
    match (value, &kind) {
        (Value::List(items), kind) => items.iter().map(|item| single(kind, item)).collect(),
        (Value::Map(map), Kind::Message(entry)) => {
            let kind = entry.map_entry_value_field().kind();
            Json::Object(map.iter().map(|(key, value)| (map_key(key), single(&kind, value))).collect())
        }
        (value, kind) => single(kind, value),
    }
}

fn single(kind: &Kind, value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::I32(value) => Json::from(*value),
        Value::U32(value) => Json::from(*value),
        // JavaScript cannot hold them as numbers.
        Value::I64(value) => Json::String(value.to_string()),
        Value::U64(value) => Json::String(value.to_string()),
        Value::F32(value) => float(f64::from(*value)),
        Value::F64(value) => float(*value),
        Value::String(text) => Json::String(text.clone()),
        Value::Bytes(bytes) => Json::String(BASE64.encode(bytes)),
        Value::EnumNumber(number) => match kind {
            Kind::Enum(descriptor) => descriptor
                .get_value(*number)
                .map_or_else(|| Json::from(*number), |value| Json::String(enums::rest_name(&value))),
            _ => Json::from(*number),
        },
        Value::Message(inner) => message(inner),
        // Neither a list nor a map stands inside a list or a map.
        Value::List(_) | Value::Map(_) => Json::Null,
    }
}

fn float(value: f64) -> Json {
    serde_json::Number::from_f64(value).map_or_else(|| Json::String(special(value).to_owned()), Json::Number)
}

fn special(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn map_key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}
