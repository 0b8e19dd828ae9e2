//! The tables that every service's database has: outbox, idempotency, leases.

pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS outbox (
        id TEXT NOT NULL PRIMARY KEY,
        event_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        payload BLOB NOT NULL,
        created_at BIGINT NOT NULL
    )",
    "CREATE INDEX IF NOT EXISTS outbox_order ON outbox (created_at, id)",
    "CREATE TABLE IF NOT EXISTS idempotency (
        caller TEXT NOT NULL,
        method TEXT NOT NULL,
        idempotency_key TEXT NOT NULL,
        request_hash TEXT NOT NULL,
        response BLOB NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (caller, method, idempotency_key)
    )",
    "CREATE INDEX IF NOT EXISTS idempotency_age ON idempotency (created_at)",
    "CREATE TABLE IF NOT EXISTS idempotency_claim (
        caller TEXT NOT NULL,
        method TEXT NOT NULL,
        idempotency_key TEXT NOT NULL,
        holder TEXT NOT NULL,
        claimed_until BIGINT NOT NULL,
        PRIMARY KEY (caller, method, idempotency_key)
    )",
    "CREATE TABLE IF NOT EXISTS lease (
        id TEXT NOT NULL PRIMARY KEY,
        owner TEXT NOT NULL,
        lease_until BIGINT NOT NULL,
        fence BIGINT NOT NULL
    )",
];
