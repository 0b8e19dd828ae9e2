-- Whom to write to about a tenant, its labels, and the revision of all that is said of it. A deleted tenant stays as a
-- row without its external id: its id never comes back.

ALTER TABLE tenant ADD COLUMN contacts TEXT NOT NULL DEFAULT '[]';
ALTER TABLE tenant ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
ALTER TABLE tenant ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
