-- An object definition that was loaded over the API: OMA XML, as it came. `version` is as "1.1".
CREATE TABLE object (
    object_id INTEGER NOT NULL,
    version   TEXT NOT NULL,
    xml       BLOB NOT NULL,
    UNIQUE (object_id, version)
) STRICT;
