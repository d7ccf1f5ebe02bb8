-- A DTLS session, as store.h describes it. Ids are random 64 bits, shown as signed numbers. `sealed` has its keys.
CREATE TABLE session (
    id       INTEGER PRIMARY KEY,
    listener INTEGER NOT NULL,
    local    BLOB NOT NULL,
    flags    INTEGER NOT NULL,
    sealed   BLOB NOT NULL
) STRICT;

-- What changes with every message, apart from the wide rows.
CREATE TABLE session_state (
    id           INTEGER PRIMARY KEY,
    peer         BLOB NOT NULL,
    number_limit INTEGER NOT NULL, -- the next record number after a restart
    window_top   INTEGER NOT NULL,
    window_bits  INTEGER NOT NULL, -- 64 bits, shown as a signed number
    used_at      INTEGER NOT NULL
) STRICT;

-- What resumes a session, by its session ID.
CREATE TABLE resumption (
    session_id BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    sealed     BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The session over which a registration was made or last updated; 0: none.
ALTER TABLE registration ADD COLUMN session INTEGER NOT NULL DEFAULT 0;
