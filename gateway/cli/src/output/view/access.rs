//! Tenants' SSH access.

use serde_json::Value;

use super::{count, rotation, said, table, titled};
use crate::fields::{flag, list as items_of, number, text, texts, time, word};
use crate::output::{Block, facts};

/// What a download is called unless it is told otherwise; the ready-made commands name it too.
pub const KEY_FILE: &str = "tenant-ssh-key.pem";

pub fn list(items: &[Value]) -> Block {
    let header = &[
        "ID",
        "ACCOUNT",
        "STATUS",
        "ACTIVITY",
        "DUE",
        "DOWNLOAD",
        "HOSTS",
        "LAST ROTATED",
        "NEXT ROTATION",
        "GRACE ENDS",
    ];
    table(header, items, |item| {
        vec![
            text(item, "/id").into(),
            text(item, "/account").into(),
            word(item, "/status"),
            word(item, "/activity"),
            word(item, "/due"),
            said(item, "/download"),
            items_of(item, "/hosts").len().to_string(),
            time(item, "/lastRotatedAt"),
            time(item, "/nextRotationAt"),
            time(item, "/graceEndsAt"),
        ]
    })
}

pub fn one(access: &Value) -> Vec<Block> {
    let mut blocks = vec![
        facts([
            ("Access", text(access, "/id").into()),
            ("Tenant", text(access, "/tenantId").into()),
            ("Account", text(access, "/account").into()),
            ("Status", word(access, "/status")),
            ("Activity", word(access, "/activity")),
            ("Due", word(access, "/due")),
            ("Key", key(access)),
            ("Fingerprint", text(access, "/fingerprint").into()),
            ("Download", said(access, "/download")),
            ("Provisioned", time(access, "/createdAt")),
            ("Given up for good", time(access, "/deprovisionedAt")),
            ("Last rotated", time(access, "/lastRotatedAt")),
            ("Next rotation", time(access, "/nextRotationAt")),
            ("Old key valid until", time(access, "/graceEndsAt")),
            ("Last revocation", text(access, "/revocationId").into()),
        ]),
        Block::Text(connect(access)),
        titled("Hosts", lines(access)),
        titled("Last use, by the hosts' logs", uses(items_of(access, "/uses"))),
        titled("Last rotations", rotation::recent(items_of(access, "/recentRotations"))),
    ];
    let tips = texts(access, "/tips");
    if !tips.is_empty() {
        blocks.push(Block::Text(format!("If the connection fails\n  - {}", tips.join("\n  - "))));
    }
    blocks
}

/// What the hosts' logs say of each key.
pub fn uses(uses: &[Value]) -> Block {
    let header = &["VERSION", "SERVER", "EVIDENCE", "LAST USED", "FROM", "READ AT", "LOG SINCE"];
    table(header, uses, |found| {
        vec![
            count(number(found, "/version")),
            text(found, "/serverId").into(),
            word(found, "/evidence"),
            time(found, "/lastUsedAt"),
            text(found, "/sourceAddress").into(),
            time(found, "/readAt"),
            time(found, "/logSince"),
        ]
    })
}

fn key(access: &Value) -> String {
    match number(access, "/version") {
        0 => String::new(),
        version => {
            let made = if flag(access, "/clientMade") { ", made by its holder" } else { "" };
            format!("version {}, {}{made}", count(version), text(access, "/algorithm"))
        }
    }
}

/// How to connect, with real values.
fn connect(access: &Value) -> String {
    let commands: Vec<&str> = items_of(access, "/hosts")
        .iter()
        .map(|host| text(host, "/sshCommand"))
        .filter(|command| !command.is_empty())
        .collect();
    let commands = if commands.is_empty() { vec![text(access, "/sshCommand")] } else { commands };
    if commands.iter().all(|command| command.is_empty()) {
        return String::new();
    }
    format!("Connect\n  chmod 600 {KEY_FILE}\n  {}", commands.join("\n  "))
}

