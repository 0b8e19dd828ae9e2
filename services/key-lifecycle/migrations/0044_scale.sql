-- What is open is little, what was is much: indexes of what is open alone.
CREATE INDEX revocation_host_unproven ON revocation_host (revocation_id, server_id) WHERE proven_at IS NULL;
CREATE INDEX rotation_in_grace ON rotation (grace_ends_at) WHERE grace_ended_at IS NULL AND next_at IS NOT NULL;
CREATE INDEX campaign_target_trying ON campaign_target (campaign_id, position) WHERE trying_at IS NOT NULL;
CREATE INDEX rotation_by_state ON rotation (state);
CREATE INDEX key_version_compromised ON key_version (access_id) WHERE compromised_at IS NOT NULL;
