-- Who took a reference: empty for Keywright's own services; an internal service by its tenant (or `platform`) and name.
ALTER TABLE held_reference ADD COLUMN held_by TEXT NOT NULL DEFAULT '';
