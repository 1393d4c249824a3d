-- Marks of one session come together, so what they write lies together; by device it lay all over the table.
CREATE TABLE session_devices (
	event_id UUID NOT NULL,
	device_hash TEXT NOT NULL,
	user_id UUID NOT NULL,
	attendance_id UUID NOT NULL,
	used_at TIMESTAMPTZ NOT NULL,
	PRIMARY KEY (event_id, device_hash)
) KEYED;
INSERT INTO session_devices (event_id, device_hash, user_id, attendance_id, used_at)
	SELECT event_id, device_hash, user_id, attendance_id, used_at FROM device_uses;
DROP TABLE device_uses;
ALTER TABLE session_devices RENAME TO device_uses;
