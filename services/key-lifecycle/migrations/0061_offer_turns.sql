-- When a server may next be offered a key that it is to refuse.
CREATE TABLE offer_turn (
    server_id TEXT NOT NULL PRIMARY KEY,
    next_at BIGINT NOT NULL
);
