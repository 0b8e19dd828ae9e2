-- The salt of the secret before the present one, which signs too until then.
ALTER TABLE notification_target ADD COLUMN previous_salt TEXT;
ALTER TABLE notification_target ADD COLUMN previous_until BIGINT;
