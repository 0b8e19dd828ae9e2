//! How servers are, and how that changed.

use serde_json::Value;

use super::{said, spoken, table};
use crate::fields::{text, time};
use crate::output::{Block, facts};

pub fn list(items: &[Value]) -> Block {
    let header =
        &["SERVER", "NAME", "TENANT", "STATUS", "SINCE", "CHECK", "REASON", "CHECKED", "EVERY", "SKIPPED"];
    table(header, items, |item| {
        vec![
            text(item, "/serverId").into(),
            text(item, "/serverName").into(),
            text(item, "/tenantId").into(),
            said(item, "/status"),
            time(item, "/since"),
            text(item, "/failedCheck").into(),
            text(item, "/reason").into(),
            time(item, "/checkedAt"),
            spoken(text(item, "/interval")),
            text(item, "/skippedReason").into(),
        ]
    })
}

pub fn one(heartbeat: &Value) -> Vec<Block> {
    vec![facts([
        ("Server", text(heartbeat, "/serverId").into()),
        ("Name", text(heartbeat, "/serverName").into()),
        ("Tenant", text(heartbeat, "/tenantId").into()),
        ("Status", status(heartbeat)),
        ("Check", text(heartbeat, "/failedCheck").into()),
        ("Reason", text(heartbeat, "/reason").into()),
        ("Since", time(heartbeat, "/since")),
        ("Checked", time(heartbeat, "/checkedAt")),
        ("Heartbeat", every(heartbeat)),
        ("Next", time(heartbeat, "/nextAt")),
        ("Skipped", text(heartbeat, "/skippedReason").into()),
    ])]
}

pub fn changes(items: &[Value]) -> Block {
    table(&["CHANGED", "FROM", "FROM REASON", "TO", "TO REASON", "TEST"], items, |item| {
        vec![
            time(item, "/changedAt"),
            said(item, "/from"),
            text(item, "/fromReason").into(),
            said(item, "/to"),
            text(item, "/toReason").into(),
            text(item, "/testId").into(),
        ]
    })
}

fn status(heartbeat: &Value) -> String {
    match said(heartbeat, "/status") {
        none if none.is_empty() => "not tested yet".to_owned(),
        status => status,
    }
}

fn every(heartbeat: &Value) -> String {
    match text(heartbeat, "/interval") {
        "" => "none".to_owned(),
        span => format!("every {}", spoken(span)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_that_was_never_tested_says_so() {
        let new = json!({"serverId": "srv_1", "interval": "300s", "status": "unspecified", "since": null});
        let text = one(&new)[0].render();
        assert!(text.contains("not tested yet") && text.contains("every 5m"), "{text}");
        let text = one(&json!({"serverId": "srv_1", "status": "healthy"}))[0].render();
        assert!(text.contains("HEALTHY") && text.contains("none"), "{text}");
    }

    #[test]
    fn a_list_says_what_is_down_and_why() {
        let items = [
            json!({"serverId": "srv_1", "interval": "3600s", "status": "unreachable", "failedCheck": "tcp",
                "reason": "CONNECTION_REFUSED", "since": "2026-03-01T12:00:00Z"}),
            json!({"serverId": "srv_2", "interval": "90s", "status": "unspecified",
                "skippedReason": "BINDING_NOT_FOUND"}),
        ];
        let text = list(&items).render();
        for part in ["UNREACHABLE", "2026-03-01 12:00:00 UTC", "CONNECTION_REFUSED", "1h", "90s"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("BINDING_NOT_FOUND") && !text.contains("UNSPECIFIED"), "{text}");
    }

    #[test]
    fn a_change_says_from_what_to_what() {
        let change = json!({"testId": "ctest_1", "changedAt": "2026-03-01T12:00:00Z", "from": "healthy",
            "fromReason": "", "to": "unreachable", "toReason": "CONNECTION_REFUSED"});
        let text = changes(&[change]).render();
        assert!(text.contains("HEALTHY  -") && text.contains("CONNECTION_REFUSED  ctest_1"), "{text}");
    }
}
