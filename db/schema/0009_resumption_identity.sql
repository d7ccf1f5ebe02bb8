-- Whose a resumption is, as keyed hashes (server/dtls_sessions.c), so that they are found without opening what is sealed.
-- Older ones have none: their devices make a whole handshake.
DELETE FROM resumption;
ALTER TABLE resumption ADD COLUMN identity INTEGER NOT NULL DEFAULT 0;
CREATE INDEX resumption_in_order ON resumption (expires_at, identity);
