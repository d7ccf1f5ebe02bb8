-- What outlives a run of an OSCORE context, by a digest of what it is derived from (server/oscore_service.h). A row stays
-- when its credential goes: with the same keys, its numbers must not come again.
CREATE TABLE oscore_context (
    digest       BLOB PRIMARY KEY,
    static_limit INTEGER NOT NULL, -- the next sender number after a restart, of the context as it was configured
    id_context   BLOB NOT NULL,    -- of the context that was derived anew and is in use; empty: the configured one is
    number_limit INTEGER NOT NULL  -- the next sender number of that one
) STRICT, WITHOUT ROWID;
