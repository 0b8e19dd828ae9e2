//! Through what the servers of a file are reached: a registered server, or another one of the file.
//!
//! Invariant: no server is registered before its jump host, and none without it.

use std::collections::HashMap;
use std::iter;

use serde_json::Value;

use super::{Fate, Row};
use crate::fields;
use crate::import::{Found, Listed, Skipped, is_same_host};

/// How a new server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    /// Through a server that is registered.
    Through {
        id: String,
    },
    /// Through the new server with this number.
    Row(usize),
}

/// Gives the new servers their ways; one whose jump host nobody knows is skipped, and so is what lies behind it.
/// `names`: what the file calls the rows.
pub(super) fn lead(
    mut rows: Vec<Row>,
    names: &HashMap<String, usize>,
    listed: &mut Listed,
    there: &[Value],
) -> Vec<Row> {
    let ways: Vec<Result<Way, String>> =
        rows.iter().map(|row| way(row, &rows, names, &listed.skipped, there)).collect();
    for row in &mut rows {
        if let Some(Ok(way)) = ways.get(row.number) {
            row.way = way.clone();
        }
    }
    let mut led = Vec::new();
    for row in rows {
        match end_of(&ways, row.number) {
            Ok(()) => led.push(row),
            Err(why) => listed.skipped.push(Skipped { entry: row.server.name, why }),
        }
    }
    led
}

/// The positions of new servers, each after its jump host, otherwise in the order of the file.
pub(super) fn in_order(rows: &[Row]) -> Vec<usize> {
    let new = rows.iter().enumerate().filter(|(_, row)| row.fate == Fate::New);
    let mut order: Vec<(usize, usize)> = new.map(|(at, row)| (depth(rows, row), at)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, at)| at).collect()
}

/// The id of its jump host; empty where it is reached directly, `None` where that one was not registered.
pub(super) fn jump_host<'a>(rows: &'a [Row], row: &'a Row) -> Option<&'a str> {
    match &row.way {
        Way::Direct => Some(""),
        Way::Through { id } => Some(id),
        Way::Row(number) => match &rows.iter().find(|it| it.number == *number)?.fate {
            Fate::Registered { id } | Fate::There { id } => Some(id),
            Fate::New | Fate::Failed { .. } => None,
        },
    }
}

/// What becomes of a server whose jump host was not registered.
pub(super) fn blocked(server: &Found) -> Fate {
    let through = server.jump_host.as_deref().unwrap_or_default();
    Fate::Failed {
        reason: "JUMP_HOST_NOT_REGISTERED".to_owned(),
        why: format!("its jump host {through} was not registered"),
    }
}

fn way(
    row: &Row,
    rows: &[Row],
    names: &HashMap<String, usize>,
    skipped: &[Skipped],
    there: &[Value],
) -> Result<Way, String> {
    let Some(through) = row.server.jump_host.as_deref().filter(|_| row.fate == Fate::New) else {
        return Ok(Way::Direct);
    };
    let to = |row: &Row| match &row.fate {
        Fate::There { id } | Fate::Registered { id } => Way::Through { id: id.clone() },
        Fate::New | Fate::Failed { .. } => Way::Row(row.number),
    };
    if let Some(named) = names.get(through).and_then(|number| rows.get(*number)) {
        return Ok(to(named));
    }
    if skipped.iter().any(|it| it.entry == through) {
        return Err(format!("its jump host {through} is not taken over"));
    }
    let registered = |server: &Value| Way::Through { id: fields::text(server, "/id").to_owned() };
    if let Some(named) = there.iter().find(|it| fields::text(it, "/name") == through) {
        return Ok(registered(named));
    }
    // Of several on one host the one with SSH's own port, as `ssh` would take it.
    let odd = |port: i64| port != i64::from(crate::import::SSH);
    let other = |it: &&Row| it.number != row.number && is_same_host(&it.server.host, through);
    let of_file = rows.iter().filter(other);
    if let Some(found) = of_file.min_by_key(|it| odd(i64::from(it.server.port))) {
        return Ok(to(found));
    }
    let of_host = there.iter().filter(|it| is_same_host(fields::text(it, "/host"), through));
    match of_host.min_by_key(|it| odd(fields::number(it, "/port"))) {
        Some(found) => Ok(registered(found)),
        None => {
            Err(format!("its jump host {through} is neither in the file nor registered: register it first"))
        }
    }
}

