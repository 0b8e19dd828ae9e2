-- Rotations of many accesses, in waves.
CREATE TABLE campaign (
    id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    -- OPERATOR, FAILURE_BUDGET or FROZEN; empty where it is not paused.
    pause_reason TEXT NOT NULL,
    selector TEXT NOT NULL,
    canary BIGINT NOT NULL,
    soak_micros BIGINT NOT NULL,
    growth BIGINT NOT NULL,
    max_parallel BIGINT NOT NULL,
    failure_budget BIGINT NOT NULL,
    catch_up_micros BIGINT NOT NULL,
    -- NULL where each policy decides.
    grace_micros BIGINT,
    comment TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    -- The one that runs or soaks, from 1; 0 before.
    wave BIGINT NOT NULL,
    waves TEXT NOT NULL,
    soak_until BIGINT,
    -- What a resumption after an automatic pause forgave.
    forgiven_finished BIGINT NOT NULL,
    forgiven_failed BIGINT NOT NULL,
    -- When it is to be looked at again; NULL when nothing is left.
    next_at BIGINT
);
CREATE INDEX campaign_open ON campaign (next_at);
CREATE INDEX campaign_newest ON campaign (created_at, id);

CREATE TABLE campaign_target (
    campaign_id TEXT NOT NULL,
    -- In the order of the waves; what is skipped from the beginning comes last.
    position BIGINT NOT NULL,
    access_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    account TEXT NOT NULL,
    hosts TEXT NOT NULL,
    -- 0 where it is skipped from the beginning.
    wave BIGINT NOT NULL,
    state TEXT NOT NULL,
    rotation_id TEXT,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    due_at BIGINT,
    -- It has one of the campaign's places; without a rotation yet, that is still to be begun.
    trying_at BIGINT,
    attempts BIGINT NOT NULL,
    -- Of CATCH_UP: when it is tried again (NULL: its rotation goes on by itself), and until when.
    again_at BIGINT,
    give_up_at BIGINT,
    PRIMARY KEY (campaign_id, position),
    UNIQUE (campaign_id, access_id)
);
CREATE INDEX campaign_target_state ON campaign_target (campaign_id, state, wave, position);
