-- Connectivity tests of many servers. Any replica takes targets; `holder` is the lease (table lease) of the one that does.
CREATE TABLE fleet_test (
    id TEXT NOT NULL PRIMARY KEY,
    -- Absent: of all tenants.
    tenant_id TEXT,
    state TEXT NOT NULL,
    selector TEXT NOT NULL,
    max_parallel BIGINT NOT NULL,
    max_per_host BIGINT NOT NULL,
    max_per_network BIGINT NOT NULL,
    comment TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    latencies TEXT NOT NULL
);
CREATE INDEX fleet_test_by_age ON fleet_test (created_at, id);
CREATE INDEX fleet_test_by_state ON fleet_test (state, created_at);
CREATE TABLE fleet_target (
    fleet_test_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    server_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    server_name TEXT NOT NULL,
    host TEXT NOT NULL,
    port BIGINT NOT NULL,
    -- Of its address; absent before the name was resolved, empty where it could not be.
    network TEXT,
    state TEXT NOT NULL,
    holder TEXT,
    attempts BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    status TEXT NOT NULL,
    failed_check TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    test_id TEXT,
    started_at BIGINT,
    finished_at BIGINT,
    PRIMARY KEY (fleet_test_id, position)
);
CREATE INDEX fleet_target_by_state ON fleet_target (fleet_test_id, state, position);
