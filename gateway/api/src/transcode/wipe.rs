//! Overwrites what a request held: private keys and passphrases pass through here.

use prost_reflect::{DynamicMessage, Value};
use serde_json::Value as Json;
use zeroize::Zeroize;

/// Overwrites every string and byte string of a message that has been sent.
pub fn wipe(mut message: DynamicMessage) {
    fields(&mut message);
}

pub(super) fn fields(message: &mut DynamicMessage) {
    for (_, value) in message.fields_mut() {
        self::value(value);
    }
}

fn value(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Message(message) => fields(message),
        Value::List(items) => items.iter_mut().for_each(self::value),
        Value::Map(map) => map.values_mut().for_each(self::value),
        // Shared buffers cannot be written to; the others are numbers.
        _ => {}
    }
}

/// Overwrites every string of a JSON value that was not moved into a message.
pub fn json(mut json: Json) {
    strings(&mut json);
}

fn strings(json: &mut Json) {
    match json {
        Json::String(text) => text.zeroize(),
        Json::Array(items) => items.iter_mut().for_each(strings),
        Json::Object(object) => object.values_mut().for_each(strings),
        _ => {}
    }
}
