//! The mode that measures the audit log's engine against the database beneath it, and how fast an export is verified.
//!
//! The engine runs in this process, on each of its databases, and once more behind gRPC in a process of its own. Its peers
//! write rows of the bytes that it keeps of an entry (the leaf, its clear values, their salts): PostgreSQL one row a
//! transaction, with and without a hash chain, and both databases in batches as large as the engine's can be with so many
//! callers, by one writer with nothing to decide.

mod service;

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Instant;

use crate::figures::{load, spread};
use crate::options::{self, FEWEST_ROUNDS, HELP};
use keywright_audit::Journal;
use keywright_domain::clock::Clock;
use keywright_log::Hash;
use keywright_log::export::{Entry, FORMAT, Header, Verifier};
use keywright_log::leaf::{Clear, Shown, Unsealed};
use keywright_log::tree::Frontier;
use keywright_storage::{Db, Source};
use service::Service;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyPool, Row};
use tokio::task::JoinSet;

/// Clients of the database, each with one row at a time.
const CLIENTS: usize = 16;

struct Size {
    rounds: usize,
    entries: usize,
    callers: usize,
}

fn size(mut words: Peekable<impl Iterator<Item = String>>) -> Size {
    if options::smoke(&mut words) {
        return Size { rounds: 1, entries: 64, callers: 8 };
    }
    let mut size = Size { rounds: FEWEST_ROUNDS, entries: 4_096, callers: 64 };
    let places = &mut [
        ("--rounds", &mut size.rounds),
        ("--entries", &mut size.entries),
        ("--callers", &mut size.callers),
    ];
    options::read(words, places);
    assert!(size.rounds >= FEWEST_ROUNDS, "{HELP}");
    size
}

/// Entries a second, round by round.
#[derive(Default)]
struct Rates(Vec<f64>);

impl Rates {
    fn over(&self, other: &Self) -> String {
        spread(self.0.iter().zip(&other.0).map(|(own, other)| own / other))
    }
}

