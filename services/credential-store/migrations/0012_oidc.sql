-- Who logged in through an identity provider: the same person is the same principal, each time.
CREATE TABLE oidc_identity (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    principal_id TEXT NOT NULL UNIQUE REFERENCES principal (id),
    email TEXT NOT NULL,
    -- What the last login granted.
    role TEXT NOT NULL,
    tenant_id TEXT REFERENCES tenant (id),
    created_at BIGINT NOT NULL,
    last_login_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

CREATE INDEX oidc_identity_tenant ON oidc_identity (tenant_id);

-- ID tokens that were exchanged, as SHA-256 of what was signed, until they would have expired anyway.
CREATE TABLE oidc_spent (
    digest TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX oidc_spent_order ON oidc_spent (expires_at);
