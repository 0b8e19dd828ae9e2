//! Request bodies: what was not given is not sent.

use serde::Serialize;
use serde_json::{Map, Value};

/// A JSON object put together from what was given. Not for secrets: those are borrowed (`crate::cmd::key`).
#[derive(Default, Serialize)]
#[serde(transparent)]
pub struct Body(Map<String, Value>);

impl Body {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn put(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub fn text(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.put(name, value),
            None => self,
        }
    }

    pub fn flag(self, name: &str, value: bool) -> Self {
        if value { self.put(name, true) } else { self }
    }

    pub fn texts(self, name: &str, values: &[String]) -> Self {
        if values.is_empty() { self } else { self.put(name, values.to_vec()) }
    }
}
