-- An operator has resumed the campaign in spite of it.
ALTER TABLE campaign_target ADD COLUMN excused_at BIGINT;
