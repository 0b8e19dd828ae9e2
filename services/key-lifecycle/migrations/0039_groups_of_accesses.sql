-- Accesses that had a line on a server of a group and have lost the server: their revoked keys stay in the group's list.
CREATE TABLE group_access (
    group_name TEXT NOT NULL,
    access_id TEXT NOT NULL,
    -- Of the server that it had.
    tenant_id TEXT NOT NULL,
    PRIMARY KEY (group_name, access_id)
);
