-- The log as a Merkle tree. The hashes of leaves stand in `leaf`; here are the roots of complete subtrees of 256^level
-- leaves, from level 1 on: a row of C2SP tiles.
CREATE TABLE node (
    level BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (level, idx)
);

-- Under which names the log goes on: a new one after a restore, since what was logged after the backup is lost.
CREATE TABLE origin (
    number BIGINT NOT NULL PRIMARY KEY,
    origin TEXT NOT NULL UNIQUE,
    from_size BIGINT NOT NULL,
    started_at BIGINT NOT NULL
);

-- The checkpoints that were signed. None is ever changed; of one origin the sizes only grow.
CREATE TABLE checkpoint (
    origin_number BIGINT NOT NULL,
    size BIGINT NOT NULL,
    root TEXT NOT NULL,
    note TEXT NOT NULL,
    signed_at BIGINT NOT NULL,
    PRIMARY KEY (origin_number, size)
);

-- The public keys that ever signed one, with the first that they signed.
CREATE TABLE checkpoint_key (
    verifier_key TEXT NOT NULL PRIMARY KEY,
    origin TEXT NOT NULL,
    from_size BIGINT NOT NULL,
    since BIGINT NOT NULL,
    active BIGINT NOT NULL
);

-- Who acted and what it was done to, by event: the index of the clear values, erased with them.
CREATE TABLE mention (
    subject TEXT NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (subject, kind, seq)
);
INSERT INTO mention (subject, seq, kind)
SELECT c.actor, e.seq, 'actor' FROM clear_value c JOIN event e ON e.event_id = c.event_id
 WHERE c.kind = 'intent' AND c.actor <> '' AND length(c.actor) <= 200;
INSERT INTO mention (subject, seq, kind)
SELECT c.target, e.seq, 'target' FROM clear_value c JOIN event e ON e.event_id = c.event_id
 WHERE c.kind = 'intent' AND c.target <> '' AND c.target NOT LIKE '(%' AND length(c.target) <= 200;
CREATE INDEX mention_by_seq ON mention (seq);
DROP INDEX clear_value_by_actor;
DROP INDEX clear_value_by_target;
CREATE INDEX event_by_time ON event (recorded_at, seq);
CREATE INDEX event_by_outcome_seq ON event (outcome_seq);

-- How far each reader of the log has come: alerts, and every destination that the log is forwarded to.
CREATE TABLE reader (
    name TEXT NOT NULL PRIMARY KEY,
    next_seq BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
-- What was logged before there were alerts raises none.
INSERT INTO reader (name, next_seq, updated_at) SELECT 'alerts', size, 0 FROM head WHERE id = 'log';

-- What the log is watched for, where an operator made it or changed it.
CREATE TABLE alert_rule (
    rule_id TEXT NOT NULL PRIMARY KEY,
    definition TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE alert (
    alert_id TEXT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    rule_id TEXT NOT NULL,
    description TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    times BIGINT NOT NULL,
    raised_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    state TEXT NOT NULL,
    acknowledged_by TEXT NOT NULL,
    acknowledged_at BIGINT,
    comment_text TEXT NOT NULL,
    told_at BIGINT
);
CREATE INDEX alert_by_rule ON alert (rule_id, subject, number);
CREATE INDEX alert_by_tenant ON alert (tenant_id, number);
CREATE INDEX alert_by_state ON alert (state, number);
CREATE INDEX alert_untold ON alert (number) WHERE told_at IS NULL;

-- What was seen of one subject and led to no alert so far: when (microseconds) and how many, as JSON. It ends when the last
-- of it leaves the rule's window.
CREATE TABLE alert_tally (
    rule_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    seen TEXT NOT NULL,
    until_at BIGINT NOT NULL,
    PRIMARY KEY (rule_id, subject)
);
CREATE INDEX alert_tally_by_end ON alert_tally (until_at);

-- Segments that were exported or retired; a complete one that was neither has no row.
CREATE TABLE segment (
    number BIGINT NOT NULL PRIMARY KEY,
    exported_at BIGINT,
    retired_at BIGINT
);
