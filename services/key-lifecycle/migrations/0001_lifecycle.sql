-- Times are microseconds since the epoch. A nullable time says whether and since when.

CREATE TABLE access (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    account TEXT NOT NULL,
    credential_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    -- The account is to be created where it is missing.
    create_account_at BIGINT,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    -- Its provisioning failed: it never came into use.
    closed_at BIGINT,
    revision BIGINT NOT NULL
);
CREATE INDEX access_of_tenant ON access (tenant_id, created_at, id);

-- Which access an account of a server belongs to: one at most.
CREATE TABLE host_account (
    server_id TEXT NOT NULL,
    account TEXT NOT NULL,
    access_id TEXT NOT NULL,
    PRIMARY KEY (server_id, account)
);

CREATE TABLE access_host (
    access_id TEXT NOT NULL,
    server_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    server_name TEXT NOT NULL,
    host TEXT NOT NULL,
    port BIGINT NOT NULL,
    -- The desired revision: each edit of the host takes the next one.
    edit_revision BIGINT NOT NULL,
    residual TEXT NOT NULL,
    PRIMARY KEY (access_id, server_id)
);

CREATE TABLE key_version (
    id TEXT NOT NULL PRIMARY KEY,
    access_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    state TEXT NOT NULL,
    public_key TEXT,
    created_at BIGINT NOT NULL,
    promoted_at BIGINT,
    revoked_at BIGINT,
    compromised_at BIGINT,
    -- Its private half is to be destroyed, and was.
    destroy_at BIGINT,
    destroyed_at BIGINT,
    -- What credential-store was told last.
    pushed_state TEXT,
    UNIQUE (access_id, number)
);
CREATE INDEX key_version_unpushed ON key_version (state, pushed_state);

CREATE TABLE host_line (
    server_id TEXT NOT NULL,
    version_id TEXT NOT NULL,
    access_id TEXT NOT NULL,
    state TEXT NOT NULL,
    enforced_by TEXT,
    receipt TEXT,
    PRIMARY KEY (server_id, version_id)
);
CREATE INDEX host_line_of_access ON host_line (access_id);

CREATE TABLE rotation (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    access_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    old_version_id TEXT,
    new_version_id TEXT NOT NULL,
    grace_micros BIGINT NOT NULL,
    -- The earlier rotation whose grace ends when this one is promoted.
    drops_rotation_id TEXT,
    comment TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    promoted_at BIGINT,
    grace_ends_at BIGINT,
    grace_ended_at BIGINT,
    finished_at BIGINT,
    -- It is being undone.
    failing_at BIGINT,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    -- When it is to be looked at again; NULL when nothing is left.
    next_at BIGINT
);
CREATE INDEX rotation_of_access ON rotation (access_id, created_at);
CREATE INDEX rotation_open ON rotation (next_at);

CREATE TABLE rotation_step (
    rotation_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    name TEXT NOT NULL,
    server_id TEXT NOT NULL,
    state TEXT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    undo_attempts BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    PRIMARY KEY (rotation_id, position)
);

CREATE TABLE revocation (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    access_id TEXT NOT NULL,
    state TEXT NOT NULL,
    compromised_at BIGINT,
    -- Which open sessions are ended: REVOKED_KEYS, ALL or NONE.
    sessions TEXT NOT NULL,
    comment TEXT NOT NULL,
    requested_at BIGINT NOT NULL,
    finished_at BIGINT,
    next_at BIGINT
);
CREATE INDEX revocation_of_access ON revocation (access_id, requested_at);
CREATE INDEX revocation_open ON revocation (next_at);

CREATE TABLE revocation_host (
    revocation_id TEXT NOT NULL,
    server_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    server_name TEXT NOT NULL,
    proven_at BIGINT,
    sessions_ended TEXT NOT NULL,
    processes TEXT NOT NULL,
    crontabs TEXT NOT NULL,
    residual TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    PRIMARY KEY (revocation_id, server_id)
);

CREATE TABLE download_claim (
    id TEXT NOT NULL PRIMARY KEY,
    access_id TEXT NOT NULL,
    -- One download per version.
    version_id TEXT NOT NULL UNIQUE,
    principal TEXT NOT NULL,
    session TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    acknowledged_at BIGINT
);

-- Installations of management keys. The current one of a server is the last that SUCCEEDED.
CREATE TABLE management (
    id TEXT NOT NULL PRIMARY KEY,
    server_id TEXT NOT NULL,
    credential_id TEXT NOT NULL,
    version_id TEXT NOT NULL,
    public_key TEXT,
    username TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    -- Its line was removed after a successor was proven.
    removed_at BIGINT,
    -- An interrupted one is looked at again.
    next_at BIGINT
);
CREATE INDEX management_of_server ON management (server_id, created_at);
CREATE INDEX management_open ON management (next_at);
