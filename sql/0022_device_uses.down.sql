CREATE TABLE session_devices (
	device_hash TEXT NOT NULL,
	event_id UUID NOT NULL,
	user_id UUID NOT NULL,
	attendance_id UUID NOT NULL,
	used_at TIMESTAMPTZ NOT NULL,
	PRIMARY KEY (device_hash, event_id)
) KEYED;
INSERT INTO session_devices (device_hash, event_id, user_id, attendance_id, used_at)
	SELECT device_hash, event_id, user_id, attendance_id, used_at FROM device_uses;
DROP TABLE device_uses;
ALTER TABLE session_devices RENAME TO device_uses;
