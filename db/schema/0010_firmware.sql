-- Firmware images; their bytes are files in DATA/firmware, named by their SHA-256.
CREATE TABLE firmware_image (
    name       TEXT PRIMARY KEY,
    digest     BLOB NOT NULL,    -- SHA-256
    size       INTEGER NOT NULL, -- bytes
    url        TEXT NOT NULL,    -- by which devices ask a proxy for it; '': none
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Firmware updates of devices: the one under way, or the last one.
CREATE TABLE firmware_update (
    endpoint    TEXT PRIMARY KEY,
    image       TEXT NOT NULL,    -- '': what is at the URI
    uri         TEXT NOT NULL,    -- that the device is told; '': made when it is needed
    detail      TEXT NOT NULL,    -- why it has failed
    flags       INTEGER NOT NULL, -- what was ordered, and how far it is: server/firmware_update.c
    result      INTEGER NOT NULL, -- Update Result
    created_at  INTEGER NOT NULL,
    deadline    INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL, -- 0: under way
    observation INTEGER NOT NULL, -- of the State, made for it; 0: none
    observation_of_result INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
