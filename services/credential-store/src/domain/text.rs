//! Short texts that people give: names, users, groups, labels. Each refusal names the field.

use keywright_runtime::failure::Failure;
use std::collections::BTreeMap;

const MAX_NAME: usize = 100;
const MAX_USER: usize = 64;
const MAX_LABELS: usize = 64;
const MAX_LABEL_VALUE: usize = 200;

/// 1 to 100 characters without control characters; spaces at the ends are dropped.
pub fn name(field: &str, text: &str) -> Result<String, Failure> {
    let text = text.trim();
    let count = text.chars().count();
    if count == 0 || count > MAX_NAME || text.chars().any(char::is_control) {
        return Err(Failure::violation(
            field,
            "must have 1 to 100 characters, none of them a control character",
        ));
    }
    Ok(text.to_owned())
}

/// A user to log in as. Empty text is none.
pub fn username(field: &str, text: &str) -> Result<Option<String>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == ':' || c == '/';
    if text.chars().count() > MAX_USER || text.starts_with('-') || text.chars().any(odd) {
        return Err(Failure::violation(field, "must be a user name of at most 64 characters"));
    }
    Ok(Some(text.to_owned()))
}

/// A group's name; `default` where nothing is said.
pub fn group(text: &str) -> Result<String, Failure> {
    if text.trim().is_empty() {
        return Ok("default".to_owned());
    }
    name("group", text)
}

pub fn labels(given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Failure> {
    if given.len() > MAX_LABELS {
        return Err(Failure::violation("labels", "must be at most 64"));
    }
    for (key, value) in &given {
        let key_fits = (1..=MAX_NAME).contains(&key.chars().count()) && !key.chars().any(char::is_control);
        if !key_fits || value.chars().count() > MAX_LABEL_VALUE || value.chars().any(char::is_control) {
            return Err(Failure::violation(
                "labels",
                "must have keys of 1 to 100 and values of at most 200 characters",
            ));
        }
    }
    Ok(given)
}

/// What a list's `search` becomes for `LOWER(..) LIKE .. ESCAPE '!'`.
pub fn search_pattern(text: &str) -> Result<String, Failure> {
    let text = text.trim().to_lowercase();
    if text.chars().count() > MAX_NAME {
        return Err(Failure::violation("search", "must have at most 100 characters"));
    }
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    if !text.is_empty() {
        pattern.push('%');
    }
    Ok(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_finds_its_own_wildcards_only() {
        assert_eq!(search_pattern("").unwrap(), "%");
        assert_eq!(search_pattern(" A_b% ").unwrap(), "%a!_b!%%");
    }

    #[test]
    fn names_and_users_are_checked_with_their_field() {
        assert_eq!(name("name", " web 1 ").unwrap(), "web 1");
        assert!(
            name("name", "").is_err()
                && name("name", "a\nb").is_err()
                && name("name", &"x".repeat(101)).is_err()
        );
        assert_eq!(username("username", "").unwrap(), None);
        assert_eq!(username("username", "deploy").unwrap().as_deref(), Some("deploy"));
        for bad in ["-x", "a b", "a:b", "a\tb", &"u".repeat(65)] {
            assert_eq!(username("username", bad).unwrap_err().violations[0].field, "username");
        }
    }
}
