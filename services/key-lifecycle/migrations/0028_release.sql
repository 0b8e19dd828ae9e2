-- Servers that left the product, each under the id of the management key that it had.

CREATE TABLE server_release (
    id TEXT NOT NULL PRIMARY KEY,
    server_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    state TEXT NOT NULL,
    -- The saved credential that was proven to be another way in; empty where the line was left.
    credential_id TEXT NOT NULL,
    -- The keys of accesses that stay, as JSON.
    staying TEXT NOT NULL,
    comment TEXT NOT NULL,
    other_path TEXT,
    refused TEXT,
    requested_at BIGINT NOT NULL,
    finished_at BIGINT,
    attempts BIGINT NOT NULL,
    next_at BIGINT
);
CREATE INDEX server_release_of ON server_release (server_id, requested_at);
CREATE INDEX server_release_open ON server_release (next_at);
