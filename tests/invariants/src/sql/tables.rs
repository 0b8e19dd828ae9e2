//! Which tables a text creates and which it names. No service reads another's.

/// Words and punctuation, in lower case, with their lines; without comments and quoted text.
fn tokens(sql: &str) -> Vec<(String, usize)> {
    let mut tokens: Vec<(String, usize)> = Vec::new();
    for (index, line) in sql.lines().enumerate() {
        let code = line.split("--").next().unwrap_or_default();
        for (part, text) in code.split('\'').enumerate() {
            if part % 2 == 1 {
                tokens.push(("''".to_owned(), index + 1));
                continue;
            }
            let mut open = false;
            for symbol in text.chars() {
                let word = symbol.is_alphanumeric() || "_.$\"".contains(symbol);
                match tokens.last_mut() {
                    Some((last, _)) if word && open => last.extend(symbol.to_lowercase()),
                    _ if symbol.is_whitespace() => {}
                    _ => tokens.push((symbol.to_lowercase().collect(), index + 1)),
                }
                open = word;
            }
        }
    }
    tokens
}

/// The tables that a migration creates, with their lines.
pub fn created(sql: &str) -> Vec<(String, usize)> {
    let tokens = tokens(sql);
    let words: Vec<&str> = tokens.iter().map(|(word, _)| word.as_str()).collect();
    let mut found = Vec::new();
    for at in 0..words.len() {
        let name = match &words[at..] {
            ["create", "table", "if", "not", "exists", _, ..] => at + 5,
            ["create", "table", _, ..] => at + 2,
            _ => continue,
        };
        found.push(tokens[name].clone());
    }
    found
}

/// What stands where a table does and is none.
const OF_THE_ENGINE: &[&str] = &[
    "select",
    "lateral",
    "pg_stat_activity",
    "json_each",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
];

/// The tables that a text reads or writes; not what it itself defines by WITH.
pub fn named(sql: &str) -> Vec<String> {
    let tokens = tokens(sql);
    let words: Vec<&str> = tokens.iter().map(|(word, _)| word.as_str()).collect();
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    let before = |at: usize| if at == 0 { "" } else { words[at - 1] };
    let defined: Vec<&str> = (0..words.len())
        .filter(|at| word(at + 1) == "as" && word(at + 2) == "(")
        .map(|at| words[at])
        .collect();
    let mut found = Vec::new();
    // The words before the open parentheses: EXTRACT(x FROM y) names no table.
    let mut calls: Vec<&str> = Vec::new();
    for (at, current) in words.iter().copied().enumerate() {
        match current {
            "(" => calls.push(before(at)),
            ")" => drop(calls.pop()),
            "from" if before(at) == "distinct" => {}
            "from" if matches!(calls.last(), Some(&("extract" | "substring" | "trim" | "overlay"))) => {}
            "update" if matches!(before(at), "do" | "for" | "on") => {}
            "from" | "join" | "into" | "update" | "references" => {
                let mut next = at + 1 + usize::from(word(at + 1) == "only");
                loop {
                    found.push(word(next).trim_matches('"').to_owned());
                    let alias =
                        if word(next + 1) == "as" { 2 } else { usize::from(is_alias(word(next + 1))) };
                    // A list of tables goes on after a comma.
                    if current != "from" || word(next + 1 + alias) != "," {
                        break;
                    }
                    next += alias + 2;
                }
            }
            _ => {}
        }
    }
    found.retain(|name| {
        name.starts_with(|first: char| first.is_alphabetic()) && !defined.contains(&name.as_str())
    });
    // The database's own view of its sessions is nobody's table, and neither is a list in a parameter.
    found.retain(|name| !OF_THE_ENGINE.contains(&name.as_str()));
    found.sort();
    found.dedup();
    found
}

fn is_alias(word: &str) -> bool {
    let keyword = [
        "where",
        "join",
        "left",
        "inner",
        "cross",
        "order",
        "group",
        "limit",
        "on",
        "set",
        "union",
        "for",
        "returning",
        "having",
        "values",
        "using",
        "full",
        "right",
        "offset",
        "except",
        "intersect",
        "window",
    ];
    word.starts_with(|first: char| first.is_alphabetic()) && !keyword.contains(&word)
}

