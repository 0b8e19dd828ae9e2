-- The log: leaves in order, append-only. `head` holds the size and is the lock of every append.
CREATE TABLE head (
    id TEXT NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL
);
INSERT INTO head (id, size) VALUES ('log', 0);

CREATE TABLE leaf (
    seq BIGINT NOT NULL PRIMARY KEY,
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    bytes BLOB NOT NULL,
    hash TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    UNIQUE (event_id, kind)
);

-- Intent and outcome joined, for queries.
CREATE TABLE event (
    event_id TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL UNIQUE,
    outcome_seq BIGINT,
    recorded_at BIGINT NOT NULL,
    finished_at BIGINT,
    actor_kind TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    comment_text TEXT NOT NULL,
    request_id TEXT NOT NULL,
    trace_id TEXT NOT NULL
);
CREATE INDEX event_by_tenant ON event (tenant_id, seq);
CREATE INDEX event_by_action ON event (action, seq);
CREATE INDEX event_by_outcome ON event (outcome, seq);

-- The clear values behind the commitments, with their salts: erasing a row breaks no proof.
CREATE TABLE clear_value (
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    source_ip TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    target TEXT NOT NULL,
    details TEXT NOT NULL,
    salts TEXT NOT NULL,
    PRIMARY KEY (event_id, kind)
);
CREATE INDEX clear_value_by_actor ON clear_value (actor);
CREATE INDEX clear_value_by_target ON clear_value (target);
