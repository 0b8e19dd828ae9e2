//! The verdicts as a page shows them.

use keywright_proto::Exposure;

use super::verdict::Verdict;
use crate::rpc::Rpc;

/// What one role is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub own: Verdict,
    /// On another tenant's object; none where the role is bound to no tenant or the RPC names no object.
    pub other: Option<Verdict>,
}

#[derive(Debug)]
pub struct Row {
    pub rpc: Rpc,
    /// What everybody is told of it at the gateway, where it is not for the gateway.
    pub at_gateway: Option<Verdict>,
    pub cells: Vec<Cell>,
}

/// Two tables of Markdown: what the gateway carries, and what is reached at a service's own port.
pub fn page(roles: &[&str], rows: &[Row]) -> String {
    let mut page = String::from("### Through the gateway\n\n");
    let (outside, inside): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.at_gateway.is_none());
    page.push_str(&table(roles, &outside, false));
    page.push_str("\n### At a service's own port\n\n");
    page.push_str(&table(roles, &inside, true));
    page
}

fn table(roles: &[&str], rows: &[&Row], inside: bool) -> String {
    let mut header = vec!["RPC", "action"];
    if inside {
        header.extend(["for", "at the gateway"]);
    }
    header.extend(roles);
    let mut text = line(&header.iter().map(ToString::to_string).collect::<Vec<_>>());
    text.push_str(&line(&vec!["---".to_owned(); header.len()]));
    for row in rows {
        let mut cells = vec![row.rpc.name(), format!("`{}`", row.rpc.rule.action)];
        if let Some(verdict) = row.at_gateway {
            let whom = if row.rpc.rule.exposure == Exposure::Platform { "programs" } else { "services" };
            cells.extend([whom.to_owned(), verdict.to_string()]);
        }
        cells.extend(row.cells.iter().map(shown));
        text.push_str(&line(&cells));
    }
    text
}

fn shown(cell: &Cell) -> String {
    match cell.other {
        Some(other) if other != cell.own => format!("{} / {other}", cell.own),
        _ => cell.own.to_string(),
    }
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// The lines that differ, with a sign before each.
pub fn difference(before: &str, now: &str) -> String {
    let (before, now): (Vec<&str>, Vec<&str>) = (before.lines().collect(), now.lines().collect());
    let gone = before.iter().filter(|line| !now.contains(line)).map(|line| format!("- {line}\n"));
    let new = now.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}\n"));
    gone.chain(new).collect()
}
