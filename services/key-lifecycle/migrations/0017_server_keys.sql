-- Who can get into a server, as the last look at it showed; and what the hosts' logs say of the use of keys.

CREATE TABLE server_scan (
    server_id TEXT NOT NULL PRIMARY KEY,
    -- Absent before the first.
    scanned_at BIGINT,
    settings_read BIGINT NOT NULL,
    truncated BIGINT NOT NULL,
    -- JSON lists: accounts, keys by account and line, other ways in.
    accounts TEXT NOT NULL,
    found TEXT NOT NULL,
    other_ways TEXT NOT NULL,
    drift BIGINT NOT NULL,
    -- Why the last try failed; empty if it did not.
    reason TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL
);
CREATE INDEX server_scan_due ON server_scan (next_at);

-- Foreign keys that somebody answers for.
CREATE TABLE adopted_key (
    server_id TEXT NOT NULL,
    account TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    answered_by TEXT NOT NULL,
    note TEXT NOT NULL,
    adopted_at BIGINT NOT NULL,
    PRIMARY KEY (server_id, account, fingerprint)
);

-- Keywright's own log-ins with the keys of accesses: they stand in the hosts' logs too, and are no use of a key.
CREATE TABLE own_login (
    server_id TEXT NOT NULL,
    version_id TEXT NOT NULL,
    source_port BIGINT NOT NULL,
    proven_at BIGINT NOT NULL,
    PRIMARY KEY (server_id, version_id, source_port, proven_at)
);

CREATE TABLE key_use (
    server_id TEXT NOT NULL,
    version_id TEXT NOT NULL,
    access_id TEXT NOT NULL,
    -- USED, NOT_SEEN or UNREADABLE.
    evidence TEXT NOT NULL,
    last_used_at BIGINT,
    source_address TEXT NOT NULL,
    read_at BIGINT NOT NULL,
    log_since BIGINT,
    PRIMARY KEY (server_id, version_id)
);
CREATE INDEX key_use_of_access ON key_use (access_id);

-- Whose a key is that a server shows.
CREATE INDEX key_version_of_key ON key_version (public_key);
CREATE INDEX management_of_key ON management (public_key);
