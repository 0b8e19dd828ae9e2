-- Several key-encryption keys while one follows another. `key_check` has one row per key under the key's id (the hash
-- of it) with its state: announced, current, retiring, retired, gone. A row from before has the id 'current' and no
-- state; the first start with its key gives it both, and names the key in every data key.

ALTER TABLE key_check ADD COLUMN state TEXT;
ALTER TABLE key_check ADD COLUMN created_at BIGINT;
ALTER TABLE data_key ADD COLUMN kek_id TEXT;
CREATE INDEX data_key_kek ON data_key (kek_id, version_id);
