-- Rows come at one end all the time, and go at the other.
ALTER TABLE event SET (autovacuum_vacuum_scale_factor = 0.05);
