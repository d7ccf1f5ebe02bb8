-- A credential of an endpoint. `services` are bits: 1 management, 2 bootstrap; no bit is there twice for one endpoint and
-- mode. `sealed` is everything else, sealed with the key file (docs/security.md).
CREATE TABLE credential (
    endpoint TEXT NOT NULL,
    mode     INTEGER NOT NULL,
    services INTEGER NOT NULL,
    sealed   BLOB NOT NULL,
    PRIMARY KEY (endpoint, mode, services)
) STRICT, WITHOUT ROWID;
