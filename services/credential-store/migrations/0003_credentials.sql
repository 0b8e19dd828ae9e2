-- Credentials and their versions: metadata only. The embedded custody's tables stand at the end: what they hold is
-- sealed, and each version's data key lies in a table of its own, so that deleting one small row destroys the version.

CREATE TABLE credential (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    username TEXT,
    owner TEXT,
    current_version_id TEXT,
    usage_changes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    rotated_at BIGINT,
    last_used_at BIGINT
);
CREATE INDEX credential_order ON credential (created_at, id);

CREATE TABLE credential_version (
    id TEXT NOT NULL PRIMARY KEY,
    credential_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    state TEXT NOT NULL,
    origin TEXT NOT NULL,
    public_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    compromised_at BIGINT,
    destroyed_at BIGINT,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX credential_version_number ON credential_version (credential_id, number);
CREATE INDEX credential_version_fingerprint ON credential_version (fingerprint);

-- Kept for ever: such a key is never taken in again.
CREATE TABLE compromised_fingerprint (
    fingerprint TEXT NOT NULL PRIMARY KEY,
    version_id TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Material that no version names yet (pending), or that is to be destroyed (doomed).
CREATE TABLE material_fate (
    version_id TEXT NOT NULL PRIMARY KEY,
    fate TEXT NOT NULL,
    since BIGINT NOT NULL
);

CREATE TABLE data_key (
    version_id TEXT NOT NULL PRIMARY KEY,
    wrapped BLOB NOT NULL
);

CREATE TABLE material (
    version_id TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
);

-- A known text under the key-encryption key: a wrong key is told before anything is touched.
CREATE TABLE key_check (
    id TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
);
