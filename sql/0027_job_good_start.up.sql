-- When the last run that went well began; last_started_at may be of one that failed.
ALTER TABLE jobs ADD COLUMN last_good_start TIMESTAMPTZ;
UPDATE jobs SET last_good_start = CASE WHEN last_error IS NULL THEN last_started_at ELSE last_finished_at END;
