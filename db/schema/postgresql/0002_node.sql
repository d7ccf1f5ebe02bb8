-- The servers that share this database (db/cluster.h). `holder` is a number that the process has made up; that of the one
-- that serves is in `writer`, where 0 says that the last one has ended properly.
CREATE TABLE node (
    number     BIGINT PRIMARY KEY CHECK (number BETWEEN 0 AND 255),
    holder     BIGINT NOT NULL,
    api        TEXT NOT NULL,
    version    TEXT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    alive_at   TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    deposed    BOOLEAN NOT NULL DEFAULT false -- another one serves in its place, it does not know yet
) WITH (fillfactor = 50);

-- Files in the data directory that the others need when they come to serve (db/shared_files.h), in parts.
CREATE TABLE shared_file (
    name  TEXT NOT NULL, -- below the data directory
    part  BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (name, part)
);
ALTER TABLE shared_file ALTER COLUMN bytes SET STORAGE EXTERNAL; -- firmware is compressed already, or sealed
