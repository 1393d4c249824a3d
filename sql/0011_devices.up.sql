-- One bound device and one open request an account; a bound device has one owner.  The indexes decide every race about it.
ALTER TABLE devices ADD COLUMN key_id TEXT; -- which TOKEN_PEPPER keyed device_hash
DROP INDEX idx_devices_hash;
CREATE UNIQUE INDEX idx_devices_bound ON devices (user_id) WHERE status = 'bound';
CREATE UNIQUE INDEX idx_devices_bound_hash ON devices (device_hash) WHERE status = 'bound';
CREATE UNIQUE INDEX idx_devices_pending ON devices (user_id) WHERE status = 'pending';

-- Who marked first with a device in a session.  Of two accounts the second meets this row, however close they are in time.
CREATE TABLE device_uses (
	device_hash TEXT NOT NULL,
	event_id UUID NOT NULL,
	user_id UUID NOT NULL,
	attendance_id UUID NOT NULL,
	used_at TIMESTAMPTZ NOT NULL,
	PRIMARY KEY (device_hash, event_id)
) KEYED;
