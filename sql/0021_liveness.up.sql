-- A session that asks for faces may ask for head turns too (attendance/liveness.h).
ALTER TABLE events ADD COLUMN require_liveness BOOLEAN NOT NULL DEFAULT FALSE;
