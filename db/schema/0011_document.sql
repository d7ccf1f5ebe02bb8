-- JSON documents of faces of the API: what the Device Management facade keeps of devices, certificates, campaigns …
CREATE TABLE document (
    kind INTEGER NOT NULL, -- enum pelion_table of web/pelion/pelion.h
    id   TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
