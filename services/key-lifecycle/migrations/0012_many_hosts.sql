-- Who began a rotation, and what becomes of hosts that it cannot reach.
ALTER TABLE rotation ADD COLUMN automatic_at BIGINT;
ALTER TABLE rotation ADD COLUMN campaign_id TEXT;
-- The host of an ADD_HOST or REMOVE_HOST.
ALTER TABLE rotation ADD COLUMN server_id TEXT;
-- Set where hosts that cannot be reached may be left behind at the promotion: by the policy when it began.
ALTER TABLE rotation ADD COLUMN leaves_behind_at BIGINT;
ALTER TABLE rotation ADD COLUMN grace_extended_at BIGINT;
CREATE INDEX rotation_of_campaign ON rotation (campaign_id, access_id);

-- Given up for good: asked for, and done.
ALTER TABLE access ADD COLUMN deprovision_at BIGINT;
ALTER TABLE access ADD COLUMN deprovisioned_at BIGINT;

-- The host is being taken off the access; it was.
ALTER TABLE access_host ADD COLUMN leaving_at BIGINT;
ALTER TABLE access_host ADD COLUMN left_at BIGINT;
-- Its account is to be created where it is missing.
ALTER TABLE access_host ADD COLUMN create_account_at BIGINT;
