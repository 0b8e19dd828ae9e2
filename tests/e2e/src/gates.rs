//! Gates in the product's own database: a write of the lifecycle engine that is refused for as long as a test says.
//!
//! Invariant: the shipped binaries know nothing of gates. One is a trigger that raises an error, so the engine stands
//! exactly between an effect and its record, says so in its log, and tries again until the gate is open. In PostgreSQL a
//! trigger can also wait: whoever comes to it stands still within his transaction. This is the one place that looks
//! inside Keywright.

use keywright_kit::{Keywright, eventually};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AssertSqlSafe, Row};

use crate::database::Database;
use crate::{LIMIT, World};

/// A write of the engine.
#[derive(Debug, Clone)]
pub struct Gate {
    pub name: String,
    /// `UPDATE OF column ON table`
    on: &'static str,
    /// Of the row as it would be.
    when: String,
    /// Only while this step of the access is at work.
    during: Option<&'static str>,
}

impl Gate {
    /// The record of a step. `STARTED` is made before the effect, `DONE` after it.
    pub fn record(step: &'static str, state: &str) -> Self {
        let when = format!("NEW.name = '{step}' AND NEW.state = '{state}'");
        let name = format!("{step} {state}");
        Self { name, on: "UPDATE OF state ON rotation_step", when, during: None }
    }

    pub fn write(name: &str, on: &'static str, when: &str) -> Self {
        Self { name: name.to_owned(), on, when: when.to_owned(), during: None }
    }

    pub fn within(step: &'static str, name: &str, on: &'static str, when: &str) -> Self {
        Self { name: format!("{step}: {name}"), on, when: when.to_owned(), during: Some(step) }
    }

    /// Whether the row is of this account's access, or of this server itself, and it is the time.
    fn condition(&self, account: &str) -> String {
        if self.on.ends_with(" management") || self.on.ends_with(" server_release") {
            return format!("{} AND NEW.server_id = '{account}'", self.when);
        }
        let access = match self.on.rsplit(' ').next() {
            Some("access") => "NEW.id",
            Some("rotation_step") => "(SELECT access_id FROM rotation WHERE id = NEW.rotation_id)",
            Some("revocation_host") => "(SELECT access_id FROM revocation WHERE id = NEW.revocation_id)",
            _ => "NEW.access_id",
        };
        let mut condition = format!(
            "{} AND EXISTS (SELECT 1 FROM access WHERE id = {access} AND account = '{account}')",
            self.when
        );
        if let Some(step) = self.during {
            condition.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM rotation_step AS at_work
                               WHERE at_work.name = '{step}' AND at_work.state = 'STARTED'
                                 AND at_work.rotation_id IN (SELECT id FROM rotation WHERE access_id = {access}))"
            ));
        }
        condition
    }

    /// As the database knows it.
    fn trigger(&self, account: &str) -> String {
        let name: String = self
            .name
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' })
            .collect();
        format!("gate_{account}_{}", name.to_lowercase())
    }
}

/// The database of key-lifecycle.
#[derive(Debug)]
pub struct Gates(Database);

impl Gates {
    pub async fn of(world: &World) -> Self {
        Self(Database::of(&world.keywright, world.database.as_deref(), "lifecycle").await)
    }

    pub async fn close(&self, account: &str, gate: &Gate) {
        let (trigger, condition, on) = (gate.trigger(account), gate.condition(account), gate.on);
        let sql = if self.0.is_postgres {
            format!(
                "CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF {condition} THEN RAISE EXCEPTION 'the gate is closed'; END IF; RETURN NULL; END $$;
                 CREATE TRIGGER {trigger} AFTER {on} FOR EACH ROW EXECUTE FUNCTION {trigger}()"
            )
        } else {
            format!(
                "CREATE TRIGGER {trigger} AFTER {on} WHEN {condition}
                 BEGIN SELECT RAISE(ABORT, 'the gate is closed'); END"
            )
        };
        self.0.change(sql).await;
    }

    pub async fn open(&self, account: &str, gate: &Gate) {
        let trigger = gate.trigger(account);
        let sql = if self.0.is_postgres {
            format!("DROP FUNCTION {trigger}() CASCADE")
        } else {
            format!("DROP TRIGGER {trigger}")
        };
        self.0.change(sql).await;
    }

    /// Of PostgreSQL: who makes this write about the server stands still in its transaction until it is let go.
    pub async fn hold(&self, server: &str, gate: &Gate) -> Held<'_> {
        assert!(self.0.is_postgres, "no other database can wait within a trigger");
        let mut lock = self.0.pool.acquire().await.unwrap();
        let taken = format!("DO $$ BEGIN PERFORM pg_advisory_lock({LOCK}); END $$");
        sqlx::raw_sql(AssertSqlSafe(taken)).execute(&mut *lock).await.unwrap();
        let (trigger, condition, on) = (gate.trigger(server), gate.condition(server), gate.on);
        let sql = format!(
            "CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF {condition} THEN PERFORM pg_advisory_xact_lock({LOCK}); END IF; RETURN NULL; END $$;
             CREATE TRIGGER {trigger} AFTER {on} FOR EACH ROW EXECUTE FUNCTION {trigger}()"
        );
        self.0.change(sql).await;
        Held { gates: self, lock, trigger }
    }

    /// What waits for its time waits no more.
    pub async fn make_due(&self, server: &str) {
        let sql =
            format!("UPDATE management SET next_at = 0 WHERE server_id = '{server}' AND next_at IS NOT NULL");
        self.0.change(sql).await;
    }

    /// Every public key that an access to the account has ever had.
    pub async fn public_keys(&self, account: &str) -> Vec<String> {
        let sql = "SELECT public_key FROM key_version JOIN access ON access.id = key_version.access_id
                    WHERE access.account = $1 AND public_key IS NOT NULL";
        let rows = sqlx::query(sql).bind(account).fetch_all(&self.0.pool).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// How many key versions of the account's access are such.
    pub async fn versions(&self, account: &str, such: &str) -> usize {
        let sql = format!(
            "SELECT COUNT(*) FROM key_version JOIN access ON access.id = key_version.access_id
              WHERE access.account = $1 AND access.closed_at IS NULL AND access.deprovisioned_at IS NULL AND {such}"
        );
        let row = sqlx::query(AssertSqlSafe(sql)).bind(account).fetch_one(&self.0.pool).await.unwrap();
        usize::try_from(row.get::<i64, _>(0)).unwrap()
    }
}

/// The key of the one advisory lock in a test's own database.
const LOCK: i64 = 4711;

/// A gate before which who comes waits.
pub struct Held<'a> {
    gates: &'a Gates,
    /// It lives as long as its session.
    lock: PoolConnection<Any>,
    trigger: String,
}

impl Held<'_> {
    pub async fn is_met(&self) -> bool {
        let waiting = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let row = sqlx::query(waiting).fetch_one(&self.gates.0.pool).await.unwrap();
        row.get::<i64, _>(0) > 0
    }

    pub async fn let_go(self) {
        self.lock.close().await.unwrap();
        self.gates.0.change(format!("DROP FUNCTION {}() CASCADE", self.trigger)).await;
    }
}

/// Waits until the engine has been refused a record of this work (`rot_…`, `rev_…`), by what it printed after so many
/// bytes.
pub async fn held(keywright: &Keywright, work: &str, after: u64) {
    let met = |line: &str| line.contains(work) && line.contains("STORAGE_UNAVAILABLE");
    let held = eventually(LIMIT, async || keywright.logs_after(after).lines().any(met)).await;
    assert!(held, "{work} never came to its gate\n{}", keywright.logs());
}
