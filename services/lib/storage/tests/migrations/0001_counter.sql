CREATE TABLE counter (id TEXT NOT NULL PRIMARY KEY, value BIGINT NOT NULL, note BLOB);
INSERT INTO counter (id, value) VALUES ('one', 0);
