-- Which servers a revocation list serves, as credential-store said last: a list can be read while that is down.
CREATE TABLE server_group (
    server_id TEXT NOT NULL,
    group_name TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    -- It is there no more. What it ever carried stays in the group's list.
    left_at BIGINT,
    PRIMARY KEY (server_id, group_name)
);
CREATE INDEX server_group_members ON server_group (group_name, tenant_id);

-- The RevokedKeys file of a managed server.
CREATE TABLE revoked_keys_file (
    server_id TEXT NOT NULL PRIMARY KEY,
    -- Empty where its sshd reads none that is Keywright's.
    path TEXT NOT NULL,
    -- Of the list that it holds.
    etag TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    written_at BIGINT,
    -- When it is to be looked at again.
    next_at BIGINT NOT NULL
);
CREATE INDEX revoked_keys_file_due ON revoked_keys_file (next_at);