/// The highest `$n` of a text.
pub fn placeholders(sql: &str) -> usize {
    let numbers = tokens(sql).into_iter().filter_map(|(word, _)| word.strip_prefix('$')?.parse().ok());
    numbers.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Finding, assert_none};
    use crate::sources;
    use crate::sql::extract::{self, Text};
    use crate::sql::services::services;
    use std::collections::BTreeMap;

    /// What lib/storage creates in every database.
    fn shared() -> Vec<String> {
        let text =
            std::fs::read_to_string(sources::root().join("services/lib/storage/src/shared.rs")).unwrap();
        created(&text.replace('"', " ")).into_iter().map(|(table, _)| table).collect()
    }

    /// A table has one owner; `owners` knows those of the files before.
    fn owned(owners: &mut BTreeMap<String, String>, service: &str, file: &str, sql: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (table, line) in created(sql) {
            let owner = owners.entry(table.clone()).or_insert_with(|| service.to_owned());
            if owner != service {
                findings.push(Finding::new(
                    file,
                    line,
                    format!("the table {table} belongs to {owner} already"),
                ));
            }
        }
        findings
    }

    fn owners() -> (BTreeMap<String, String>, Vec<Finding>) {
        let mut owners: BTreeMap<String, String> =
            shared().into_iter().map(|table| (table, "services/lib/storage/".to_owned())).collect();
        let mut findings = Vec::new();
        for service in services() {
            for (file, sql) in
                sources::files(&format!("{}migrations", service.directory), &|name| name.ends_with(".sql"))
            {
                findings.extend(owned(&mut owners, &service.directory, &file, &sql));
            }
        }
        (owners, findings)
    }

    fn foreign(owners: &BTreeMap<String, String>, directory: &str, texts: &[Text]) -> Vec<Finding> {
        let own = |table: &String| {
            owners.get(table).is_some_and(|owner| owner == directory || owner == "services/lib/storage/")
        };
        let check = |text: &Text| -> Vec<Finding> {
            let others = named(&text.sql).into_iter().filter(|table| !own(table));
            others
                .map(|table| {
                    Finding::new(&text.file, text.line, format!("{table} is no table of {directory}"))
                })
                .collect()
        };
        texts.iter().flat_map(check).collect()
    }

    #[test]
    fn every_table_has_one_owner() {
        let (owners, findings) = owners();
        assert!(owners.len() > 20, "{owners:?}");
        assert_none(findings);
    }

    #[test]
    fn a_second_owner_is_found() {
        let mut owners = BTreeMap::new();
        let sql = "-- CREATE TABLE comment\nCREATE TABLE server (id TEXT);\ncreate table if not exists other (x TEXT)";
        assert_eq!(owned(&mut owners, "services/a/", "a.sql", sql), []);
        assert_eq!(owners.keys().collect::<Vec<_>>(), ["other", "server"]);
        let again = owned(&mut owners, "services/b/", "b.sql", "\nCREATE TABLE server (id TEXT)");
        assert_eq!(again, [Finding::new("b.sql", 2, "the table server belongs to services/a/ already")]);
    }

    #[test]
    fn no_service_names_anothers_table() {
        let (owners, mut findings) = owners();
        let (files, _) = sources::rust(&["services"]);
        for service in services() {
            let store = format!("{}src/store", service.directory);
            let own: Vec<_> = files.iter().filter(|rust| rust.path.starts_with(&store)).collect();
            let (texts, unread) = extract::texts(&own);
            assert!(!texts.is_empty(), "no SQL was found under {store}");
            findings.extend(unread);
            findings.extend(foreign(&owners, &service.directory, &texts));
        }
        assert_none(findings);
    }

    #[test]
    fn anothers_table_is_found_wherever_it_stands() {
        let owners = BTreeMap::from([
            ("mine".to_owned(), "services/a/".to_owned()),
            ("theirs".to_owned(), "services/b/".to_owned()),
            ("outbox".to_owned(), "services/lib/storage/".to_owned()),
        ]);
        let check = |sql: &str| {
            foreign(
                &owners,
                "services/a/",
                &[Text { file: "x.rs".into(), line: 3, sql: sql.into(), binds: None }],
            )
            .len()
        };
        for fine in [
            "SELECT a, b FROM mine m WHERE m.text = 'from theirs' -- from theirs",
            "INSERT INTO mine (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = $1",
            "WITH last AS (SELECT MAX(a) AS a FROM mine) SELECT * FROM last, outbox FOR UPDATE SKIP LOCKED",
            "SELECT EXTRACT(EPOCH FROM at) FROM mine WHERE a IS DISTINCT FROM b",
            "SELECT m.a FROM json_each($1) AS asked JOIN mine m ON m.a = asked.value",
            "UPDATE mine SET a = value ->> 1 FROM jsonb_array_elements(CAST($1 AS jsonb)) WHERE b = value ->> 0",
        ] {
            assert_eq!(check(fine), 0, "{fine}");
        }
        for foreign in [
            "SELECT a FROM theirs",
            "SELECT a FROM mine m\n JOIN theirs t ON t.a = m.a",
            "SELECT a FROM mine AS m, theirs",
            "INSERT INTO theirs (a) VALUES (1)",
            "UPDATE theirs SET a = 1",
            "DELETE FROM theirs",
            "SELECT a FROM mine WHERE a IN (SELECT b FROM theirs)",
            "SELECT t.a FROM json_each($1) AS asked JOIN theirs t ON t.a = asked.value",
            "SELECT a FROM services_b.mine",
        ] {
            assert_eq!(check(foreign), 1, "{foreign}");
        }
    }

    #[test]
    fn every_placeholder_is_bound() {
        let (files, _) = sources::rust(&["services"]);
        let files: Vec<_> = files
            .iter()
            .filter(|rust| rust.path.contains("/src/store") || rust.path.contains("lib/storage/"))
            .collect();
        let (texts, _) = extract::texts(&files);
        assert!(texts.iter().filter(|text| text.binds.is_some()).count() > 50);
        assert_none(unbound(&texts));
    }

    /// SQLite takes NULL for what is not bound, and says nothing.
    fn unbound(texts: &[Text]) -> Vec<Finding> {
        let differs =
            texts.iter().filter(|text| text.binds.is_some_and(|binds| binds != placeholders(&text.sql)));
        differs
            .map(|text| {
                let rule = format!(
                    "{} placeholders, {} values bound",
                    placeholders(&text.sql),
                    text.binds.unwrap_or(0)
                );
                Finding::new(&text.file, text.line, rule)
            })
            .collect()
    }

    #[test]
    fn a_forgotten_value_is_found() {
        let text = |binds| Text {
            file: "x.rs".into(),
            line: 3,
            sql: "UPDATE t SET a = $2 WHERE id = $1".into(),
            binds,
        };
        assert_eq!(unbound(&[text(Some(2)), text(None)]), []);
        assert_eq!(unbound(&[text(Some(1))]), [Finding::new("x.rs", 3, "2 placeholders, 1 values bound")]);
    }
}
