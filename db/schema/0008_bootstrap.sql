-- What bootstrap gives an endpoint; the endpoint '' is every other one. `sealed` has its keys.
CREATE TABLE bootstrap (
    endpoint TEXT PRIMARY KEY,
    sealed   BLOB NOT NULL
) STRICT, WITHOUT ROWID;
