-- Tokens: the token that each was made with, with which it ends; the client certificate that it is bound to; and when
-- what was exchanged for it stopped to hold (its revocation, or its tenant's suspension).
ALTER TABLE token ADD COLUMN parent_id TEXT;
ALTER TABLE token ADD COLUMN client_certificate TEXT;
ALTER TABLE token ADD COLUMN ended_at BIGINT;
CREATE INDEX token_parent ON token (parent_id);
CREATE INDEX token_ended ON token (ended_at);
CREATE INDEX token_held ON token (tenant_id, principal_id);

-- Who came into which tenant, and how. A removal stays until the person is invited anew.
CREATE TABLE member (
    tenant_id TEXT NOT NULL REFERENCES tenant (id),
    principal_id TEXT NOT NULL REFERENCES principal (id),
    source TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    removed_at BIGINT,
    PRIMARY KEY (tenant_id, principal_id)
);
CREATE INDEX member_order ON member (tenant_id, created_at, principal_id);
INSERT INTO member (tenant_id, principal_id, source, created_at)
    SELECT t.tenant_id, t.principal_id, CASE p.kind WHEN 'user' THEN 'invitation' ELSE 'token' END, MIN(t.created_at)
      FROM token t JOIN principal p ON p.id = t.principal_id
     WHERE t.tenant_id IS NOT NULL
     GROUP BY t.tenant_id, t.principal_id, p.kind;

-- One-use codes that open a console session, as SHA-256.
CREATE TABLE console_code (
    code_hash TEXT NOT NULL PRIMARY KEY,
    token_id TEXT NOT NULL REFERENCES token (id),
    expires_at BIGINT NOT NULL,
    redeemed_at BIGINT
);
CREATE INDEX console_code_order ON console_code (expires_at);

-- Console sessions: what a token is to its bearer, the session's secret (kept as SHA-256) is to a browser. The token
-- of a session is shown to nobody.
CREATE TABLE console_session (
    token_id TEXT NOT NULL PRIMARY KEY REFERENCES token (id),
    secret_hash TEXT NOT NULL UNIQUE,
    last_seen_at BIGINT NOT NULL
);

-- The roles that somebody may hold in a tenant, the strongest first.
CREATE TABLE role_rank (
    role TEXT NOT NULL PRIMARY KEY,
    rank BIGINT NOT NULL
);
INSERT INTO role_rank (role, rank) VALUES
    ('tenant_owner', 1), ('tenant_admin', 2), ('tenant_member', 3), ('auditor', 4), ('internal_service', 5);
