-- Events of a cluster, so that the next node to serve has them: those from one number to another, together.
CREATE TABLE event (
    first_id INTEGER PRIMARY KEY,
    last_id  INTEGER NOT NULL,
    events   BLOB NOT NULL -- server/event_row.h
) STRICT;
