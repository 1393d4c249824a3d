/* Private to attendance/: a session as a row. */
#ifndef MUSTER_ATTENDANCE_SESSION_ROW_H
#define MUSTER_ATTENDANCE_SESSION_ROW_H

#include "attendance/session.h"

extern const struct schema session_row_schema;

/* `status` is session_status()'s, and counts are the asker's to add. */
#define SESSION_COLUMNS_AS(p)                                                                                                   \
	"e.id AS \"" p "id\", c.id AS \"" p "course.id\", c.code AS \"" p "course.code\", c.title AS \"" p "course.title\","    \
	" l.id AS \"" p "lecturer.id\", l.full_name AS \"" p "lecturer.full_name\", e.title AS \"" p "title\","                 \
	" e.label AS \"" p "code\", e.scheduled_at AS \"" p "starts_at\", e.ends_at AS \"" p "ends_at\","                       \
	" e.closed_at AS \"" p "closed_at\", e.latitude AS \"" p "latitude\", e.longitude AS \"" p "longitude\","               \
	" e.geofence_radius_m AS \"" p "geofence_radius_m\", e.rotate_seconds AS \"" p "rotate_seconds\","                      \
	" e.require_device AS \"" p "require_device\", e.require_face AS \"" p "require_face\","                                \
	" e.require_liveness AS \"" p "require_liveness\","                                                                     \
	" e.late_after_minutes AS \"" p "late_after_minutes\""
#define SESSION_COLUMNS SESSION_COLUMNS_AS("")
#define SESSION_TABLES "events e JOIN users l ON l.id = e.owner_id LEFT JOIN courses c ON c.id = e.course_id"

#endif
