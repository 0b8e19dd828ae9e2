//! The pools and the transaction.

use crate::{Columns, Error, Intent, outbox, shared};
use keywright_domain::clock::{Clock, Instant};
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::migrate::Migrator;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Connection, Row, Transaction};
use std::path::PathBuf;
use std::time::Duration;

/// How often a transaction is tried that others keep pushing aside: some four seconds in all.
const ATTEMPTS: u32 = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// Where the databases are.
#[derive(Clone)]
pub enum Source {
    /// One file per service in this directory.
    Directory(PathBuf),
    /// One schema per service in this database.
    Postgres(String),
}

#[derive(Clone)]
pub struct Db {
    read: AnyPool,
    write: AnyPool,
    dialect: Dialect,
    clock: Clock,
}

/// One transaction. Dropped without `commit`, it rolls back.
pub struct Tx {
    inner: Transaction<'static, Any>,
    now: Instant,
    /// By how much this machine's clock was ahead of the database's, in microseconds.
    ahead: i64,
}

impl Tx {
    pub fn conn(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }

    /// The database's time at the start of the transaction; of one that began with a lock, when it had it.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What this machine's clock will show at an instant of the database's clock: not earlier, at most as much later as the
    /// database took to answer.
    pub fn on_this_machine(&self, at: Instant) -> Instant {
        Instant::from_micros(at.micros().saturating_add(self.ahead))
    }

    pub async fn commit(self) -> Result<(), Error> {
        Ok(self.inner.commit().await?)
    }
}