/// # Errors
/// Why the way from this row leads nowhere.
fn end_of(ways: &[Result<Way, String>], number: usize) -> Result<(), String> {
    let mut at = number;
    for _ in 0..=ways.len() {
        match ways.get(at) {
            Some(Ok(Way::Row(next))) => at = *next,
            Some(Err(why)) if at == number => return Err(why.clone()),
            Some(Err(why)) => return Err(format!("a server on the way to it is not taken over: {why}")),
            Some(Ok(_)) | None => return Ok(()),
        }
    }
    Err("the way to it leads in a circle".to_owned())
}

/// How many new servers stand on the way, with this one.
fn depth(rows: &[Row], row: &Row) -> usize {
    let next = |row: &&Row| match &row.way {
        Way::Row(number) => rows.iter().find(|it| it.number == *number),
        Way::Direct | Way::Through { .. } => None,
    };
    iter::successors(Some(row), next).count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cmd::server::import::judged;

    fn found(name: &str, host: &str, through: Option<&str>) -> Found {
        let jump_host = through.map(str::to_owned);
        Found { name: name.into(), host: host.into(), port: 22, jump_host, ..Found::default() }
    }

    fn there() -> [Value; 2] {
        [
            json!({"id": "srv_1", "name": "gate", "host": "192.0.2.1", "port": 2222}),
            json!({"id": "srv_2", "name": "other", "host": "192.0.2.1", "port": 22}),
        ]
    }

    #[test]
    fn a_jump_host_is_of_the_file_or_registered() {
        let mut listed = Listed {
            found: vec![
                found("inner", "10.0.0.2", Some("middle")),
                found("middle", "10.0.0.1", Some("gate")),
                found("by-host", "10.0.0.3", Some("192.0.2.1")),
                found("middle-too", "10.0.0.1", None),
                found("alias", "10.0.0.4", Some("middle-too")),
                found("lost", "10.0.0.5", Some("nobody")),
                found("behind-lost", "10.0.0.6", Some("lost")),
                found("self", "10.0.0.7", Some("self")),
                found("gate", "192.0.2.1", Some("nobody")),
            ],
            ..Listed::default()
        };
        let rows = judged(&mut listed, &there());
        let ways: Vec<(&str, &Way)> = rows.iter().map(|row| (row.server.name.as_str(), &row.way)).collect();
        let through = |id: &str| Way::Through { id: id.into() };
        assert_eq!(
            ways,
            [
                ("inner", &Way::Row(1)),
                // In the file this is the server that is registered as `other`.
                ("middle", &through("srv_2")),
                ("by-host", &through("srv_2")),
                ("alias", &Way::Row(1)),
                ("gate", &Way::Direct),
            ]
        );
        let order: Vec<&str> = in_order(&rows).into_iter().map(|at| rows[at].server.name.as_str()).collect();
        assert_eq!(order, ["middle", "by-host", "inner", "alias"]);
        let why = |entry: &str| &listed.skipped.iter().find(|it| it.entry == entry).unwrap().why;
        assert!(why("lost").contains("neither in the file nor registered"), "{}", why("lost"));
        assert!(why("behind-lost").contains("on the way"), "{}", why("behind-lost"));
        assert!(why("self").contains("circle"), "{}", why("self"));
        assert_eq!(jump_host(&rows, &rows[0]), None);
        assert_eq!(jump_host(&rows, &rows[1]), Some("srv_2"));
    }

    #[test]
    fn what_is_left_out_of_the_file_is_nobodys_jump_host() {
        let mut listed = Listed {
            found: vec![found("gate", "192.0.2.9", None), found("db", "10.0.0.1", Some("gate"))],
            ..Listed::default()
        };
        // The name is another server's: that one is not what the file means.
        let rows = judged(&mut listed, &there());
        assert!(rows.is_empty());
        assert_eq!(listed.skipped[1].why, "its jump host gate is not taken over");
    }
}
