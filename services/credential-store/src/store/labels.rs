//! Labels in their one text column.

use keywright_storage::Error;
use std::collections::BTreeMap;

pub fn encode(labels: &BTreeMap<String, String>) -> String {
    serde_json::to_string(labels).unwrap_or_else(|_| "{}".to_owned())
}

pub fn decode(text: &str) -> Result<BTreeMap<String, String>, Error> {
    serde_json::from_str(text).map_err(|_| Error::Corrupt("labels".to_owned()))
}
