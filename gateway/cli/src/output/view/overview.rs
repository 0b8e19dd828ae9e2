//! Tenants with the state of their keys, and exposed keys.

use serde_json::Value;

use super::{access, count, grid, said, table, titled, yes_no};
use crate::fields::{flag, list as items_of, number, text, time, word};
use crate::output::{Block, facts};

pub fn tenants(items: &[Value]) -> Block {
    let header = &[
        "ID",
        "NAME",
        "EXTERNAL ID",
        "STATE",
        "ACCESSES",
        "STATUS",
        "DUE",
        "LAST ROTATED",
        "NEXT ROTATION",
        "EXPOSED",
        "FROZEN",
    ];
    table(header, items, |item| {
        vec![
            text(item, "/tenantId").into(),
            text(item, "/name").into(),
            text(item, "/externalId").into(),
            text(item, "/state").into(),
            number(item, "/accessCount").to_string(),
            said(item, "/status"),
            said(item, "/due"),
            time(item, "/lastRotatedAt"),
            time(item, "/nextRotationAt"),
            count(number(item, "/exposedHosts")),
            yes_no(flag(item, "/frozen")),
        ]
    })
}

pub fn tenant(detail: &Value) -> Vec<Block> {
    vec![
        facts([
            ("Tenant", text(detail, "/overview/tenantId").into()),
            ("Name", text(detail, "/overview/name").into()),
            ("External id", text(detail, "/overview/externalId").into()),
            ("State", text(detail, "/overview/state").into()),
            ("Accesses", number(detail, "/overview/accessCount").to_string()),
            ("Status", said(detail, "/overview/status")),
            ("Due", said(detail, "/overview/due")),
            ("Last rotated", time(detail, "/overview/lastRotatedAt")),
            ("Next rotation", time(detail, "/overview/nextRotationAt")),
            ("Exposed", number(detail, "/overview/exposedHosts").to_string()),
            ("Frozen", yes_no(flag(detail, "/overview/frozen"))),
        ]),
        titled("Accesses", access::list(items_of(detail, "/accesses"))),
        titled("Last errors", errors(items_of(detail, "/accesses"))),
        titled("Exposed", exposures(items_of(detail, "/exposures"))),
    ]
}

/// What the last rotation of each access failed at, or is failing at on a host.
fn errors(accesses: &[Value]) -> Block {
    let mut rows = Vec::new();
    for access in accesses {
        let Some(rotation) = items_of(access, "/recentRotations").first() else { continue };
        let steps = items_of(rotation, "/steps").iter().filter(|step| text(step, "/state") != "done");
        let failed = [rotation].into_iter().chain(steps).filter(|it| !text(it, "/reason").is_empty());
        let row = |at: &Value| {
            vec![
                text(access, "/id").into(),
                text(rotation, "/id").into(),
                word(rotation, "/state"),
                text(at, "/serverId").into(),
                text(at, "/reason").into(),
                text(at, "/message").into(),
            ]
        };
        // Of a rotation that has ended, its own word counts.
        let ended = !text(rotation, "/reason").is_empty();
        rows.extend(failed.take(if ended { 1 } else { usize::MAX }).map(row));
    }
    grid(&["ACCESS", "ROTATION", "STATE", "SERVER", "REASON", "MESSAGE"], rows)
}

pub fn exposures(items: &[Value]) -> Block {
    let header = &[
        "KIND",
        "ACCESS",
        "ACCOUNT",
        "SERVER",
        "EXPOSED FOR",
        "SINCE",
        "TRIES",
        "LAST TRY",
        "WORK",
        "TENANT",
    ];
    table(header, items, |item| {
        vec![
            word(item, "/kind"),
            text(item, "/accessId").into(),
            text(item, "/account").into(),
            match text(item, "/serverName") {
                "" => text(item, "/serverId").into(),
                name => name.into(),
            },
            format!("{} min", number(item, "/exposedMinutes")),
            time(item, "/since"),
            number(item, "/attempts").to_string(),
            text(item, "/reason").into(),
            text(item, "/workId").into(),
            text(item, "/tenantId").into(),
        ]
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tenant_without_an_access_has_no_status() {
        let items = [json!({"tenantId": "ten_1", "name": "Acme", "state": "ACTIVE", "status": "unspecified",
            "due": "unspecified", "accessCount": 0})];
        let text = tenants(&items).render();
        assert!(text.contains("Acme") && !text.contains("UNSPECIFIED"), "{text}");
    }

    #[test]
    fn the_last_errors_say_where_and_why() {
        let waits =
            json!({"serverId": "srv_2", "state": "failed", "reason": "HOST_UNREACHABLE", "message": "Away."});
        let done = json!({"serverId": "srv_1", "state": "done", "reason": "", "message": ""});
        let rotation = |state: &str, reason: &str| {
            json!({"id": "rot_1", "state": state, "reason": reason,
            "message": "Read-only.", "steps": [done, waits]})
        };
        let of = |rotations: Value| errors(&[json!({"id": "acc_1", "recentRotations": rotations})]).render();
        let converging = of(json!([rotation("converging", "")]));
        assert!(converging.contains("srv_2") && converging.contains("HOST_UNREACHABLE"), "{converging}");
        assert!(!converging.contains("srv_1"), "{converging}");
        let failed = of(json!([rotation("failed", "HOST_FILE_READ_ONLY")]));
        assert!(failed.contains("HOST_FILE_READ_ONLY") && !failed.contains("HOST_UNREACHABLE"), "{failed}");
        let mended =
            of(json!([{"id": "rot_2", "state": "succeeded", "reason": ""}, rotation("failed", "X")]));
        assert!(!mended.contains("rot_1"), "{mended}");
    }

    #[test]
    fn an_exposure_names_its_server_and_how_long() {
        let items =
            [json!({"kind": "compromised", "serverId": "srv_1", "serverName": "", "exposedMinutes": 90,
            "reason": "HOST_UNREACHABLE"})];
        let text = exposures(&items).render();
        assert!(text.contains("COMPROMISED") && text.contains("srv_1") && text.contains("90 min"), "{text}");
    }
}
