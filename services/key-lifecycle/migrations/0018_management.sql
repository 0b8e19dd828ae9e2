-- Management keys replace one another by recorded steps; a predecessor stays until a backup that holds its successor is
-- recorded, or seven days.

ALTER TABLE management ADD COLUMN tenant_id TEXT NOT NULL DEFAULT '';
-- BOOTSTRAP or ROTATE.
ALTER TABLE management ADD COLUMN kind TEXT NOT NULL DEFAULT 'BOOTSTRAP';
-- Of a ROTATE: what was begun last.
ALTER TABLE management ADD COLUMN step TEXT NOT NULL DEFAULT 'GENERATE';
ALTER TABLE management ADD COLUMN message TEXT NOT NULL DEFAULT '';
ALTER TABLE management ADD COLUMN comment TEXT NOT NULL DEFAULT '';
-- Of its line: a bootstrap's own edits take the first three.
ALTER TABLE management ADD COLUMN edit_revision BIGINT NOT NULL DEFAULT 3;
ALTER TABLE management ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;
-- The proof that it logs in, and the one that it is refused.
ALTER TABLE management ADD COLUMN receipt TEXT;
ALTER TABLE management ADD COLUMN refused TEXT;
-- When a successor counted.
ALTER TABLE management ADD COLUMN replaced_at BIGINT;
-- A pass that takes its line off the host is under way.
ALTER TABLE management ADD COLUMN ending_at BIGINT;

-- When complete backups began.
CREATE TABLE backup (
    taken_at BIGINT NOT NULL PRIMARY KEY,
    recorded_at BIGINT NOT NULL
);
