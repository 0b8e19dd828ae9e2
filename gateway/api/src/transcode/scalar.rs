//! Single values: JSON → protobuf by kind, as the JSON mapping allows.

use super::enums;
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use prost_reflect::{Kind, MapKey, Value};
use serde_json::Value as Json;

/// The value, or what it must be.
pub fn read(kind: &Kind, json: Json) -> Result<Value, String> {
    match (kind, json) {
        (Kind::Bool, Json::Bool(value)) => Ok(Value::Bool(value)),
        (Kind::Bool, _) => Err("must be true or false".to_owned()),
        (Kind::String, Json::String(text)) => Ok(Value::String(text)),
        (Kind::String, _) => Err("must be a string".to_owned()),
        (Kind::Bytes, Json::String(text)) => {
            base64(&text).map(|bytes| Value::Bytes(bytes.into())).ok_or_else(not_base64)
        }
        (Kind::Bytes, _) => Err(not_base64()),
        (Kind::Enum(descriptor), json) => {
            let number = match &json {
                Json::String(text) => enums::number(descriptor, text),
                Json::Number(n) => n
                    .as_i64()
                    .and_then(|n| i32::try_from(n).ok())
                    .filter(|n| descriptor.get_value(*n).is_some()),
                _ => None,
            };
            number.map(Value::EnumNumber).ok_or_else(|| format!("must be one of {}", choices(kind)))
        }
        (Kind::Int32 | Kind::Sint32 | Kind::Sfixed32, json) => {
            integer(&json, i32::MIN, i32::MAX).map(Value::I32)
        }
        (Kind::Int64 | Kind::Sint64 | Kind::Sfixed64, json) => {
            integer(&json, i64::MIN, i64::MAX).map(Value::I64)
        }
        (Kind::Uint32 | Kind::Fixed32, json) => integer(&json, u32::MIN, u32::MAX).map(Value::U32),
        (Kind::Uint64 | Kind::Fixed64, json) => integer(&json, u64::MIN, u64::MAX).map(Value::U64),
        #[allow(clippy::cast_possible_truncation, reason = "a float field holds what a float can")]
        (Kind::Float, json) => float(&json).map(|value| Value::F32(value as f32)),
        (Kind::Double, json) => float(&json).map(Value::F64),
        (Kind::Message(_), _) => Err("must be an object".to_owned()),
    }
}

/// A map's key, which JSON always writes as a string.
pub fn read_key(kind: &Kind, key: String) -> Result<MapKey, String> {
    let json = match (kind, key.as_str()) {
        (Kind::Bool, "true") => Json::Bool(true),
        (Kind::Bool, "false") => Json::Bool(false),
        _ => Json::String(key),
    };
    read(kind, json)?.into_map_key().ok_or_else(|| "is not a key".to_owned())
}

/// A query parameter's text as JSON of the kind.
pub fn from_text(kind: &Kind, text: String) -> Json {
    match (kind, text.as_str()) {
        (Kind::Bool, "true") => Json::Bool(true),
        (Kind::Bool, "false") => Json::Bool(false),
        _ => Json::String(text),
    }
}

fn integer<N>(json: &Json, min: N, max: N) -> Result<N, String>
where
    N: TryFrom<i64> + TryFrom<u64> + std::str::FromStr + std::fmt::Display,
{
    let value = match json {
        Json::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), _, _) => N::try_from(n).ok(),
            (_, Some(n), _) => N::try_from(n).ok(),
            // 1.0 and 1e3 are whole numbers too.
            (_, _, Some(n)) if n.fract() == 0.0 => format!("{n}").parse().ok(),
            _ => None,
        },
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    value.ok_or_else(|| format!("must be a whole number from {min} to {max}"))
}

fn float(json: &Json) -> Result<f64, String> {
    let value = match json {
        Json::Number(n) => n.as_f64(),
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            other => other.parse().ok().filter(|n: &f64| n.is_finite()),
        },
        _ => None,
    };
    value.ok_or_else(|| "must be a number".to_owned())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    [BASE64, BASE64URL, BASE64_NOPAD, BASE64URL_NOPAD]
        .iter()
        .find_map(|form| form.decode(text.as_bytes()).ok())
}

fn not_base64() -> String {
    "must be base64".to_owned()
}

fn choices(kind: &Kind) -> String {
    let Kind::Enum(descriptor) = kind else { return String::new() };
    let names: Vec<String> = descriptor
        .values()
        .filter(|value| value.number() != 0)
        .map(|value| enums::rest_name(&value))
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_keep_their_range() {
        for (json, expected) in [
            (json!(7), Some(7)),
            (json!("7"), Some(7)),
            (json!(7.0), Some(7)),
            (json!(-2_147_483_648_i64), Some(i32::MIN)),
            (json!(2_147_483_648_i64), None),
            (json!(1e30), None),
            (json!(7.5), None),
            (json!("7.5"), None),
            (json!(""), None),
            (json!(true), None),
            (json!([7]), None),
        ] {
            assert_eq!(read(&Kind::Int32, json.clone()).ok(), expected.map(Value::I32), "{json}");
        }
        assert_eq!(read(&Kind::Uint64, json!(u64::MAX)).unwrap(), Value::U64(u64::MAX));
        assert_eq!(read(&Kind::Int64, json!("-9223372036854775808")).unwrap(), Value::I64(i64::MIN));
        assert!(read(&Kind::Uint32, json!(-1)).is_err());
        assert_eq!(read(&Kind::Double, json!("Infinity")).unwrap(), Value::F64(f64::INFINITY));
        assert!(read(&Kind::Double, json!("inf")).is_err());
    }

    #[test]
    fn other_kinds_take_only_their_own() {
        assert!(read(&Kind::String, json!(7)).is_err());
        assert!(read(&Kind::Bool, json!("true")).is_err());
        for text in ["+/8=", "-_8=", "+/8", "-_8"] {
            assert_eq!(
                read(&Kind::Bytes, json!(text)).unwrap(),
                Value::Bytes(vec![0xfb, 0xff].into()),
                "{text}"
            );
        }
        assert!(read(&Kind::Bytes, json!("*")).is_err());
        assert_eq!(read_key(&Kind::Int32, "7".into()).unwrap(), MapKey::I32(7));
        assert_eq!(read_key(&Kind::Bool, "true".into()).unwrap(), MapKey::Bool(true));
        assert!(read_key(&Kind::Int32, "x".into()).is_err());
    }
}
