//! The audit log as the operator reads it.

use keywright_kit::Keywright;
use serde_json::Value;

use crate::LIMIT;

/// All entries, page by page, newest first.
pub async fn whole(keywright: &Keywright) -> Vec<Value> {
    let (mut events, mut page) = (Vec::new(), String::new());
    loop {
        let answer =
            keywright.get(&format!("/api/audit/events?pageSize=50&pageToken={page}")).await.success();
        events.extend(items(&answer).iter().cloned());
        page = answer["nextPageToken"].as_str().unwrap().to_owned();
        if page.is_empty() {
            return events;
        }
    }
}

/// The first page of what `filter` (`action=…&target=…`) finds, newest first, once none of it waits for its outcome: an
/// outcome follows its intent a little later.
pub async fn settled(keywright: &Keywright, filter: &str) -> Vec<Value> {
    let path = format!("/api/audit/events?{filter}");
    let done = |log: &Value| items(log).iter().all(|entry| entry["outcome"] != "pending");
    items(&keywright.wait_for(&path, LIMIT, done).await).to_vec()
}

fn items(page: &Value) -> &[Value] {
    page["items"].as_array().unwrap()
}
