-- What people are to be told of servers' host keys, written with what it tells of; it goes when key-lifecycle has it.

CREATE TABLE host_key_notice (
    -- Of the audited operation.
    id TEXT NOT NULL PRIMARY KEY,
    event TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    server_id TEXT NOT NULL,
    details TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL
);
CREATE INDEX host_key_notice_due ON host_key_notice (next_at);
