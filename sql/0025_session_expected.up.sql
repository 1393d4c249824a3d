-- A session that was over before its roster came was given the number of all students.  Those that had nobody on the roster when they
-- ended are to be counted again; the job writes them.
UPDATE events SET expected = NULL WHERE kind = 'session' AND expected IS NOT NULL AND NOT EXISTS (
	SELECT 1 FROM enrollments n WHERE n.course_id = events.course_id AND n.created_at <= COALESCE(events.ends_at, events.scheduled_at));
