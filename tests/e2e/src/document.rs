//! The OpenAPI document as a list of operations.

use std::collections::BTreeMap;

use keywright_kit::Keywright;
use reqwest::Method;
use serde_json::Value;

/// One method on one path.
#[derive(Debug, Clone)]
pub struct Operation {
    pub method: Method,
    /// With its variables in braces.
    pub template: String,
    pub description: Value,
}

impl Operation {
    /// The names of the path's variables.
    pub fn variables(&self) -> Vec<String> {
        let parts = self.template.split('{').skip(1);
        parts.filter_map(|part| part.split_once('}')).map(|(name, _)| name.to_owned()).collect()
    }

    /// The path with its variables filled; panics on one that is not known.
    pub fn path(&self, values: &BTreeMap<&str, String>) -> String {
        self.variables().iter().fold(self.template.clone(), |path, name| {
            let value = values.get(name.as_str()).unwrap_or_else(|| panic!("no value for {name} of {path}"));
            path.replace(&format!("{{{name}}}"), value)
        })
    }

    pub fn is_watch(&self) -> bool {
        self.template.ends_with("/watch")
    }
}

pub async fn fetch(keywright: &Keywright) -> Value {
    keywright.anonymous().get("/api/openapi.json").await.success()
}

pub fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, description) in item.as_object().unwrap() {
            if let Ok(method @ (Method::GET | Method::POST | Method::PUT | Method::PATCH | Method::DELETE)) =
                Method::from_bytes(method.to_uppercase().as_bytes())
            {
                found.push(Operation {
                    method,
                    template: template.clone(),
                    description: description.clone(),
                });
            }
        }
    }
    found
}
