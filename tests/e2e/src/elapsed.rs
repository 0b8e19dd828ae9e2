//! Time that passes for an access: all that is recorded of it becomes older, since nobody waits for ninety days.
//!
//! Invariant: of Keywright's databases nothing but instants is ever touched, and only here. What hosts and logs have of
//! the time stays as it is.

use std::time::Duration;

use crate::World;
use crate::database::Database;

pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// Which instants a table has, and which of its rows are an access's.
const OF_ACCESS: [(&str, &str, &[&str]); 5] = [
    ("key_version", "access_id = '?'", &["created_at", "promoted_at"]),
    (
        "rotation",
        "access_id = '?'",
        &["created_at", "promoted_at", "grace_ends_at", "grace_extended_at", "finished_at", "next_at"],
    ),
    (
        "rotation_step",
        "rotation_id IN (SELECT id FROM rotation WHERE access_id = '?')",
        &["started_at", "finished_at", "not_before"],
    ),
    ("automatic_try", "access_id = '?'", &["not_before"]),
    ("download_claim", "access_id = '?'", &["created_at", "expires_at", "acknowledged_at"]),
];

/// Everything of these accesses happened so much earlier.
pub async fn older(world: &World, accesses: &[&str], by: Duration) {
    let mut statements = String::new();
    for access in accesses {
        for (table, rows, instants) in OF_ACCESS {
            let earlier = instants.iter().map(|name| format!("{name} = {name} - {}", by.as_micros()));
            let (earlier, rows) = (earlier.collect::<Vec<_>>().join(", "), rows.replace('?', access));
            statements.push_str(&format!("UPDATE {table} SET {earlier} WHERE {rows};\n"));
        }
    }
    change(world, &statements).await;
}

/// So do the challenges that wait to be signed.
pub async fn older_challenges(world: &World, by: Duration) {
    change(world, &format!("UPDATE key_challenge SET expires_at = expires_at - {};", by.as_micros())).await;
}

async fn change(world: &World, statements: &str) {
    let database = Database::of(&world.keywright, world.database.as_deref(), "lifecycle").await;
    database.change(statements.to_owned()).await;
}
