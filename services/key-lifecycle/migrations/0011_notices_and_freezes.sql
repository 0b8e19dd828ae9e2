-- What somebody may want to be told: written in the transaction of what happened, delivered later.
CREATE TABLE notice (
    -- The same thing is told once.
    dedup TEXT NOT NULL PRIMARY KEY,
    event TEXT NOT NULL,
    -- Empty for the platform's own.
    tenant_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    details TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Every target that wants it has its own row.
    fanned_out_at BIGINT
);
CREATE INDEX notice_new ON notice (fanned_out_at, created_at);

-- Automation that is stopped: a tenant's, or everybody's under the empty id.
CREATE TABLE automation_freeze (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    frozen_at BIGINT NOT NULL,
    frozen_by TEXT NOT NULL,
    comment TEXT NOT NULL
);
