CREATE TABLE tenant (
    id TEXT NOT NULL PRIMARY KEY,
    external_id TEXT UNIQUE,
    name TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX tenant_order ON tenant (created_at, id);

-- People and programs. A principal has as many tokens as it needs; a role and a tenant belong to the token.
CREATE TABLE principal (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE token (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    principal_id TEXT NOT NULL REFERENCES principal (id),
    role TEXT NOT NULL,
    tenant_id TEXT REFERENCES tenant (id),
    permissions TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    last_used_at BIGINT,
    created_by TEXT NOT NULL
);
CREATE INDEX token_order ON token (created_at, id);

CREATE TABLE invitation (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenant (id),
    role TEXT NOT NULL,
    email TEXT NOT NULL,
    code_hash TEXT NOT NULL UNIQUE,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    redeemed_at BIGINT
);
