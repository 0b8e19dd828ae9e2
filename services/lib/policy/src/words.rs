//! Words that a policy compares a role or a kind with: one that does not exist makes a policy that never holds, which a
//! validator of strings cannot see.

use cedar_policy::Policy;
use keywright_domain::caller::{PrincipalKind, Role};
use serde_json::Value;

/// What is wrong with the words of a policy.
pub fn unknown(policy: &Policy) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(json) = policy.to_json() {
        walk(&json, &mut found);
    }
    found
}

fn walk(json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Object(object) => {
            for (operator, operands) in object {
                if matches!(operator.as_str(), "==" | "!=" | "contains")
                    && let (Some(left), Some(right)) = (operands.get("left"), operands.get("right"))
                {
                    compare(left, right, found);
                    compare(right, left, found);
                }
                walk(operands, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
        _ => {}
    }
}

fn compare(attribute: &Value, words: &Value, found: &mut Vec<String>) {
    let Some(name) = principals(attribute) else { return };
    let known: Vec<&str> = match name {
        "role" => Role::ALL.iter().map(|role| role.as_str()).collect(),
        "kind" => PrincipalKind::ALL.iter().map(|kind| kind.as_str()).collect(),
        _ => return,
    };
    for word in literals(words).into_iter().filter(|word| !known.contains(word)) {
        found.push(format!("there is no {name} \"{word}\": it is one of {}", known.join(", ")));
    }
}

/// The attribute, where it is one of the principal's.
fn principals(json: &Value) -> Option<&str> {
    let access = json.get(".")?;
    let of = access.get("left")?.get("Var")?.as_str()?;
    (of == "principal").then(|| access.get("attr").and_then(Value::as_str))?
}

fn literals(json: &Value) -> Vec<&str> {
    if let Some(items) = json.get("Set").and_then(Value::as_array) {
        return items.iter().flat_map(literals).collect();
    }
    match json.get("Value") {
        Some(Value::String(word)) => vec![word],
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
