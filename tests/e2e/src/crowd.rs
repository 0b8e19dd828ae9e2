//! A test's own database, filled with thousands of tenants and accesses: rows like those of one that really is there.
//!
//! Invariant: nothing runs on the database meanwhile, and no host knows of these accesses.

use std::fmt::Write;

use keywright_kit::Keywright;

use crate::database::Database;

/// An access alone in its tenant.
#[derive(Debug, Clone)]
pub struct Member {
    /// What ids of its own end with.
    pub key: String,
    /// `{"env":"prod"}`
    pub labels: &'static str,
    pub suspended: bool,
    pub revoked: bool,
    /// Since when its key is in use.
    pub days: u32,
}

impl Member {
    pub fn access(&self) -> String {
        format!("acc_{}", self.key)
    }

    pub fn tenant(&self) -> String {
        format!("ten_{}", self.key)
    }
}

/// So many, as `make` says of the number of each.
pub fn crowd(size: usize, make: impl Fn(usize) -> Member) -> Vec<Member> {
    (0..size)
        .map(|number| {
            // Like the product's own: in no order of time.
            let mut key = Vec::new();
            let mut left = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            for _ in 0..12 {
                key.push(b'a' + (left % 26) as u8);
                left /= 26;
            }
            let key = format!("{}{number:o}", String::from_utf8(key).unwrap());
            let key: String =
                key.chars().map(|c| if c.is_ascii_digit() { char::from(c as u8 + 50) } else { c }).collect();
            Member { key: format!("{key:a<26}"), ..make(number) }
        })
        .collect()
}

/// Each as `access` of `tenant` is, whose ids end with what stands behind their prefix.
pub async fn fill(
    keywright: &Keywright,
    database: Option<&str>,
    crowd: &[Member],
    tenant: &str,
    access: &str,
) {
    let mut people = String::from(
        "CREATE TEMP TABLE crowd (own TEXT PRIMARY KEY, labels TEXT, state TEXT, revoked BIGINT, age BIGINT);\n",
    );
    for some in crowd.chunks(500) {
        people.push_str("INSERT INTO crowd VALUES ");
        for (place, member) in some.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            let state = if member.suspended { "suspended" } else { "active" };
            let age = u64::from(member.days) * 86_400_000_000;
            let Member { key, labels, revoked, .. } = member;
            write!(people, "{comma}('{key}', '{labels}', '{state}', {}, {age})", u8::from(*revoked)).unwrap();
        }
        people.push_str(";\n");
    }
    let copy = |table: &str, whose: &str, changes: &str| {
        format!(
            "CREATE TEMP TABLE copied AS SELECT t.*, c.own AS c_own, c.labels AS c_labels, c.state AS c_state,
                    c.revoked AS c_revoked, c.age AS c_age FROM {table} t CROSS JOIN crowd c WHERE {whose};
             UPDATE copied SET {changes};
             ALTER TABLE copied DROP COLUMN c_own; ALTER TABLE copied DROP COLUMN c_labels;
             ALTER TABLE copied DROP COLUMN c_state; ALTER TABLE copied DROP COLUMN c_revoked;
             ALTER TABLE copied DROP COLUMN c_age;
             INSERT INTO {table} SELECT * FROM copied; DROP TABLE copied;\n"
        )
    };
    let own = |column: &str| format!("{column} = substr({column}, 1, length({column}) - 26) || c_own");
    let tenants = copy(
        "tenant",
        &format!("t.id = '{tenant}'"),
        &format!(
            "{}, name = 'Tenant ' || c_own, labels = c_labels, state = c_state, created_at = created_at - c_age",
            own("id")
        ),
    );
    let directory = Database::of(keywright, database, "credential").await;
    directory.change(format!("{people}{tenants}")).await;

    let accesses = [
        copy(
            "access",
            &format!("t.id = '{access}'"),
            &format!(
                "{}, {}, {}, account = 'u' || c_own, created_at = created_at - c_age,
                 revoked_at = CASE WHEN c_revoked = 1 THEN created_at END",
                own("id"),
                own("tenant_id"),
                own("credential_id")
            ),
        ),
        copy("access_host", &format!("t.access_id = '{access}'"), &own("access_id")),
        copy(
            "host_account",
            &format!("t.access_id = '{access}'"),
            &format!("{}, account = 'u' || c_own", own("access_id")),
        ),
        copy(
            "key_version",
            &format!("t.access_id = '{access}' AND t.state = 'ACTIVE'"),
            &format!(
                "{}, {}, created_at = created_at - c_age, promoted_at = promoted_at - c_age,
                 state = CASE WHEN c_revoked = 1 THEN 'REVOKED' ELSE state END,
                 pushed_state = CASE WHEN c_revoked = 1 THEN 'REVOKED' ELSE pushed_state END,
                 revoked_at = CASE WHEN c_revoked = 1 THEN created_at END",
                own("id"),
                own("access_id")
            ),
        ),
        copy(
            "host_line",
            &format!("t.access_id = '{access}' AND t.state = 'INSTALLED'"),
            &format!("{}, {}", own("version_id"), own("access_id")),
        ),
    ];
    let lifecycle = Database::of(keywright, database, "lifecycle").await;
    lifecycle.change(format!("{people}{}", accesses.concat())).await;
}
