//! Reading fields of a REST answer by JSON pointer. An absent field is empty, never an error: an older gateway may
//! not know it.

use serde_json::Value;

/// The text at a pointer; empty if absent.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a pointer; 0 if absent.
pub fn number(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// The number of 64 bits at a pointer, which protobuf JSON writes as text; `None` if it is absent or none.
pub fn long(value: &Value, pointer: &str) -> Option<u64> {
    match value.pointer(pointer)? {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    }
}

/// The flag at a pointer; false if absent.
pub fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

/// The list at a pointer; empty if absent.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The texts of the list at a pointer.
pub fn texts<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    list(value, pointer).iter().filter_map(Value::as_str).collect()
}

/// The enum value at a pointer as the documentation writes it: in upper case.
pub fn word(value: &Value, pointer: &str) -> String {
    text(value, pointer).to_uppercase()
}

/// The instant at a pointer, readable, in UTC; empty if absent.
pub fn time(value: &Value, pointer: &str) -> String {
    let raw = text(value, pointer);
    match raw.parse::<jiff::Timestamp>() {
        Ok(instant) => instant.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => raw.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_readable_utc() {
        let value = json!({"at": "2026-03-01T12:30:05.250Z", "odd": "soon", "none": null});
        assert_eq!(time(&value, "/at"), "2026-03-01 12:30:05 UTC");
        assert_eq!(time(&value, "/odd"), "soon");
        assert_eq!(time(&value, "/none"), "");
    }

    #[test]
    fn long_numbers_are_texts_or_numbers() {
        let value = json!({"size": "9007199254740993", "small": 3, "none": ""});
        assert_eq!(long(&value, "/size"), Some(9_007_199_254_740_993));
        assert_eq!(
            (long(&value, "/small"), long(&value, "/none"), long(&value, "/x")),
            (Some(3), None, None)
        );
    }

    #[test]
    fn absent_is_empty() {
        let value = json!({"state": "removal_pending"});
        assert_eq!(word(&value, "/state"), "REMOVAL_PENDING");
        assert_eq!(text(&value, "/nothing/here"), "");
        assert!(list(&value, "/hosts").is_empty());
    }
}
