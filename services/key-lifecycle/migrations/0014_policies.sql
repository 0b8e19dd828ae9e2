-- What each level says about keys; NULL is inherited.
CREATE TABLE policy (
    -- Empty for the platform, else a tenant's or an access's id.
    subject TEXT NOT NULL PRIMARY KEY,
    key_algorithm TEXT,
    maximum_age_secs BIGINT,
    grace_period_secs BIGINT,
    automatic_rotation BIGINT,
    -- JSON; the word `any` where rotations may begin at any time.
    rotation_window TEXT,
    line_options TEXT,
    downloads_per_version BIGINT,
    forget_after_download BIGINT,
    passphrase_required BIGINT,
    client_made_required BIGINT,
    promote_with_outstanding BIGINT,
    drift_action TEXT,
    revision BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL
);

-- Nonces that wait to be signed; gone when they are used.
CREATE TABLE key_challenge (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    nonce TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX key_challenge_of_tenant ON key_challenge (tenant_id, expires_at);

-- The public half that its holder made: such a version has no private half here.
ALTER TABLE key_version ADD COLUMN client_key TEXT;

-- As many downloads of one version as its policy allows, each with a number of its own.
CREATE TABLE numbered_claim (
    id TEXT NOT NULL PRIMARY KEY,
    access_id TEXT NOT NULL,
    version_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    principal TEXT NOT NULL,
    session TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    acknowledged_at BIGINT,
    UNIQUE (version_id, number)
);
INSERT INTO numbered_claim (id, access_id, version_id, number, principal, session, created_at, expires_at, acknowledged_at)
SELECT id, access_id, version_id, 1, principal, session, created_at, expires_at, acknowledged_at FROM download_claim;
DROP TABLE download_claim;
ALTER TABLE numbered_claim RENAME TO download_claim;
