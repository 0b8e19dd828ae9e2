//! The servers of a fleet test. A target is RUNNING under the lease of its holder; once that is over it is anybody's.

use super::Connection;
use crate::fleet::choose::Place;
use crate::fleet::{Counts, Target, TargetResult, TargetState};
use crate::report::{Check, Status};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{FleetTestId, ServerId, TestId};
use keywright_storage::{Columns, Error, Tx};
use sqlx::any::AnyRow;

pub async fn insert(tx: &mut Tx, test: &FleetTestId, target: &Target) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO fleet_target (fleet_test_id, position, server_id, tenant_id, server_name, host, port, network, state,
                                   attempts, not_before, status, failed_check, reason, message)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, '', '', '', '')",
    )
    .bind(test.as_str())
    .bind(target.position)
    .bind(target.server.as_str())
    .bind(target.tenant.as_str())
    .bind(&target.name)
    .bind(&target.host)
    .bind(i64::from(target.port))
    .bind(target.network.as_deref())
    .bind(target.state.as_str())
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub async fn counts(conn: &mut Connection, test: &FleetTestId) -> Result<Counts, Error> {
    let rows = sqlx::query(
        "SELECT state, status, COUNT(*) AS number FROM fleet_target WHERE fleet_test_id = $1 GROUP BY state, status",
    )
    .bind(test.as_str())
    .fetch_all(conn)
    .await?;
    let count = |row: &AnyRow| Ok((row.text("state")?, status(row)?, row.int("number")?));
    Ok(Counts(rows.iter().map(count).collect::<Result<_, Error>>()?))
}

/// From `after` on, in their order, one more than `limit`; narrowed by what is not empty.
pub async fn page(
    conn: &mut Connection,
    test: &FleetTestId,
    among: (&str, &str),
    after: i64,
    limit: i64,
) -> Result<Vec<Target>, Error> {
    let rows = sqlx::query(
        "SELECT position, server_id, tenant_id, server_name, host, port, network, state, attempts, status, failed_check,
                reason, message, test_id, started_at, finished_at
           FROM fleet_target
          WHERE fleet_test_id = $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR status = $3) AND position > $4
          ORDER BY position LIMIT $5",
    )
    .bind(test.as_str())
    .bind(among.0)
    .bind(among.1)
    .bind(after)
    .bind(limit.saturating_add(1))
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

/// What a replica has under way.
pub async fn held_by(conn: &mut Connection, test: &FleetTestId, holder: &str) -> Result<Vec<Target>, Error> {
    let rows = sqlx::query(
        "SELECT position, server_id, tenant_id, server_name, host, port, network, state, attempts, status, failed_check,
                reason, message, test_id, started_at, finished_at
           FROM fleet_target WHERE fleet_test_id = $1 AND holder = $2 AND state = 'RUNNING' ORDER BY position",
    )
    .bind(test.as_str())
    .bind(holder)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

/// Positions, hosts and ports of the next whose network is not known yet.
pub async fn unresolved(
    conn: &mut Connection,
    test: &FleetTestId,
    limit: i64,
) -> Result<Vec<(i64, String, u16)>, Error> {
    let rows = sqlx::query(
        "SELECT position, host, port FROM fleet_target
          WHERE fleet_test_id = $1 AND state = 'PENDING' AND network IS NULL ORDER BY position LIMIT $2",
    )
    .bind(test.as_str())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok((row.int("position")?, row.text("host")?, row.int("port")?))).collect()
}

pub async fn set_network(tx: &mut Tx, test: &FleetTestId, position: i64, network: &str) -> Result<(), Error> {
    sqlx::query(
        "UPDATE fleet_target SET network = $3 WHERE fleet_test_id = $1 AND position = $2 AND network IS NULL",
    )
    .bind(test.as_str())
    .bind(position)
    .bind(network)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Those whose holder is gone wait again, or are cancelled with their fleet test; so are those of `mine`, which has lost what
/// it had under way. A lease beyond `latest_lease` was taken by a clock that has gone back since.
pub async fn take_back(
    tx: &mut Tx,
    test: &FleetTestId,
    latest_lease: Instant,
    mine: Option<&str>,
) -> Result<u64, Error> {
    let now = tx.now().micros();
    let done = sqlx::query(
        "UPDATE fleet_target SET holder = NULL,
                state = CASE WHEN EXISTS (SELECT 1 FROM fleet_test f WHERE f.id = $1 AND f.state = 'RUNNING')
                             THEN 'PENDING' ELSE 'CANCELLED' END
          WHERE fleet_test_id = $1 AND state = 'RUNNING'
            AND (holder = $4
                 OR NOT EXISTS (SELECT 1 FROM lease l
                                 WHERE l.id = fleet_target.holder AND l.lease_until >= $2 AND l.lease_until <= $3))",
    )
    .bind(test.as_str())
    .bind(now)
    .bind(latest_lease.micros())
    .bind(mine.unwrap_or_default())
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected())
}

