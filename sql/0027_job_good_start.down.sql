ALTER TABLE jobs DROP COLUMN last_good_start;
