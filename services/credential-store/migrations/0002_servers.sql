-- Servers with their binding and management key, their pinned host keys, and the references held on servers and
-- credentials.

CREATE TABLE server (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    port BIGINT NOT NULL,
    group_name TEXT NOT NULL,
    labels TEXT NOT NULL,
    lifecycle TEXT NOT NULL,
    bound_credential_id TEXT,
    bound_username TEXT,
    bound_test_status TEXT,
    bound_test_id TEXT,
    management_credential_id TEXT,
    management_username TEXT,
    server_version TEXT,
    seen_at BIGINT,
    created_at BIGINT NOT NULL,
    revision BIGINT NOT NULL
);
CREATE UNIQUE INDEX server_name ON server (tenant_id, name);
CREATE INDEX server_order ON server (created_at, id);
CREATE INDEX server_binding ON server (bound_credential_id);
CREATE INDEX server_management ON server (management_credential_id);

CREATE TABLE host_key (
    server_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    public_key TEXT NOT NULL,
    approved_at BIGINT NOT NULL,
    approved_by TEXT NOT NULL,
    PRIMARY KEY (server_id, fingerprint)
);

-- `subject` is a server or a credential that must not be deleted while the reference is held.
CREATE TABLE held_reference (
    subject TEXT NOT NULL,
    owner TEXT NOT NULL,
    purpose TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (subject, owner, purpose)
);
