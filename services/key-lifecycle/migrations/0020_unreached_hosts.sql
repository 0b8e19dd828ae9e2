-- How often in a row nobody was there.
ALTER TABLE rotation_step ADD COLUMN unreached BIGINT NOT NULL DEFAULT 0;