/// One row for each key line on each host.
fn lines(access: &Value) -> Block {
    let mut rows = Vec::new();
    for host in items_of(access, "/hosts") {
        let place = [
            text(host, "/serverName").to_owned(),
            text(host, "/host").to_owned(),
            number(host, "/port").to_string(),
        ];
        let residual = texts(host, "/residualAccess").join(", ");
        let keys = items_of(host, "/lines");
        for line in keys {
            let mut row = place.to_vec();
            row.extend([
                count(number(line, "/version")),
                word(line, "/state"),
                receipt(line),
                text(line, "/graceEnforcedBy").to_owned(),
                residual.clone(),
            ]);
            rows.push(row);
        }
        if keys.is_empty() {
            let mut row = place.to_vec();
            row.extend([String::new(), String::new(), String::new(), String::new(), residual]);
            rows.push(row);
        }
    }
    Block::Grid {
        title: "",
        header: &["SERVER", "HOST", "PORT", "VERSION", "LINE", "LAST PROOF", "GRACE BY", "OTHER ACCESS"],
        rows,
    }
}

fn receipt(line: &Value) -> String {
    match line.pointer("/receipt") {
        Some(receipt) if receipt.is_object() => {
            let verdict = if flag(receipt, "/accepted") { "accepted" } else { "refused" };
            format!("{} {verdict} {}", text(receipt, "/method"), time(receipt, "/provenAt"))
        }
        _ => String::new(),
    }
}

/// `ssh` for each host with the file that was just written.
pub fn ssh_with(access: &Value, file: &str) -> String {
    let account = text(access, "/account");
    let quoted = quote(file);
    let leaves = |host: &&Value| host.pointer("/sshCommand").and_then(Value::as_str) == Some("");
    let commands: Vec<String> = items_of(access, "/hosts")
        .iter()
        .filter(|host| !leaves(host))
        .map(|host| {
            let port = match number(host, "/port") {
                0 | 22 => String::new(),
                port => format!(" -p {port}"),
            };
            format!("ssh -i {quoted}{port} {account}@{}", text(host, "/host"))
        })
        .collect();
    commands.join("\n  ")
}

/// A path for a shell.
fn quote(path: &str) -> String {
    if path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+')) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_command_can_be_pasted() {
        let access = json!({"account": "tenant-k3", "hosts": [
            {"host": "192.0.2.7", "port": 22}, {"host": "192.0.2.9", "port": 22, "sshCommand": ""},
            {"host": "2001:db8::1", "port": 2222}]});
        assert_eq!(
            ssh_with(&access, "my key.pem"),
            "ssh -i 'my key.pem' tenant-k3@192.0.2.7\n  ssh -i 'my key.pem' -p 2222 tenant-k3@2001:db8::1"
        );
    }

    #[test]
    fn a_view_shows_each_line_of_each_host() {
        let access = json!({"id": "acc_1", "account": "tenant-k3", "status": "active", "version": 2,
            "algorithm": "ssh-ed25519", "clientMade": true, "hosts": [{"serverName": "web", "host": "192.0.2.7", "port": 22,
            "sshCommand": "ssh -i tenant-ssh-key.pem tenant-k3@192.0.2.7", "residualAccess": ["PASSWORD"],
            "lines": [{"version": 2, "state": "installed", "receipt": {"method": "LOGIN", "accepted": true,
            "provenAt": "2026-03-01T12:00:00Z"}}, {"version": 1, "state": "expiring", "graceEnforcedBy": "SSHD"}]}],
            "tips": ["Check the firewall."]});
        let text: Vec<String> = one(&access).iter().map(Block::render).collect();
        let text = text.join("\n");
        for part in [
            "version 2, ssh-ed25519, made by its holder",
            "chmod 600 tenant-ssh-key.pem\n  ssh -i tenant-ssh-key.pem tenant-k3@192.0.2.7",
            "LOGIN accepted 2026-03-01 12:00:00 UTC",
            "EXPIRING",
            "SSHD",
            "PASSWORD",
            "Check the firewall.",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
