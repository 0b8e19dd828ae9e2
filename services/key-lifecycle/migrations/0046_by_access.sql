-- Without statistics the indexes by state alone would be taken for what is asked of one access.
CREATE INDEX key_version_of_access ON key_version (access_id, state, promoted_at);
CREATE INDEX rotation_of_access_by_state ON rotation (access_id, state);
