ALTER TABLE event_counts DROP COLUMN absent;
ALTER TABLE event_counts DROP COLUMN excused;
ALTER TABLE event_counts DROP COLUMN late;
DROP INDEX idx_attendance_flags;
DROP INDEX idx_attendance_review;
