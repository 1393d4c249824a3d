ALTER TABLE devices DROP COLUMN reason;
