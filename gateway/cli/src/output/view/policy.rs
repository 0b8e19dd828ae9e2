//! Policies.

use serde_json::Value;

use super::spoken;
use crate::cmd::policy::NAMES;
use crate::fields::{text, texts, time};
use crate::output::{Block, facts, grid};

/// Every setting with its value and origin.
pub fn one(policy: &Value) -> Vec<Block> {
    let row = |(typed, name): &(&str, &str)| {
        let value = shown(name, policy.pointer(&format!("/effective/{name}")));
        vec![(*typed).to_owned(), value, text(policy, &format!("/origins/{name}")).to_owned()]
    };
    let changed = facts([
        ("Changed", time(policy, "/updatedAt")),
        ("By", text(policy, "/updatedBy").to_owned()),
        ("Revision", text(policy, "/revision").to_owned()),
    ]);
    vec![grid(&["SETTING", "VALUE", "ORIGIN"], NAMES.iter().map(row).collect()), changed]
}

fn shown(name: &str, value: Option<&Value>) -> String {
    match (name, value) {
        (_, None | Some(Value::Null)) => String::new(),
        ("maximumAge" | "gracePeriod", Some(Value::String(span))) => spoken(span),
        ("rotationWindow", Some(window)) => {
            let start = text(window, "/start");
            if start.is_empty() {
                return "any".to_owned();
            }
            let days = texts(window, "/weekdays").join(",");
            format!("{days} {start} {}", spoken(text(window, "/length"))).trim().to_owned()
        }
        ("lineOptions", Some(options)) => match texts(options, "/options").join(",") {
            none if none.is_empty() => "none".to_owned(),
            some => some,
        },
        (_, Some(Value::Bool(flag))) => if *flag { "on" } else { "off" }.to_owned(),
        (_, Some(Value::String(word))) => word.clone(),
        (_, Some(other)) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_is_shown_as_it_is_typed() {
        let policy = json!({
            "effective": {
                "maximumAge": "5184000s", "gracePeriod": "43200s", "automaticRotation": true,
                "rotationWindow": { "weekdays": ["sun"], "start": "03:00", "length": "7200s" },
                "lineOptions": { "options": ["restrict"] }, "downloadsPerVersion": 1
            },
            "origins": { "maximumAge": "tenant", "gracePeriod": "platform" },
            "revision": "3"
        });
        let text = one(&policy)[0].render();
        for line in ["maximum-age", "60d", "tenant", "12h", "platform", "sun 03:00 2h", "restrict"] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
