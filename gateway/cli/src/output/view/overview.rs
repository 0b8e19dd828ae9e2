//! Tenants with the state of their keys, and exposed keys.

use serde_json::Value;

use super::{access, count, table, titled, yes_no};
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
        titled("Exposed", exposures(items_of(detail, "/exposures"))),
    ]
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

/// Empty where there is no access to say it of.
fn said(value: &Value, pointer: &str) -> String {
    Some(word(value, pointer)).filter(|word| word != "UNSPECIFIED").unwrap_or_default()
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
    fn an_exposure_names_its_server_and_how_long() {
        let items =
            [json!({"kind": "compromised", "serverId": "srv_1", "serverName": "", "exposedMinutes": 90,
            "reason": "HOST_UNREACHABLE"})];
        let text = exposures(&items).render();
        assert!(text.contains("COMPROMISED") && text.contains("srv_1") && text.contains("90 min"), "{text}");
    }
}
