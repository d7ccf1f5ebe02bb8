-- The server that writes here. `holder` is a number that the process has made up, `connection` rises with each connection
-- that writes: only the newest one may.
CREATE TABLE writer (
    only_one   BOOLEAN PRIMARY KEY CHECK (only_one),
    holder     BIGINT NOT NULL,
    connection BIGINT NOT NULL
);

-- Their rows change all the time: with room in its page, a new version of a row needs no new place in the index.
ALTER TABLE lease SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE session_state SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
