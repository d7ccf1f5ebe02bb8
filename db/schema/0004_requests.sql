-- A request that waits for its device, or what became of it. Ids rise and are never used twice.
CREATE TABLE request (
    id           INTEGER PRIMARY KEY,
    endpoint     TEXT NOT NULL,
    job          BLOB NOT NULL,    -- what is to be done, in the words of whoever queued it
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL, -- while it waits
    state        INTEGER NOT NULL, -- enum queue_state of server/queue.h; 0: it waits
    completed_at INTEGER NOT NULL, -- 0: not yet
    result       BLOB NOT NULL     -- in the same words; empty: none
) STRICT;

-- What was set for one device. NULL: as the server's options say.
CREATE TABLE queue_setting (
    endpoint        TEXT PRIMARY KEY,
    awake_window_ms INTEGER,
    queue_limit     INTEGER
) STRICT, WITHOUT ROWID;
