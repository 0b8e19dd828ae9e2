-- When a notice is looked at again whose tenant's contacts could not be read.
ALTER TABLE notice ADD COLUMN fan_out_at BIGINT NOT NULL DEFAULT 0;

-- Who is told.
CREATE TABLE notification_target (
    id TEXT NOT NULL PRIMARY KEY,
    -- Empty for the platform's own.
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    address TEXT NOT NULL,
    -- Which events; none means all.
    events TEXT NOT NULL,
    -- With the installation's key it gives the secret, which is stored nowhere.
    salt TEXT NOT NULL,
    -- Tells whether the installation still has the key that the secret was made with.
    secret_check TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    -- Set where the tenant's own people added it.
    own_at BIGINT,
    last_delivered_at BIGINT,
    failing_since BIGINT,
    last_error TEXT NOT NULL,
    -- Its receiver said that it is gone.
    disabled_at BIGINT,
    deleted_at BIGINT
);
CREATE INDEX notification_target_order ON notification_target (tenant_id, created_at, id);

-- One message to one target, or to a contact of a tenant that has no target.
CREATE TABLE notification_delivery (
    id TEXT NOT NULL PRIMARY KEY,
    -- Empty for a contact.
    target_id TEXT NOT NULL,
    -- The contact's address; empty for a target.
    contact TEXT NOT NULL,
    -- Of the notice: every target is told once.
    dedup TEXT NOT NULL,
    event TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    details TEXT NOT NULL,
    occurred_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    delivered_at BIGINT,
    next_at BIGINT,
    error TEXT NOT NULL,
    UNIQUE (dedup, target_id, contact)
);
CREATE INDEX notification_delivery_due ON notification_delivery (next_at);
CREATE INDEX notification_delivery_order ON notification_delivery (target_id, created_at, id);
CREATE INDEX notification_delivery_age ON notification_delivery (created_at);
