DROP TABLE device_uses;
DROP INDEX idx_devices_pending;
DROP INDEX idx_devices_bound_hash;
DROP INDEX idx_devices_bound;
CREATE INDEX idx_devices_hash ON devices (device_hash);
ALTER TABLE devices DROP COLUMN key_id;
