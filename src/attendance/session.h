/*
 * Campus sessions: events of kind `session`, with an owner, perhaps a course, a window, and rotating codes.
 *
 * A session belongs to one lecturer; every function here answers ERR_NOT_FOUND for somebody else's, and administrators see all.
 * Its state is derived: closed when closed_at stands or ends_at has passed, scheduled before starts_at, else open.
 */
#ifndef MUSTER_ATTENDANCE_SESSION_H
#define MUSTER_ATTENDANCE_SESSION_H

#include "core/field.h"

enum { DURATION_MAX_MINUTES = 1440 };

struct session_in { /* also a change: absent members keep */
	struct uuid course_id;
	const char *title;
	int64_t starts_at, duration_minutes;
	double latitude, longitude, geofence_radius_m;
	int64_t rotate_seconds;
	enum tri require_device, require_face, require_liveness;
	int64_t late_after_minutes;
	struct list networks; /* of CIDRs */
	const char *policy;
	const char *code; /* ignored: clients of the old system send it */
};
extern const struct schema session_new_schema, session_change_schema; /* of struct session_in */

struct session_course {
	struct uuid id;
	const char *code, *title;
};
struct session_lecturer {
	struct uuid id;
	const char *full_name;
};
struct session_counts {
	int64_t present, late, excused, absent, flagged, rejected;
};
struct campus_session {
	struct uuid id;
	struct session_course *course; /* NULL: none */
	struct session_lecturer lecturer;
	const char *title, *code; /* code: the lasting label */
	const char *status;	  /* "scheduled" "open" "closed" */
	int64_t starts_at, ends_at, closed_at;
	double latitude, longitude, geofence_radius_m;
	int64_t rotate_seconds;
	bool require_device, require_face, require_liveness;
	int64_t late_after_minutes;
	const char *networks, *policy; /* JSON */
	struct session_counts counts;
	int64_t generation; /* no reply has it */
};
extern const struct schema session_schema;		     /* a lecturer's view */
extern const struct schema session_student_schema;	     /* without networks, policy and counts */
extern const struct schema session_course_schema, session_lecturer_schema;

const char *session_status(int64_t starts_at, int64_t ends_at, int64_t closed_at, int64_t now_us);
/* NULL for administrators, who see everybody's; for WHERE … {?n AND owner_id = $n}. */
const char *owner_only(const struct ctx *cx);

/* ERR_NOT_FOUND: no such course of the actor's; ERR_VALIDATION; ERR_FACE_NOT_INSTALLED; ERR_CONFLICT: no label was free. */
enum err campus_session_create(struct ctx *cx, const struct session_in *in, struct campus_session *ret) MUST_CHECK;
enum err campus_session_get(struct ctx *cx, const char *id, struct campus_session *ret) MUST_CHECK;
/* Whoever asks: for screens, which have a right of their own. */
enum err campus_session_any(struct ctx *cx, const char *id, struct campus_session *ret) MUST_CHECK;
enum err campus_session_list(struct ctx *cx, const char *course_id, int64_t limit, struct list *ret) MUST_CHECK;
/* The same, and ERR_SESSION_CLOSED. */
enum err campus_session_change(struct ctx *cx, const char *id, const struct session_in *in, struct campus_session *ret) MUST_CHECK;
/* Closing what is closed is no error. */
enum err campus_session_close(struct ctx *cx, const char *id, struct campus_session *ret) MUST_CHECK;
/* A new label and a new generation: every code and every claim that is out dies.  ERR_SESSION_CLOSED, ERR_CONFLICT. */
enum err campus_session_regenerate(struct ctx *cx, const char *id, struct campus_session *ret) MUST_CHECK;

/* --- absences (session_close.c) ---- */

/* Job, every 10 s: closes sessions past their end, and writes absences of closed ones that have a roster, in turns. */
enum err campus_session_settle(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
/*
 * One turn: absences for at most BULK_TURN_ROWS of the course's roster who have no record; call again while *ret_rows is that.
 * The actor, when there is one, stands as who made them.
 */
struct absences {
	const char *session_id, *course_id, *reason;
	int64_t marked_at;
};
enum err campus_session_absences(struct ctx *cx, const struct absences *in, int64_t *ret_rows) MUST_CHECK;

/* --- reminders (session_remind.c) ---- */

/* Job, every minute: tells the rosters of sessions that begin within 30 minutes, each once, in turns. */
enum err campus_session_remind(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
/* A change of the beginning that wants the roster reminded once more: reminded_at and reminded_to become null. */
bool session_reminds_again(const struct ctx *cx, int64_t old_starts_at, int64_t starts_at);

/* --- what students see (session_student.c) ---- */

/* Open sessions of courses whose roster has the actor. */
enum err campus_session_list_own(struct ctx *cx, struct list *ret) MUST_CHECK;

struct history_session {
	struct uuid id;
	struct session_course *course; /* NULL: none */
	const char *title;
	int64_t starts_at;
};
struct history_row {
	struct uuid attendance_id;
	struct history_session session;
	const char *status, *original_status, *method;
	int64_t marked_at, distance_m;
	const char *reason;	   /* of a change by hand */
	const char *flags, *layers;
	struct list reasons;	   /* of const char *: what the checks found, in plain words */
	const char *dispute_note;
	int64_t disputed_at;
};
extern const struct schema history_row_schema;
enum err campus_session_history(struct ctx *cx, int64_t limit, struct list *ret) MUST_CHECK;

#endif
