DROP INDEX idx_events_unreminded;
ALTER TABLE events DROP COLUMN reminded_to;
ALTER TABLE events DROP COLUMN reminded_at;
