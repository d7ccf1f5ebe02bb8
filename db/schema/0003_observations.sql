-- An observation, as store.h describes it. There is no reference to the registration's row: a registration that is
-- replaced is deleted, and its observations go on with the new one.
CREATE TABLE observation (
    id              INTEGER PRIMARY KEY,
    registration_id INTEGER NOT NULL,
    endpoint        TEXT NOT NULL,
    paths           TEXT NOT NULL,
    token           BLOB NOT NULL,
    request         BLOB NOT NULL,
    started_at      INTEGER NOT NULL
) STRICT;
