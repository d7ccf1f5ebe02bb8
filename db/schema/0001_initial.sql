-- Times are protocol time in Unix milliseconds. Texts are the bytes that the device sent, in whatever encoding.

-- A registration, as store.h describes it. Ids rise and are never used twice, so new rows go to the end of the file.
CREATE TABLE registration (
    id            INTEGER PRIMARY KEY,
    endpoint      TEXT NOT NULL,
    location      TEXT NOT NULL,
    links         TEXT NOT NULL,
    root          TEXT NOT NULL,
    query         TEXT NOT NULL,
    sms           TEXT NOT NULL,
    identity      BLOB NOT NULL,
    address       BLOB NOT NULL,
    local         BLOB NOT NULL,
    listener      INTEGER NOT NULL,
    lifetime_s    INTEGER NOT NULL,
    flags         INTEGER NOT NULL,
    registered_at INTEGER NOT NULL
) STRICT;

-- What an Update changes most of the time, apart from the wide rows: 200 to a page instead of 25.
CREATE TABLE lease (
    id         INTEGER PRIMARY KEY, -- of the registration
    updated_at INTEGER NOT NULL,
    expires_at INTEGER              -- NULL: never
) STRICT;

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
