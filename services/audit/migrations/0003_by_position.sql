-- Everything about an entry stands under its position. An id is random, and each index of random keys touches another page
-- with every entry: one is left, that of `leaf`, through which an event is found by its id.

-- In the order in which a replica of the version before takes them: it waits, and nobody waits in a circle.
ALTER TABLE event RENAME TO event_before;
ALTER TABLE clear_value RENAME TO clear_value_before;

-- The position of the intent of the same event; of an intent its own.
ALTER TABLE leaf ADD COLUMN intent_seq BIGINT NOT NULL DEFAULT -1;
UPDATE leaf SET intent_seq =
    COALESCE((SELECT i.seq FROM leaf i WHERE i.event_id = leaf.event_id AND i.kind = 'intent'), seq);

CREATE TABLE clear_value (
    seq BIGINT NOT NULL CONSTRAINT clear_value_key PRIMARY KEY,
    actor TEXT NOT NULL,
    source_ip TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    target TEXT NOT NULL,
    details TEXT NOT NULL,
    salts TEXT NOT NULL
);
INSERT INTO clear_value (seq, actor, source_ip, user_agent, target, details, salts)
SELECT l.seq, c.actor, c.source_ip, c.user_agent, c.target, c.details, c.salts
  FROM clear_value_before c JOIN leaf l ON l.event_id = c.event_id AND l.kind = c.kind ORDER BY l.seq;
DROP TABLE clear_value_before;

CREATE TABLE event (
    seq BIGINT NOT NULL CONSTRAINT event_key PRIMARY KEY,
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
INSERT INTO event (seq, outcome_seq, recorded_at, finished_at, actor_kind, tenant_id, action, outcome, reason,
                      comment_text, request_id, trace_id)
SELECT seq, outcome_seq, recorded_at, finished_at, actor_kind, tenant_id, action, outcome, reason, comment_text,
       request_id, trace_id
  FROM event_before ORDER BY seq;
DROP TABLE event_before;
CREATE INDEX event_by_tenant ON event (tenant_id, seq);
CREATE INDEX event_by_action ON event (action, seq);
CREATE INDEX event_by_outcome ON event (outcome, seq);
CREATE INDEX event_by_time ON event (recorded_at, seq);
