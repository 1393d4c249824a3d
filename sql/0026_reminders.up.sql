-- Which sessions' rosters were reminded, and of one that is being told, how far.
ALTER TABLE events ADD COLUMN reminded_at TIMESTAMPTZ;
ALTER TABLE events ADD COLUMN reminded_to UUID;
CREATE INDEX idx_events_unreminded ON events (scheduled_at) WHERE kind = 'session' AND reminded_at IS NULL;
