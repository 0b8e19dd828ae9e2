//! How both databases read a large log: by an index, in its order, never whole.

use super::world::{BEGAN, fill};
use crate::store::{erasure, search};
use keywright_storage::{Db, Dialect};
use sqlx::{AssertSqlSafe, Row};

enum Value {
    Text(&'static str),
    Number(i64),
}

use Value::{Number, Text};

/// The lines of the plan.
async fn plan(db: &Db, text: &str, values: &[Value]) -> String {
    let explain = match db.dialect() {
        Dialect::Sqlite => "EXPLAIN QUERY PLAN ",
        Dialect::Postgres => "EXPLAIN ",
    };
    let mut query = sqlx::query(AssertSqlSafe(format!("{explain}{text}")));
    for value in values {
        query = match value {
            Text(text) => query.bind(*text),
            Number(number) => query.bind(*number),
        };
    }
    let rows = query.fetch_all(db.read()).await.unwrap();
    let column = if db.dialect() == Dialect::Sqlite { 3 } else { 0 };
    rows.iter().map(|row| row.get::<String, _>(column)).collect::<Vec<_>>().join("\n")
}

/// The index of a primary key or a UNIQUE as each database calls it.
fn index(db: &Db, name: &'static str) -> &'static str {
    match (db.dialect(), name) {
        (Dialect::Sqlite, "mention_pkey") => "sqlite_autoindex_mention_1",
        (Dialect::Sqlite, "event_key") => "sqlite_autoindex_event_1",
        (Dialect::Sqlite, "leaf_pkey") => "sqlite_autoindex_leaf_1",
        (_, name) => name,
    }
}

const WHOLE: [&str; 6] =
    ["Seq Scan on", "SCAN event", "SCAN mention", "SCAN leaf", "SCAN clear_value", "SCAN e\n"];
const SORTED: [&str; 2] = ["TEMP B-TREE", "Sort"];

#[tokio::test]
async fn what_walks_the_log_reads_one_index_in_its_order() {
    for log in super::logs().await {
        fill(&log.db, 30_000).await;
        let deep = |value| vec![Number(40_000), Number(0), Number(1_000), Text(value)];
        for (text, values, name) in [
            (search::BY_ACTOR, deep("prn_rare"), "mention_pkey"),
            (search::BY_ACTOR, deep("prn_2"), "mention_pkey"),
            (search::BY_TARGET, deep("srv_rare"), "mention_pkey"),
            (search::BY_TARGET, deep("srv_2"), "mention_pkey"),
            (search::BY_TENANT, deep("ten_rare"), "event_by_tenant"),
            (search::BY_ACTION, deep("tenant.delete"), "event_by_action"),
            (search::BY_ACTION, deep("action.3"), "event_by_action"),
            (search::BY_OUTCOME, deep("denied"), "event_by_outcome"),
            (search::BY_POSITION, vec![Number(40_000), Number(0), Number(1_000)], "event_key"),
            (search::BEFORE, vec![Number(BEGAN + 9_000_000_000)], "event_by_time"),
            (search::ENTERED, vec![Number(59_000), Number(60_000)], "leaf_pkey"),
        ] {
            let plan = plan(&log.db, text, &values).await;
            assert!(plan.contains(index(&log.db, name)), "{text}\n{plan}");
            for word in WHOLE.iter().chain(&SORTED) {
                assert!(!plan.contains(word), "{text}\n{plan}");
            }
        }
    }
}

#[tokio::test]
async fn events_are_read_by_their_positions_and_never_whole() {
    for log in super::logs().await {
        fill(&log.db, 30_000).await;
        let positions = "[40000, 39998, 7, 2]";
        for (tenant, actor) in [("", ""), ("ten_big", "prn_rare"), ("ten_rare", "prn_2")] {
            let values = [
                Text(positions),
                Text(tenant),
                Text(""),
                Text(""),
                Number(i64::MIN),
                Number(i64::MAX),
                Text(actor),
                Text("srv_1"),
                Number(101),
            ];
            let text = match log.db.dialect() {
                Dialect::Sqlite => search::AT_ON_SQLITE,
                Dialect::Postgres => search::AT_ON_POSTGRES,
            };
            let plan = plan(&log.db, text, &values).await;
            assert!(plan.contains(index(&log.db, "event_key")), "{plan}");
            assert!(!WHOLE.iter().any(|word| plan.contains(word)), "{plan}");
        }
        let values = [Text("prn_rare"), Text("actor"), Number(50_000), Number(1_000)];
        let plan = plan(&log.db, erasure::MENTIONING, &values).await;
        assert!(plan.contains(index(&log.db, "mention_pkey")), "{plan}");
    }
}
