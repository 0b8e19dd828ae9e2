-- What is asked for with every edit of a host. On PostgreSQL a table that is read whole in a transaction is in conflict
-- with every other transaction that writes to it.
CREATE INDEX revocation_host_of_server ON revocation_host (server_id);
