//! Texts that people type.

use keywright_runtime::failure::Failure;

/// A name: 1 to 100 characters, without control characters, trimmed.
pub fn name(field: &str, text: &str) -> Result<String, Failure> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 100 || text.chars().any(char::is_control) {
        return Err(Failure::violation(field, "must have 1 to 100 characters"));
    }
    Ok(text.to_owned())
}
