-- A label finds one session among those that are not closed yet.
CREATE UNIQUE INDEX idx_events_open_label ON events (label) WHERE closed_at IS NULL AND NOT is_deleted;

-- Sessions whose end somebody has yet to write down: their absences, and that they are closed.
ALTER TABLE events ADD COLUMN settled_at TIMESTAMPTZ;
CREATE INDEX idx_events_unsettled ON events (ends_at) WHERE kind = 'session' AND settled_at IS NULL;
