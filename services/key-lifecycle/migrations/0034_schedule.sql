-- Tries of the schedule to replace a version: when the next one may begin.
CREATE TABLE automatic_try (
    version_id TEXT NOT NULL PRIMARY KEY,
    access_id TEXT NOT NULL,
    tries BIGINT NOT NULL,
    not_before BIGINT NOT NULL
);
CREATE INDEX key_version_in_use ON key_version (state, promoted_at, id);
CREATE INDEX rotation_grace_end ON rotation (grace_ends_at);
