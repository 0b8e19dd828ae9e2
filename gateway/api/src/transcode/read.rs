//! JSON → message, walked against the descriptor.

use super::{is_well_known, scalar, wipe};
use crate::ports::Violation;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};
use serde_json::Value as Json;
use std::collections::{BTreeSet, HashMap};

/// More are not listed: nobody reads them, and the answer stays small.
const MAX_VIOLATIONS: usize = 20;
const MAX_KEY_CHARS: usize = 64;

/// Reads one request: collects what is wrong with it and which fields it names.
#[derive(Debug, Default)]
pub struct Reader {
    violations: Vec<Violation>,
    /// The path of every field that the request gave.
    given: BTreeSet<String>,
}

impl Reader {
    pub fn fault(&mut self, field: &str, description: impl Into<String>) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation { field: field.to_owned(), description: description.into() });
        }
    }

    /// Notes that a field was given; false if it was given before.
    pub fn gives(&mut self, path: &str) -> bool {
        self.given.insert(path.to_owned())
    }

    pub fn was_given(&self, path: &str) -> bool {
        self.given.contains(path)
    }

    pub fn finish(self) -> Vec<Violation> {
        self.violations
    }

    /// A JSON object as a message.
    pub fn message(&mut self, descriptor: &MessageDescriptor, json: Json, path: &str) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        let Json::Object(object) = json else {
            self.fault(path, "must be an object");
            return message;
        };
        let mut nulls = Vec::new();
        for (key, json) in object {
            let Some(field) = field_named(descriptor, &key) else {
                self.fault(&join(path, &shortened(&key)), "is not a field of this request");
                wipe::json(json);
                continue;
            };
            let path = join(path, field.json_name());
            if json.is_null() {
                nulls.push(field);
            } else if !self.gives(&path) {
                self.fault(&path, "is given twice");
            } else if let Some(value) = self.field(&field, json, &path) {
                self.set(&mut message, &field, value, &path);
            }
        }
        for field in nulls {
            clear(&mut message, &field);
        }
        message
    }

    /// The value of a field: a list, a map or a single value.
    pub fn field(&mut self, field: &FieldDescriptor, json: Json, path: &str) -> Option<Value> {
        if field.is_map() {
            self.map(field, json, path)
        } else if field.is_list() {
            let Json::Array(items) = json else {
                self.fault(path, "must be an array");
                return None;
            };
            let kind = field.kind();
            let read = items
                .into_iter()
                .enumerate()
                .map(|(i, item)| self.single(&kind, item, &format!("{path}[{i}]")));
            Some(Value::List(read.flatten().collect()))
        } else {
            self.single(&field.kind(), json, path)
        }
    }

    /// Sets a field, unless another one of its `oneof` is set.
    pub fn set(&mut self, message: &mut DynamicMessage, field: &FieldDescriptor, value: Value, path: &str) {
        let taken = field
            .containing_oneof()
            .is_some_and(|oneof| oneof.fields().any(|other| other != *field && message.has_field(&other)));
        if taken {
            self.fault(path, "cannot be given together with another choice");
        } else {
            message.set_field(field, value);
        }
    }

    fn map(&mut self, field: &FieldDescriptor, json: Json, path: &str) -> Option<Value> {
        let Kind::Message(entry) = field.kind() else { return None };
        let Json::Object(object) = json else {
            self.fault(path, "must be an object");
            return None;
        };
        let (keys, values) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut map = HashMap::with_capacity(object.len());
        for (key, json) in object {
            let path = format!("{path}[{:?}]", shortened(&key));
            match scalar::read_key(&keys, key) {
                Err(description) => self.fault(&path, description),
                Ok(key) => {
                    if let Some(value) = self.single(&values, json, &path) {
                        map.insert(key, value);
                    }
                }
            }
        }
        Some(Value::Map(map))
    }

    fn single(&mut self, kind: &Kind, json: Json, path: &str) -> Option<Value> {
        match kind {
            Kind::Message(descriptor) if is_well_known(descriptor) => {
                let read = DynamicMessage::deserialize(descriptor.clone(), json);
                if read.is_err() {
                    self.fault(path, well_known_form(descriptor));
                }
                read.ok().map(Value::Message)
            }
            Kind::Message(descriptor) => Some(Value::Message(self.message(descriptor, json, path))),
            kind => scalar::read(kind, json).map_err(|description| self.fault(path, description)).ok(),
        }
    }
}

/// A field by its JSON name, or as the contract spells it.
pub fn field_named(descriptor: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_json_name(name).or_else(|| descriptor.get_field_by_name(name))
}

pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// An unknown name is repeated in the answer, so it is cut.
pub fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(MAX_KEY_CHARS).collect()
}

/// `null` for a field beside a `clear_…` field sets that one; any other `null` is as good as nothing.
fn clear(message: &mut DynamicMessage, field: &FieldDescriptor) {
    let flag = message.descriptor().get_field_by_name(&format!("clear_{}", field.name()));
    if let Some(flag) = flag.filter(|flag| flag.kind() == Kind::Bool && !flag.is_list()) {
        message.set_field(&flag, Value::Bool(true));
    }
}

fn well_known_form(descriptor: &MessageDescriptor) -> &'static str {
    match descriptor.name() {
        "Timestamp" => "must be an RFC 3339 instant such as 2030-01-31T23:59:59Z",
        "Duration" => "must be a duration in seconds such as 86400s",
        "FieldMask" => "must be field names separated by commas",
        _ => "is not of the right form",
    }
}
