-- Where a node takes what has come to the others while it serves (server/relay_door.h): HOST:PORT.
ALTER TABLE node ADD COLUMN relay TEXT NOT NULL DEFAULT '';
