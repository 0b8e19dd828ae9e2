-- What a saved credential lets be done with it, and its revision. What became of the servers of a switch, one row
-- each, so that the same request goes on where it was cut off; kept for as long as an idempotency key is.

ALTER TABLE credential ADD COLUMN allow_resolve BIGINT NOT NULL DEFAULT 0;
ALTER TABLE credential ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;

CREATE TABLE switch_step (
    operation TEXT NOT NULL,
    server_id TEXT NOT NULL,
    server_name TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    test_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (operation, server_id)
);
CREATE INDEX switch_step_age ON switch_step (created_at);
