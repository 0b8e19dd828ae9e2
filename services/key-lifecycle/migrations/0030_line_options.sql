-- Which options our lines of an access have on a host (JSON lists): those that the last edit wrote, those with which the
-- host has been seen to accept a key, those with which it refused one.
CREATE TABLE line_options (
    access_id TEXT NOT NULL,
    server_id TEXT NOT NULL,
    written TEXT,
    proven TEXT,
    refused TEXT,
    -- When the options of a changed policy are to be brought there.
    due_at BIGINT,
    attempts BIGINT NOT NULL,
    PRIMARY KEY (access_id, server_id)
);
CREATE INDEX line_options_due ON line_options (due_at);