pub async fn run(words: Peekable<impl Iterator<Item = String>>) {
    let size = size(words);
    println!("load {}: one caller or {}, {} entries a round", load(), size.callers, size.entries);
    let folder = tempfile::tempdir().unwrap();
    let url = keywright_kit::durable_database().await.unwrap();
    let files = engine(Source::Directory(folder.path().to_owned())).await;
    let rows = engine(Source::Postgres(url.clone())).await;
    let files_apart = Engine::There(Service::start(None).await.into());
    let apart = keywright_kit::durable_database().await.unwrap();
    let rows_apart = Engine::There(Service::start(Some(&apart)).await.into());
    let postgres = peers(&url, "SELECT 1").await;
    let file = format!("sqlite://{}?mode=rwc", folder.path().join("peer.db").display());
    let sqlite =
        peers(&file, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 10000")
            .await;
    let [mut by_file, mut by_rows, mut one_by_file, mut one_by_rows] = [(); 4].map(|()| Rates::default());
    let [mut file_called, mut rows_called, mut one_file_called, mut one_rows_called] =
        [(); 4].map(|()| Rates::default());
    let [mut plain, mut chained, mut one_row, mut one_row_file] = [(); 4].map(|()| Rates::default());
    let [mut batches, mut batches_file, mut verified] = [(); 3].map(|()| Rates::default());
    let few = (size.entries / 16).max(1);
    for _ in 0..size.rounds {
        by_file.0.push(appended(&files, size.entries, size.callers).await);
        batches_file.0.push(batched(&sqlite, size.entries, size.callers, false).await);
        one_by_file.0.push(appended(&files, few, 1).await);
        file_called.0.push(appended(&files_apart, size.entries, size.callers).await);
        one_file_called.0.push(appended(&files_apart, few, 1).await);
        one_row_file.0.push(single(&sqlite, few, 1, false).await);
        by_rows.0.push(appended(&rows, size.entries, size.callers).await);
        batches.0.push(batched(&postgres, size.entries, size.callers, true).await);
        one_by_rows.0.push(appended(&rows, few, 1).await);
        rows_called.0.push(appended(&rows_apart, size.entries, size.callers).await);
        one_rows_called.0.push(appended(&rows_apart, few, 1).await);
        one_row.0.push(single(&postgres, few, 1, false).await);
        plain.0.push(single(&postgres, size.entries, CLIENTS, false).await);
        chained.0.push(single(&postgres, few, CLIENTS, true).await);
        verified.0.push(verify(size.entries));
    }
    let line = |what: &str, ratio: String, target: &str| println!("  {what:<66}{ratio}   {target}");
    println!("\nthe engine on PostgreSQL, {} callers: its rate over that of", size.callers);
    line("a hash chain inside each transaction, 16 clients", by_rows.over(&chained), "(target: at least 10)");
    line("single rows without a chain, 16 clients", by_rows.over(&plain), "(target: at least 1)");
    line(
        &format!("raw batches of {} by one writer", size.callers),
        by_rows.over(&batches),
        "(target: at least 0.5)",
    );
    println!("the engine on SQLite, {} callers: its rate over that of", size.callers);
    line(
        "a hash chain inside each transaction of PostgreSQL, 16 clients",
        by_file.over(&chained),
        "(target: at least 10)",
    );
    line(
        "single rows of PostgreSQL without a chain, 16 clients",
        by_file.over(&plain),
        "(target: at least 1)",
    );
    line(
        &format!("raw batches of {} by one writer", size.callers),
        by_file.over(&batches_file),
        "(target: at least 0.5)",
    );
    println!("through gRPC with authentication, {} callers: its rate over that of", size.callers);
    line("raw batches on PostgreSQL", rows_called.over(&batches), "(target: at least 0.25)");
    line("raw batches on SQLite", file_called.over(&batches_file), "(target: at least 0.25)");
    println!("one caller: its own milliseconds beside one durable row");
    let own =
        |engine: &Rates, row: &Rates| spread(engine.0.iter().zip(&row.0).map(|(e, r)| 1e3 / e - 1e3 / r));
    line("PostgreSQL, in one process", own(&one_by_rows, &one_row), "");
    line("PostgreSQL, through gRPC", own(&one_rows_called, &one_row), "(target: at most 0.5)");
    line("SQLite, in one process", own(&one_by_file, &one_row_file), "");
    line("SQLite, through gRPC", own(&one_file_called, &one_row_file), "(target: at most 0.5)");
    println!("entries a second, for scale");
    let scale = |what: &str, rates: &Rates| line(what, spread(rates.0.iter().copied()), "");
    scale("engine on PostgreSQL", &by_rows);
    scale("engine on SQLite", &by_file);
    scale("through gRPC on PostgreSQL", &rows_called);
    scale("through gRPC on SQLite", &file_called);
    scale("one durable row on PostgreSQL", &one_row);
    scale("one durable row on SQLite", &one_row_file);
    scale("raw batches on PostgreSQL", &batches);
    scale("raw batches on SQLite", &batches_file);
    scale("single rows on PostgreSQL, 16 clients", &plain);
    scale("chained rows on PostgreSQL, 16 clients", &chained);
    println!("an export is verified, thousands of entries a second of one core");
    line("the command's verifier", spread(verified.0.iter().map(|rate| rate / 1e3)), "");
}

/// Where entries are appended.
#[derive(Clone)]
enum Engine {
    Here(Arc<Journal>),
    There(Arc<Service>),
}

async fn engine(source: Source) -> Engine {
    let db = Db::open(&source, "audit", &keywright_audit::MIGRATIONS, Clock::System).await.unwrap();
    Engine::Here(Arc::new(Journal::new(db)))
}

impl Engine {
    async fn append(&self, number: usize) {
        match self {
            Self::Here(journal) => {
                let details = BTreeMap::from([("name".to_owned(), format!("web-{number}"))]);
                journal.intend("server.register", details).await.map(drop).unwrap();
            }
            Self::There(service) => service.append(number).await,
        }
    }
}

/// Each entry is durable when its caller goes on.
async fn appended(engine: &Engine, entries: usize, callers: usize) -> f64 {
    let start = Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..callers {
        let engine = engine.clone();
        all.spawn(async move {
            for number in 0..entries / callers {
                engine.append(number).await;
            }
        });
    }
    all.join_all().await;
    (entries / callers * callers) as f64 / start.elapsed().as_secs_f64()
}

async fn peers(url: &str, session: &'static str) -> AnyPool {
    let pool = AnyPoolOptions::new()
        .max_connections(u32::try_from(CLIENTS).unwrap())
        .after_connect(move |conn, _| {
            Box::pin(async move { sqlx::raw_sql(session).execute(conn).await.map(drop) })
        })
        .connect(url)
        .await
        .unwrap();
    sqlx::raw_sql(
        "CREATE TABLE peer (id TEXT NOT NULL PRIMARY KEY, hash TEXT NOT NULL, entry TEXT NOT NULL)",
    )
    .execute(&pool)
    .await
    .unwrap();
    sqlx::raw_sql("CREATE TABLE tip (id BIGINT NOT NULL PRIMARY KEY, hash TEXT NOT NULL); INSERT INTO tip VALUES (0, '')")
        .execute(&pool)
        .await
        .unwrap();
    pool
}

/// An id, and what is kept of an entry.
fn row() -> (String, String) {
    let entry = entry(0, "prn_aaaaaaaaaaaaaaaaaaaaaaaaaa");
    let id = keywright_domain::ids::EventId::random().unwrap().to_string();
    (id, serde_json::to_string(&entry).unwrap())
}

async fn single(pool: &AnyPool, entries: usize, clients: usize, is_chained: bool) -> f64 {
    let rows: Vec<(String, String)> = (0..entries).map(|_| row()).collect();
    let parts: Vec<Vec<(String, String)>> =
        rows.chunks(entries.div_ceil(clients)).map(<[_]>::to_vec).collect();
    let start = Instant::now();
    let mut all = JoinSet::new();
    for part in parts {
        let pool = pool.clone();
        all.spawn(async move {
            for (id, entry) in part {
                let mut tx = pool.begin().await.unwrap();
                let mut hash = Hash::leaf(entry.as_bytes());
                if is_chained {
                    let tip = "SELECT hash FROM tip WHERE id = 0 FOR UPDATE";
                    let before: String = sqlx::query(tip).fetch_one(&mut *tx).await.unwrap().get(0);
                    hash = Hash::leaf(format!("{before}{}", hash.hex()).as_bytes());
                    let tip = "UPDATE tip SET hash = $1 WHERE id = 0";
                    sqlx::query(tip).bind(hash.hex()).execute(&mut *tx).await.unwrap();
                }
                sqlx::query("INSERT INTO peer (id, hash, entry) VALUES ($1, $2, $3)")
                    .bind(id)
                    .bind(hash.hex())
                    .bind(entry)
                    .execute(&mut *tx)
                    .await
                    .unwrap();
                tx.commit().await.unwrap();
            }
        });
    }
    all.join_all().await;
    entries as f64 / start.elapsed().as_secs_f64()
}

async fn batched(pool: &AnyPool, entries: usize, size: usize, is_postgres: bool) -> f64 {
    let rows: Vec<(String, String)> = (0..entries).map(|_| row()).collect();
    let sql = match is_postgres {
        true => {
            "INSERT INTO peer (id, hash, entry) SELECT value ->> 0, value ->> 1, value ->> 2
               FROM jsonb_array_elements(CAST($1 AS jsonb))"
        }
        false => {
            "INSERT INTO peer (id, hash, entry) SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1)"
        }
    };
    let start = Instant::now();
    for batch in rows.chunks(size) {
        let list: Vec<[String; 3]> = batch
            .iter()
            .map(|(id, entry)| [id.clone(), Hash::leaf(entry.as_bytes()).hex(), entry.clone()])
            .collect();
        let mut tx = pool.begin().await.unwrap();
        sqlx::query(sql).bind(serde_json::to_string(&list).unwrap()).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
    entries as f64 / start.elapsed().as_secs_f64()
}

fn entry(index: u64, actor: &str) -> Entry {
    let clear = Clear {
        actor: actor.to_owned(),
        source_ip: "192.0.2.7".to_owned(),
        user_agent: "keywright/0.1.0".to_owned(),
        target: "srv_aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
        details: BTreeMap::from([("name".to_owned(), format!("web-{index}"))]),
    };
    let open = [
        ("action", "server.register"),
        ("actorKind", "user"),
        ("comment", ""),
        ("eventId", "evt_aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("requestId", "req_aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("tenantId", "ten_aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("traceId", "0af7651916cd43dd8448eb211c80319c"),
    ];
    let unsealed = Unsealed::new("INTENT", &open, &clear, &[[7; 16]; 5]);
    let leaf = unsealed.seal("2026-01-01T00:00:00.000000Z");
    let Clear { actor, source_ip, user_agent, target, details } = clear;
    Entry {
        index,
        hash: leaf.hash.hex(),
        leaf: leaf.text,
        clear: Shown {
            actor: Some(actor),
            source_ip: Some(source_ip),
            user_agent: Some(user_agent),
            target: Some(target),
            details: Some(details),
        },
        salts: serde_json::from_str(unsealed.salts()).unwrap(),
    }
}

/// Entries a second: on one thread.
fn verify(entries: usize) -> f64 {
    let (mut tree, mut lines) = (Frontier::default(), Vec::new());
    for index in 0..entries as u64 {
        let entry = entry(index, "prn_aaaaaaaaaaaaaaaaaaaaaaaaaa");
        tree.push(0, Hash::leaf(entry.leaf.as_bytes())).unwrap();
        lines.push(serde_json::to_string(&entry).unwrap());
    }
    let (origin, scope, size) = ("bench.example/log".to_owned(), String::new(), tree.size());
    let header =
        Header { format: FORMAT.to_owned(), version: 1, origin: origin.clone(), size, from: 0, scope };
    let checkpoint = keywright_log::Checkpoint { origin, size, root: tree.root() };
    let mut verifier = Verifier::new(checkpoint, Vec::new()).unwrap();
    let start = Instant::now();
    verifier.line(&serde_json::to_string(&header).unwrap()).unwrap();
    lines.iter().for_each(|line| verifier.line(line).unwrap());
    let report = verifier.finish().unwrap();
    assert_eq!(report.entries, size);
    entries as f64 / start.elapsed().as_secs_f64()
}