impl Db {
    /// Opens (and where needed creates) the database of one service, brings its tables up to date.
    pub async fn open(
        source: &Source,
        service: &'static str,
        migrations: &Migrator,
        clock: Clock,
    ) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let db = match source {
            Source::Directory(dir) => Self::sqlite(&dir.join(format!("{service}.db")), clock).await?,
            Source::Postgres(url) => Self::postgres(url, service, clock).await?,
        };
        for table in shared::TABLES {
            match sqlx::query(*table).execute(&db.write).await.map_err(Error::from) {
                // Two replicas that start together may both create it.
                Ok(_) | Err(Error::Exists(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let mut conn = db.write.acquire().await?;
        // A large table takes longer to change than any statement of a request may, and more room to sort than memory has.
        sqlx::query(match db.dialect {
            Dialect::Postgres => "SET statement_timeout = 0",
            Dialect::Sqlite => "PRAGMA temp_store = FILE",
        })
        .execute(&mut *conn)
        .await?;
        migrations.run(&mut *conn).await.map_err(Error::Migration)?;
        sqlx::query(match db.dialect {
            Dialect::Postgres => "SET statement_timeout = '15s'",
            Dialect::Sqlite => "PRAGMA temp_store = MEMORY",
        })
        .execute(&mut *conn)
        .await?;
        drop(conn);
        Ok(db)
    }

    async fn sqlite(path: &std::path::Path, clock: Clock) -> Result<Self, Error> {
        let url = format!("sqlite://{}?mode=rwc", path.display());
        // No connection breaks while it lies idle, as one over a network may: none is asked whether it lives.
        // SQLite has one writer: callers queue for it here, fairly, instead of polling the file lock.
        let write = pool(
            AnyPoolOptions::new()
                .test_before_acquire(false)
                .acquire_timeout(QUEUED)
                .after_release(|conn, _| Box::pin(has_no_transaction(conn))),
            &url,
            1,
            "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; \
             PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8000; PRAGMA wal_autocheckpoint = 4000",
        )
        .await?;
        let read = pool(
            AnyPoolOptions::new().test_before_acquire(false).acquire_timeout(QUEUED),
            &url,
            4,
            "PRAGMA busy_timeout = 10000; PRAGMA query_only = ON",
        )
        .await?;
        Ok(Self { read, write, dialect: Dialect::Sqlite, clock })
    }

    async fn postgres(url: &str, service: &'static str, clock: Clock) -> Result<Self, Error> {
        let mut plain = AnyConnection::connect(url).await?;
        let created = sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {service}")))
            .execute(&mut plain)
            .await;
        match created.map_err(Error::from) {
            Ok(_) | Err(Error::Exists(_)) => {}
            Err(error) => return Err(error),
        }
        plain.close().await?;
        let url = in_schema(url, service);
        let session = "SET statement_timeout = '15s'; SET idle_in_transaction_session_timeout = '30s'";
        let both = pool(AnyPoolOptions::new().acquire_timeout(CONNECTED), &url, 16, session).await?;
        sqlx::raw_sql(
            "DO $$ BEGIN CREATE DOMAIN blob AS bytea; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
        )
        .execute(&both)
        .await?;
        Ok(Self { read: both.clone(), write: both, dialect: Dialect::Postgres, clock })
    }

    /// For reads that need no transaction.
    pub fn read(&self) -> &AnyPool {
        &self.read
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A transaction that writes for a caller, whose intent is durable. Serializable on both databases.
    pub async fn begin(&self, intent: &Intent) -> Result<Tx, Error> {
        let mut tx = self.open_tx(Isolation::Serializable).await?;
        if let Some(record) = intent.spool() {
            outbox::put_intent(&mut tx, intent.event(), record).await?;
        }
        Ok(tx)
    }

    /// A transaction of the service's own: leases, outbox, recovery, recorded progress of audited work.
    /// `reason` names it for the reader of the code.
    pub async fn begin_internal(&self, reason: &'static str) -> Result<Tx, Error> {
        tracing::trace!(reason, "internal transaction");
        self.open_tx(Isolation::Serializable).await
    }

    /// Claims alone: READ COMMITTED, so that two claimants do not abort each other.
    pub(crate) async fn begin_claim(&self) -> Result<Tx, Error> {
        self.open_tx(Isolation::Claim).await
    }

    /// A short transaction where serialization failures would only be noise: the result of what is one process's alone, or
    /// guarded by one row's lock.
    pub async fn begin_append(&self) -> Result<Tx, Error> {
        self.open_tx(Isolation::Claim).await
    }

    /// As [`Self::begin_append`], with the statement that takes the lock and the row that it answers. On PostgreSQL that has
    /// the time too, as `at`, in microseconds: taken with the lock, so that times follow its order but for a clock set back.
    pub async fn begin_locked(&self, lock: &'static str) -> Result<(Tx, AnyRow), Error> {
        let mut inner = self.begin_with(Isolation::Claim).await?;
        let row = sqlx::query(lock).fetch_one(&mut *inner).await?;
        let now = if self.database_has_clock() { row.int("at")? } else { self.clock.now() };
        Ok((self.tx(inner, now), row))
    }

    async fn open_tx(&self, isolation: Isolation) -> Result<Tx, Error> {
        let mut inner = self.begin_with(isolation).await?;
        let now = if self.database_has_clock() { time_of(&mut inner).await? } else { self.clock.now() };
        Ok(self.tx(inner, now))
    }

    fn tx(&self, inner: Transaction<'static, Any>, now: Instant) -> Tx {
        let ahead = match self.database_has_clock() {
            true => self.clock.now().micros().saturating_sub(now.micros()),
            false => 0,
        };
        Tx { inner, now, ahead }
    }

    async fn begin_with(&self, isolation: Isolation) -> Result<Transaction<'static, Any>, Error> {
        let begin = match (self.dialect, isolation) {
            (Dialect::Sqlite, _) => "BEGIN IMMEDIATE",
            (Dialect::Postgres, Isolation::Serializable) => "BEGIN ISOLATION LEVEL SERIALIZABLE",
            (Dialect::Postgres, Isolation::Claim) => "BEGIN",
        };
        // In a task of its own: were the caller cancelled while the database begins, sqlx would give the connection back
        // inside of a transaction, and whoever got it next would fail for as long as it lives.
        let pool = self.write.clone();
        let begun = tokio::spawn(async move { pool.begin_with(begin).await }).await;
        Ok(begun.map_err(|_| sqlx::Error::WorkerCrashed)??)
    }

    /// The database's clock, so that replicas agree.
    pub async fn now(&self) -> Result<Instant, Error> {
        if !self.database_has_clock() {
            return Ok(self.clock.now());
        }
        time_of(&mut *self.read.acquire().await?).await
    }

    /// A file has none of its own: it is this machine's.
    fn database_has_clock(&self) -> bool {
        self.dialect == Dialect::Postgres && matches!(self.clock, Clock::System)
    }

    /// Runs `attempt` (one whole transaction, `begin` to `commit`) again while the database asks for it.
    /// `E` is the caller's error; `again` tells which of them means "again".
    pub async fn serialized<T, E, F>(&self, attempt: impl Fn() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: Retriable,
    {
        for n in 0..ATTEMPTS {
            match attempt().await {
                Err(error) if error.again() => tokio::time::sleep(Duration::from_millis(1 << n.min(7))).await,
                done => return done,
            }
        }
        attempt().await
    }

    /// Whether the database answers.
    pub async fn ready(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

async fn time_of(server: &mut AnyConnection) -> Result<Instant, Error> {
    let row = sqlx::query("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)");
    Ok(Instant::from_micros(row.fetch_one(server).await?.try_get::<i64, _>(0)?))
}

/// For a place in the queue of a file's one writer: he may wait for another process's lock, and then for the disk. A
/// caller's deadline (60 s) is longer.
const QUEUED: Duration = Duration::from_secs(40);
/// For a server that may not be there.
const CONNECTED: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
enum Isolation {
    Serializable,
    Claim,
}

/// An error that may ask for the whole transaction again.
pub trait Retriable {
    fn again(&self) -> bool;
}

impl Retriable for Error {
    fn again(&self) -> bool {
        matches!(self, Self::Again(_))
    }
}

/// The URL of a database, for one service's schema.
pub(crate) fn in_schema(url: &str, service: &str) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}options=-c%20search_path%3D{service}&application_name=keywright-{service}")
}

/// On a full disk SQLite ends a transaction by itself. The driver, which cannot end it a second time, holds it for open and
/// begins no other on that connection: it is closed, and the next has none of this.
async fn has_no_transaction(conn: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    if conn.is_in_transaction() {
        // One that was dropped is rolled back before this is answered.
        conn.ping().await?;
    }
    Ok(!conn.is_in_transaction())
}

async fn pool(
    options: AnyPoolOptions,
    url: &str,
    size: u32,
    session: &'static str,
) -> Result<AnyPool, Error> {
    Ok(options
        .max_connections(size)
        .after_connect(move |conn, _| {
            Box::pin(async move { sqlx::raw_sql(session).execute(conn).await.map(drop) })
        })
        .connect(url)
        .await?)
}
