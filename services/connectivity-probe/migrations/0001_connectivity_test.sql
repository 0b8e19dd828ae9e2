-- Results of connectivity tests, kept with the server. `checks` is the list of nine as JSON; no secret is in it.
CREATE TABLE connectivity_test (
    id TEXT NOT NULL PRIMARY KEY,
    server_id TEXT NOT NULL,
    credential_id TEXT,
    host TEXT NOT NULL,
    port BIGINT NOT NULL,
    username TEXT NOT NULL,
    checks TEXT NOT NULL,
    checked_at BIGINT NOT NULL
);
CREATE INDEX connectivity_test_by_server ON connectivity_test (server_id, checked_at, id);
