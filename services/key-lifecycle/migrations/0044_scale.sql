-- What is open is little, what was is much: indexes of what is open alone.
CREATE INDEX revocation_host_unproven ON revocation_host (revocation_id, server_id) WHERE proven_at IS NULL;
CREATE INDEX rotation_in_grace ON rotation (grace_ends_at) WHERE grace_ended_at IS NULL AND next_at IS NOT NULL;
CREATE INDEX campaign_target_trying ON campaign_target (campaign_id, position) WHERE trying_at IS NOT NULL;
CREATE INDEX rotation_by_state ON rotation (state);
CREATE INDEX key_version_compromised ON key_version (access_id) WHERE compromised_at IS NOT NULL;

-- What belongs to a server, an access or a version is found from there.
CREATE INDEX access_host_of_server ON access_host (server_id, access_id);
CREATE INDEX host_account_of_access ON host_account (access_id);
CREATE INDEX host_line_of_version ON host_line (version_id);
CREATE INDEX key_use_of_version ON key_use (version_id, read_at);
CREATE INDEX automatic_try_of_access ON automatic_try (access_id);
