-- After a restore: what the hosts say to the keys that the backup knows, before anything is written to them.

CREATE TABLE recovery (
    id TEXT NOT NULL PRIMARY KEY,
    backup_taken_at BIGINT NOT NULL,
    restored_at BIGINT NOT NULL,
    probe_requested_at BIGINT,
    probed_at BIGINT,
    completed_at BIGINT
);

CREATE TABLE recovery_line (
    id TEXT NOT NULL PRIMARY KEY,
    -- The access, or the server for its management key.
    owner TEXT NOT NULL,
    server_id TEXT NOT NULL,
    account TEXT NOT NULL,
    -- Of the access's key, or the installation of the management key.
    version_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    public_key TEXT NOT NULL,
    recorded_state TEXT NOT NULL,
    -- What the backup makes one expect: PRESENT, ABSENT or EITHER.
    expected TEXT NOT NULL,
    -- What the host said: UNPROBED, ACCEPTED, REFUSED or UNREACHABLE.
    answer TEXT NOT NULL,
    detail TEXT NOT NULL,
    probed_at BIGINT,
    -- An operator wants it on the host again.
    put_back_at BIGINT,
    -- Nothing is left to be done about it.
    settled_at BIGINT,
    attempts BIGINT NOT NULL,
    next_at BIGINT
);
CREATE INDEX recovery_line_of_host ON recovery_line (server_id, owner);
CREATE INDEX recovery_line_due ON recovery_line (next_at);
