//! Revocations. The words here are chosen: an unreachable host is never called revoked, and while other ways in
//! remain nothing says just "revoked".

use serde_json::Value;

use super::yes_no;
use crate::fields::{flag, list as items_of, number, text, texts, time, word};
use crate::output::{Block, facts};

pub fn one(revocation: &Value) -> Vec<Block> {
    let mut blocks = vec![facts([
        ("Revocation", text(revocation, "/id").into()),
        ("Access", text(revocation, "/accessId").into()),
        ("State", word(revocation, "/state")),
        ("Compromised", yes_no(flag(revocation, "/compromised"))),
        ("Requested", time(revocation, "/requestedAt")),
        ("Proven everywhere", time(revocation, "/finishedAt")),
        ("Comment", text(revocation, "/comment").into()),
    ])];
    let hosts = items_of(revocation, "/hosts");
    if !hosts.is_empty() {
        let lines: Vec<String> = hosts.iter().map(host_lines).collect();
        blocks.push(Block::Text(format!("Hosts\n{}", lines.join("\n"))));
    }
    blocks.push(Block::Text(summary(revocation)));
    blocks
}

/// Whether every host was proven to refuse the keys.
pub fn is_proven(revocation: &Value) -> bool {
    word(revocation, "/state") == "SUCCEEDED"
        && items_of(revocation, "/hosts").iter().all(|host| word(host, "/state") == "REMOVED_PROVEN")
}

/// One sentence that claims no more than is proven.
pub fn summary(revocation: &Value) -> String {
    let hosts = items_of(revocation, "/hosts");
    let open = hosts.iter().filter(|host| word(host, "/state") != "REMOVED_PROVEN").count();
    let residual = hosts.iter().filter(|host| !texts(host, "/residualAccess").is_empty()).count();
    let mut text = if open > 0 {
        format!(
            "Download and signing have stopped. {open} of {} hosts not proven yet: the keys may still work there. \
             Keywright keeps trying.",
            hosts.len()
        )
    } else if !is_proven(revocation) {
        "Download and signing have stopped. No host is proven yet; Keywright keeps trying.".into()
    } else if residual == 0 {
        return "SSH access revoked: every host was proven to refuse the keys.".into();
    } else {
        "The keys are revoked: every host was proven to refuse them.".into()
    };
    if residual > 0 {
        text.push_str(&format!(
            " Other ways into the account remain on {residual} of {} hosts; they are listed above and are not \
             Keywright's to close.",
            hosts.len()
        ));
    }
    text
}

/// `REMOVED_PROVEN at T`, or `exposed for N minutes`.
pub fn host_line(host: &Value) -> String {
    let name = match text(host, "/serverName") {
        "" => text(host, "/serverId"),
        name => name,
    };
    let exposed = number(host, "/exposedMinutes");
    let minutes = if exposed == 1 { "1 minute".into() } else { format!("{exposed} minutes") };
    if word(host, "/state") == "REMOVED_PROVEN" {
        return format!("{name}: REMOVED_PROVEN at {} (was exposed for {minutes})", time(host, "/provenAt"));
    }
    let mut line = format!("{name}: exposed for {minutes} ({})", word(host, "/state"));
    let reason = text(host, "/reason");
    if !reason.is_empty() {
        line.push_str(&format!(", last try: {reason}"));
    }
    line
}

/// The host's line and what was found there.
fn host_lines(host: &Value) -> String {
    let mut lines = format!("  {}", host_line(host));
    let found = [
        ("sessions ended", text(host, "/sessionsEnded").to_owned()),
        ("residual access", texts(host, "/residualAccess").join(", ")),
        ("remaining processes", texts(host, "/remainingProcesses").join(", ")),
        ("crontabs", texts(host, "/crontabs").join(", ")),
    ];
    for (what, value) in found {
        if !value.is_empty() {
            lines.push_str(&format!("\n    {what}: {value}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revocation(state: &str, hosts: &[Value]) -> Value {
        json!({"id": "rev_1", "state": state, "hosts": hosts})
    }

    fn proven(residual: &[&str]) -> Value {
        json!({"serverId": "srv_1", "serverName": "web", "state": "REMOVED_PROVEN",
            "provenAt": "2026-03-01T12:00:00Z", "exposedMinutes": 1, "sessionsEnded": "2", "residualAccess": residual})
    }

    fn open() -> Value {
        json!({"serverId": "srv_2", "serverName": "db", "state": "REMOVAL_PENDING", "exposedMinutes": 7,
            "reason": "HOST_UNREACHABLE", "residualAccess": []})
    }

    #[test]
    fn proven_everywhere_and_nothing_else_is_revoked() {
        let text = summary(&revocation("succeeded", &[proven(&[])]));
        assert_eq!(text, "SSH access revoked: every host was proven to refuse the keys.");
    }

    #[test]
    fn other_ways_in_are_never_left_out() {
        let text = summary(&revocation("succeeded", &[proven(&["PASSWORD"])]));
        assert!(!text.to_lowercase().contains("access revoked"), "{text}");
        assert!(text.contains("Other ways into the account remain on 1 of 1 hosts"), "{text}");
    }

    #[test]
    fn an_unreachable_host_is_not_called_revoked() {
        let text = summary(&revocation("running", &[proven(&[]), open()]));
        assert!(!text.contains("revoked"), "{text}");
        assert!(text.contains("1 of 2 hosts not proven yet"), "{text}");
        assert_eq!(
            host_line(&open()),
            "db: exposed for 7 minutes (REMOVAL_PENDING), last try: HOST_UNREACHABLE"
        );
        assert_eq!(
            host_line(&proven(&[])),
            "web: REMOVED_PROVEN at 2026-03-01 12:00:00 UTC (was exposed for 1 minute)"
        );
    }
}
