-- How each server is, by tests with its bound credential; and, where it has a heartbeat, how often it is tested.
CREATE TABLE server_state (
    server_id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    server_name TEXT NOT NULL,
    host TEXT NOT NULL,
    port BIGINT NOT NULL,
    -- Absent: it has no heartbeat.
    interval_micros BIGINT,
    heartbeat_at BIGINT,
    next_at BIGINT,
    -- Empty before the first test.
    status TEXT NOT NULL,
    failed_check TEXT NOT NULL,
    reason TEXT NOT NULL,
    skipped_reason TEXT NOT NULL,
    since BIGINT,
    checked_at BIGINT,
    -- The newest test that is kept in the history, and when it was made.
    test_id TEXT,
    kept_at BIGINT
);
CREATE INDEX server_state_due ON server_state (next_at);
CREATE INDEX server_state_by_tenant ON server_state (tenant_id, heartbeat_at, server_id);
-- What is to be told in the log and to people has no `told_at` yet.
CREATE TABLE state_change (
    test_id TEXT NOT NULL PRIMARY KEY,
    server_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    server_name TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    from_status TEXT NOT NULL,
    from_reason TEXT NOT NULL,
    to_status TEXT NOT NULL,
    to_reason TEXT NOT NULL,
    told_at BIGINT
);
CREATE INDEX state_change_by_server ON state_change (server_id, changed_at, test_id);
CREATE INDEX state_change_untold ON state_change (told_at, changed_at);
-- A round of heartbeats is a fleet test that nobody asked for.
ALTER TABLE fleet_test ADD COLUMN origin TEXT NOT NULL DEFAULT 'REQUEST';
CREATE INDEX fleet_target_by_server ON fleet_target (server_id, state);
CREATE INDEX connectivity_test_by_age ON connectivity_test (checked_at);
