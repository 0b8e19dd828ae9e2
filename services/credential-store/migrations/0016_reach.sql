-- How a server is reached and recognized: through another one, by an authority's certificate, or not at all since it
-- showed a wrong key. Of a credential: the certificate that its logins present.

ALTER TABLE server ADD COLUMN jump_host_id TEXT;
ALTER TABLE server ADD COLUMN mismatch_fingerprint TEXT;
ALTER TABLE server ADD COLUMN mismatch_at BIGINT;
CREATE INDEX server_jump_host ON server (jump_host_id);

ALTER TABLE host_key ADD COLUMN authority BIGINT NOT NULL DEFAULT 0;

ALTER TABLE credential ADD COLUMN certificate TEXT;
