-- Logins that wait for the signature of a key that stays with the caller. Any replica takes the answer; the one that holds the
-- connection looks for it and removes the row. No secret is in it.
CREATE TABLE signature_request (
    id TEXT NOT NULL PRIMARY KEY,
    -- Who began the test: nobody else answers.
    principal TEXT NOT NULL,
    -- The SSH user-authentication request, as it is signed.
    login BLOB NOT NULL,
    expires_at BIGINT NOT NULL,
    -- Wrong signatures until now.
    attempts BIGINT NOT NULL,
    answered_at BIGINT,
    -- Empty where it was refused, or not answered.
    signature BLOB NOT NULL,
    refusal TEXT NOT NULL
);
CREATE INDEX signature_request_by_end ON signature_request (expires_at);
