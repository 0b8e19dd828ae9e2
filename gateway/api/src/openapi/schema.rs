//! Messages and enums as JSON schemas.

use super::comments;
use crate::transcode::{is_well_known, rest_name};
use keywright_proto::pool;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value as Proto,
};
use serde_json::{Map, Value, json};

/// The schemas that the document refers to, each made when it is first named.
#[derive(Debug, Default)]
pub struct Schemas {
    made: Map<String, Value>,
}

impl Schemas {
    pub fn finish(self) -> Map<String, Value> {
        self.made
    }

    /// A field as it stands in an answer or a parameter.
    pub fn plain(&mut self, field: &FieldDescriptor) -> Value {
        if let Kind::Message(entry) = field.kind()
            && entry.is_map_entry()
        {
            let values = self.of_kind(&entry.map_entry_value_field().kind());
            return json!({ "type": "object", "additionalProperties": values });
        }
        let single = self.of_kind(&field.kind());
        if field.is_list() { json!({ "type": "array", "items": single }) } else { single }
    }

    /// A whole message.
    pub fn of_message(&mut self, message: &MessageDescriptor) -> Value {
        let name = name_of(message.full_name(), message.name());
        self.object(message, name, &[])
    }

    /// A request's body: the message without the fields that stand in the path.
    pub fn request(&mut self, message: &MessageDescriptor, without: &[&str]) -> Value {
        let name = format!("{}Body", name_of(message.full_name(), message.name()));
        self.object(message, name, without)
    }

    /// Whether an empty object would not do.
    pub fn needs_something(&self, reference: &Value) -> bool {
        let name = reference.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
        name.and_then(|name| self.made.get(name)?.get("required")).is_some()
    }

    fn object(&mut self, message: &MessageDescriptor, name: String, without: &[&str]) -> Value {
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        if self.made.contains_key(&name) {
            return reference;
        }
        // Before its fields: a message may hold itself.
        self.made.insert(name.clone(), Value::Null);
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields().filter(|field| !without.contains(&field.name())) {
            let answers = behaves(&field, "OUTPUT_ONLY");
            if behaves(&field, "REQUIRED") || (answers && !field.supports_presence()) {
                required.push(field.json_name().to_owned());
            }
            properties.insert(field.json_name().to_owned(), self.property(&field));
        }
        let mut schema = json!({
            "type": "object",
            "description": comments::comment(&message.parent_file(), message.path()),
            "properties": properties,
            "additionalProperties": false,
        });
        if let (Value::Object(object), false) = (&mut schema, required.is_empty()) {
            object.insert("required".to_owned(), required.into());
        }
        self.made.insert(name, schema);
        reference
    }

    fn property(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = self.plain(field);
        if let Value::Object(object) = &mut schema {
            let clears =
                field.parent_message().get_field_by_name(&format!("clear_{}", field.name())).is_some();
            if let (true, Some(kind)) = (clears, object.get("type").cloned()) {
                object.insert("type".to_owned(), json!([kind, "null"]));
            }
            let comment = comments::comment(&field.parent_file(), field.path());
            object.insert("description".to_owned(), comment.into());
            if behaves(field, "OUTPUT_ONLY") {
                object.insert("readOnly".to_owned(), true.into());
            }
            if behaves(field, "INPUT_ONLY") {
                object.insert("writeOnly".to_owned(), true.into());
            }
            let redacted =
                field.options().get_field_by_name("debug_redact").and_then(|value| value.as_bool());
            if redacted == Some(true) && field.kind() == Kind::String {
                object.insert("format".to_owned(), "password".into());
            }
        }
        schema
    }

    fn of_kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({ "type": "string", "format": "int64" }),
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "format": "uint64" }),
            Kind::Float => json!({ "type": "number", "format": "float" }),
            Kind::Double => json!({ "type": "number", "format": "double" }),
            Kind::Enum(descriptor) => self.of_enum(descriptor),
            Kind::Message(message) if is_well_known(message) => well_known(message),
            Kind::Message(message) => self.of_message(message),
        }
    }

    fn of_enum(&mut self, descriptor: &EnumDescriptor) -> Value {
        let name = name_of(descriptor.full_name(), descriptor.name());
        let file = descriptor.parent_file();
        let values: Vec<String> = descriptor.values().map(|value| rest_name(&value)).collect();
        let meanings: String = descriptor
            .values()
            .map(|value| format!("\n- `{}`: {}", rest_name(&value), comments::comment(&file, value.path())))
            .collect();
        let description = format!("{}\n{meanings}", comments::comment(&file, descriptor.path()));
        let schema = json!({ "type": "string", "enum": values, "description": description });
        self.made.insert(name.clone(), schema);
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }
}

fn well_known(message: &MessageDescriptor) -> Value {
    match message.name() {
        "Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "Duration" => {
            json!({ "type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$", "examples": ["86400s"] })
        }
        "FieldMask" => json!({ "type": "string" }),
        _ => json!({}),
    }
}

/// Whether `google.api.field_behavior` names it.
pub fn behaves(field: &FieldDescriptor, behavior: &str) -> bool {
    let Some(extension) = pool().get_extension_by_name("google.api.field_behavior") else { return false };
    let options: DynamicMessage = field.options();
    let Kind::Enum(descriptor) = extension.kind() else { return false };
    let Some(number) = descriptor.get_value_by_name(behavior).map(|value| value.number()) else {
        return false;
    };
    options.get_extension(&extension).as_list().is_some_and(|list| list.contains(&Proto::EnumNumber(number)))
}

/// The short name; with its area before it where two areas use the same one.
fn name_of(full_name: &str, name: &str) -> String {
    let messages =
        pool().all_messages().filter(|m| m.name() == name && m.full_name().starts_with("keywright.")).count();
    let enums =
        pool().all_enums().filter(|e| e.name() == name && e.full_name().starts_with("keywright.")).count();
    if messages + enums < 2 {
        return name.to_owned();
    }
    let area = full_name.split('.').nth(1).unwrap_or_default();
    let mut chars = area.chars();
    let first: String = chars.next().map(|c| c.to_ascii_uppercase()).into_iter().collect();
    format!("{first}{}{name}", chars.as_str())
}