/// What runs, wherever.
pub async fn places_that_run(conn: &mut Connection, test: &FleetTestId) -> Result<Vec<Place>, Error> {
    let rows = sqlx::query(
        "SELECT position, host, network FROM fleet_target WHERE fleet_test_id = $1 AND state = 'RUNNING'",
    )
    .bind(test.as_str())
    .fetch_all(conn)
    .await?;
    rows.iter().map(place).collect()
}

/// What may begin, in its order.
pub async fn places_that_wait(
    conn: &mut Connection,
    test: &FleetTestId,
    now: Instant,
    latest_pause: Instant,
    limit: i64,
) -> Result<Vec<Place>, Error> {
    let rows = sqlx::query(
        "SELECT position, host, network FROM fleet_target
          WHERE fleet_test_id = $1 AND state = 'PENDING' AND network IS NOT NULL
            AND (not_before <= $2 OR not_before > $3)
          ORDER BY position LIMIT $4",
    )
    .bind(test.as_str())
    .bind(now.micros())
    .bind(latest_pause.micros())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(place).collect()
}

pub async fn begin(tx: &mut Tx, test: &FleetTestId, position: i64, holder: &str) -> Result<(), Error> {
    let now = tx.now().micros();
    sqlx::query(
        "UPDATE fleet_target SET state = 'RUNNING', holder = $3, attempts = attempts + 1, started_at = $4
          WHERE fleet_test_id = $1 AND position = $2 AND state = 'PENDING'",
    )
    .bind(test.as_str())
    .bind(position)
    .bind(holder)
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// It was not tested now: it waits for its turn again, or is cancelled with its fleet test.
pub async fn put_off(
    tx: &mut Tx,
    test: &FleetTestId,
    position: i64,
    holder: &str,
    until: Instant,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE fleet_target SET holder = NULL, not_before = $4,
                state = CASE WHEN EXISTS (SELECT 1 FROM fleet_test f WHERE f.id = $1 AND f.state = 'RUNNING')
                             THEN 'PENDING' ELSE 'CANCELLED' END
          WHERE fleet_test_id = $1 AND position = $2 AND holder = $3 AND state = 'RUNNING'",
    )
    .bind(test.as_str())
    .bind(position)
    .bind(holder)
    .bind(until.micros())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// False where it is no longer its holder's: then what he found counts for nothing.
pub async fn record(
    tx: &mut Tx,
    test: &FleetTestId,
    position: i64,
    holder: &str,
    result: &TargetResult,
) -> Result<bool, Error> {
    let now = tx.now().micros();
    let state = if result.status.is_some() { TargetState::Tested } else { TargetState::Skipped };
    let done = sqlx::query(
        "UPDATE fleet_target SET state = $4, holder = NULL, status = $5, failed_check = $6, reason = $7, message = $8,
                test_id = $9, finished_at = $10
          WHERE fleet_test_id = $1 AND position = $2 AND holder = $3 AND state = 'RUNNING'",
    )
    .bind(test.as_str())
    .bind(position)
    .bind(holder)
    .bind(state.as_str())
    .bind(result.status.map_or("", Status::as_str))
    .bind(&result.failed_check)
    .bind(&result.reason)
    .bind(&result.message)
    .bind(result.test.as_ref().map(TestId::as_str))
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn cancel(tx: &mut Tx, test: &FleetTestId) -> Result<(), Error> {
    sqlx::query("UPDATE fleet_target SET state = 'CANCELLED' WHERE fleet_test_id = $1 AND state = 'PENDING'")
        .bind(test.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Whether the server is tested now.
pub async fn runs_on(conn: &mut Connection, test: &FleetTestId, server: &ServerId) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT 1 AS one FROM fleet_target WHERE fleet_test_id = $1 AND state = 'RUNNING' AND server_id = $2",
    )
    .bind(test.as_str())
    .bind(server.as_str())
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

/// The checks of some of the tested, in their order, with the position of the last.
pub async fn checks(
    conn: &mut Connection,
    test: &FleetTestId,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, Vec<Check>)>, Error> {
    let rows = sqlx::query(
        "SELECT t.position, c.checks FROM fleet_target t JOIN connectivity_test c ON c.id = t.test_id
          WHERE t.fleet_test_id = $1 AND t.position > $2 ORDER BY t.position LIMIT $3",
    )
    .bind(test.as_str())
    .bind(after)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    let read = |row: &AnyRow| {
        let checks: String = row.text("checks")?;
        let checks = serde_json::from_str(&checks).map_err(|_| Error::Corrupt("checks".to_owned()))?;
        Ok((row.int("position")?, checks))
    };
    rows.iter().map(read).collect()
}

fn place(row: &AnyRow) -> Result<Place, Error> {
    Ok(Place {
        position: row.int("position")?,
        host: row.text("host")?,
        network: row.opt_text("network")?.unwrap_or_default(),
    })
}

fn status(row: &AnyRow) -> Result<Option<Status>, Error> {
    let text: String = row.text("status")?;
    if text.is_empty() {
        return Ok(None);
    }
    Status::try_from(text).map(Some).map_err(|()| Error::Corrupt("status".to_owned()))
}

fn read(row: &AnyRow) -> Result<Target, Error> {
    Ok(Target {
        position: row.int("position")?,
        server: row.text("server_id")?,
        tenant: row.text("tenant_id")?,
        name: row.text("server_name")?,
        host: row.text("host")?,
        port: row.int("port")?,
        network: row.opt_text("network")?,
        state: row.text("state")?,
        attempts: row.int("attempts")?,
        result: TargetResult {
            status: status(row)?,
            failed_check: row.text("failed_check")?,
            reason: row.text("reason")?,
            message: row.text("message")?,
            test: row.opt_text("test_id")?,
        },
        started_at: row.opt_int("started_at")?,
        finished_at: row.opt_int("finished_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{FleetTest, Origin, Plan, Selector, State};
    use crate::store::{fleet_test, reader};
    use keywright_domain::clock::Clock;
    use keywright_domain::ids::TenantId;
    use keywright_kit::postgres_database;
    use keywright_storage::{Db, Source, lease};
    use std::time::Duration;

    const SPAN: Duration = Duration::from_secs(60);

    /// A fleet test of one server, which this holder tests now.
    async fn begun(db: &Db, holder: &str) -> FleetTestId {
        let id = FleetTestId::random().unwrap();
        let test = FleetTest {
            id: id.clone(),
            tenant: None,
            origin: Origin::Request,
            state: State::Running,
            selector: Selector::default(),
            plan: Plan { max_parallel: 1, max_per_host: 1, max_per_network: 1 },
            comment: String::new(),
            created_by: "somebody".to_owned(),
            created_at: db.now().await.unwrap(),
            finished_at: None,
            latencies: Vec::new(),
        };
        let target = Target {
            position: 1,
            server: ServerId::random().unwrap(),
            tenant: TenantId::random().unwrap(),
            name: "web".to_owned(),
            host: "web.example".to_owned(),
            port: 22,
            network: Some(String::new()),
            state: TargetState::Pending,
            attempts: 0,
            result: TargetResult::default(),
            started_at: None,
            finished_at: None,
        };
        let mut tx = db.begin_internal("a test").await.unwrap();
        fleet_test::insert(&mut tx, &test).await.unwrap();
        insert(&mut tx, &id, &target).await.unwrap();
        begin(&mut tx, &id, 1, holder).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn taken(db: &Db, test: &FleetTestId, mine: Option<&str>) -> u64 {
        let mut tx = db.begin_internal("a test").await.unwrap();
        let latest = lease::latest(tx.now(), SPAN);
        let taken = take_back(&mut tx, test, latest, mine).await.unwrap();
        tx.commit().await.unwrap();
        taken
    }

    async fn recorded(db: &Db, test: &FleetTestId, holder: &str) -> bool {
        let mut tx = db.begin_append().await.unwrap();
        let ours = record(&mut tx, test, 1, holder, &TargetResult::default()).await.unwrap();
        tx.commit().await.unwrap();
        ours
    }

    #[tokio::test]
    async fn a_target_is_its_holders_while_he_has_his_lease_and_knows_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let sources =
            [Source::Directory(folder.path().into()), Source::Postgres(postgres_database().await.unwrap())];
        for source in sources {
            let db = Db::open(&source, "probe", &crate::MIGRATIONS, Clock::System).await.unwrap();
            let held = lease::acquire(&db, "one", "one", SPAN).await.unwrap().unwrap();
            let test = begun(&db, "one").await;
            assert_eq!(taken(&db, &test, None).await, 0);
            assert_eq!(taken(&db, &test, Some("other")).await, 0);
            // It has begun anew.
            assert_eq!(taken(&db, &test, Some("one")).await, 1);
            assert!(!recorded(&db, &test, "one").await, "what was lost counts");
            let test = begun(&db, "one").await;
            lease::release(&db, &held).await.unwrap();
            assert_eq!(taken(&db, &test, None).await, 1);
            let test = begun(&db, "gone").await;
            let mut tx = db.begin_internal("a test").await.unwrap();
            assert!(fleet_test::end(&mut tx, &test, State::Cancelled).await.unwrap());
            tx.commit().await.unwrap();
            assert_eq!(taken(&db, &test, None).await, 1);
            let mut reader = reader(&db).await.unwrap();
            assert!(held_by(&mut reader, &test, "gone").await.unwrap().is_empty());
            let targets = page(&mut reader, &test, ("", ""), 0, 2).await.unwrap();
            assert_eq!(
                targets.iter().map(|target| target.state).collect::<Vec<_>>(),
                [TargetState::Cancelled]
            );
        }
    }
}
