-- What waits for a human, in the order of marking; and the flags there are, for the analytics.
CREATE INDEX idx_attendance_review ON attendance_records (marked_at, id) WHERE (status = 'flagged' OR disputed_at IS NOT NULL);
CREATE INDEX idx_attendance_flags ON attendance_records (flags) WHERE flags IS NOT NULL;

-- The counts by status, filled anew for what was counted already.
ALTER TABLE event_counts ADD COLUMN late BIGINT NOT NULL DEFAULT 0;
ALTER TABLE event_counts ADD COLUMN excused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE event_counts ADD COLUMN absent BIGINT NOT NULL DEFAULT 0;
DELETE FROM event_counts;
INSERT INTO event_counts (event_id, records, attended, present, late, excused, absent)
	SELECT event_id, COUNT(*), SUM(CASE WHEN status IN ('present','late','flagged') THEN 1 ELSE 0 END),
		SUM(CASE WHEN status IN ('present','late') THEN 1 ELSE 0 END), SUM(CASE WHEN status = 'late' THEN 1 ELSE 0 END),
		SUM(CASE WHEN status = 'excused' THEN 1 ELSE 0 END), SUM(CASE WHEN status = 'absent' THEN 1 ELSE 0 END)
	FROM attendance_records WHERE id <= (SELECT reached FROM positions WHERE name = 'event_counts') GROUP BY event_id;
