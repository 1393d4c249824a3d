DROP INDEX idx_events_unsettled;
ALTER TABLE events DROP COLUMN settled_at;
DROP INDEX idx_events_open_label;
