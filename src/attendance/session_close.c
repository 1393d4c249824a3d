/*
 * The end of sessions: closing them when their time is up, and writing down who did not come.
 *
 * The two are apart, because a roster can be long: a session is closed in the first turn, and `settled_at` says that all of its
 * absences stand.  An absence gives way to a claim of before the end (MARK_REPLACE).  A session that was closed before it began
 * took place for nobody.
 */
#include "attendance/session.h"

#include "attendance/count.h"
#include "audit/audit.h"
#include "notify/live.h"
#include "store/db.h"

struct ended {
	struct uuid id, course_id;
	int64_t scheduled_at, ends_at, closed_at;
};
static const struct field ended_fields[] = {
	F(struct ended, id, 0, 0, 0, NULL),
	F(struct ended, course_id, 0, 0, 0, NULL),
	F(struct ended, scheduled_at, F_TIME, 0, 0, NULL),
	F(struct ended, ends_at, F_TIME, 0, 0, NULL),
	F(struct ended, closed_at, F_TIME, 0, 0, NULL),
};
static const struct schema ended_schema = SCHEMA("EndedSession", struct ended, ended_fields);

struct missing {
	struct uuid id; /* of the student */
};
static const struct field missing_fields[] = {F(struct missing, id, 0, 0, 0, NULL)};
static const struct schema missing_schema = SCHEMA("MissingStudent", struct missing, missing_fields);

SQL(ABSENT_LIST, "uui",
	"SELECT n.user_id AS id FROM enrollments n WHERE n.course_id = $1 AND NOT EXISTS (SELECT 1 FROM attendance_records r"
	" WHERE r.event_id = $2 AND r.user_id = n.user_id) ORDER BY n.user_id LIMIT $3");
SQL(ABSENT_INSERT, "uuummtu",
	"INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at, recorded_at, reason,"
	" marked_by) VALUES ($1, $2, $3, 'absent', 'absent', 'manual', $4, $5, $6, $7) ON CONFLICT (event_id, user_id) DO NOTHING");

enum { ABSENT_ARGS = 7, LIST_STEPS = 10 }; /* a list is one round trip, and short */

static enum err
insert_all(struct ctx *cx, const struct absences *in, const struct missing *students, size_t n, int64_t *ret_rows)
{
	const char *who = cx->actor ? cx->actor->user_id.text : NULL;
	struct uuid *ids = arena_new(cx->arena, struct uuid, n);
	struct val *args = arena_new(cx->arena, struct val, n * ABSENT_ARGS);
	struct db_step *steps = arena_new(cx->arena, struct db_step, n);

	for (size_t i = 0; i < n; i++) {
		struct val *a = &args[i * ABSENT_ARGS];
		ids[i] = new_id(cx);
		a[0] = val_text(ids[i].text);
		a[1] = val_text(in->session_id);
		a[2] = val_text(students[i].id.text);
		a[3] = val_int(in->marked_at);
		a[4] = val_int(cx->now_us);
		a[5] = val_text(in->reason);
		a[6] = val_text(who);
		steps[i] = (struct db_step){.sql = &ABSENT_INSERT, .args = a, .n_args = ABSENT_ARGS};
	}
	*ret_rows = 0;
	for (size_t i = 0; i < n; i += LIST_STEPS)
		TRY(db_list(cx, &steps[i], n - i < LIST_STEPS ? n - i : LIST_STEPS));
	for (size_t i = 0; i < n; i++)
		*ret_rows += steps[i].rows;
	return OK;
}

enum err
campus_session_absences(struct ctx *cx, const struct absences *in, int64_t *ret_rows)
{
	struct list missing;
	int64_t rows;

	TRY(db_all(cx, &ABSENT_LIST, &missing_schema, &missing, V(in->course_id), V(in->session_id), V(BULK_TURN_ROWS)));
	*ret_rows = (int64_t)missing.count;
	if (!missing.count)
		return OK;
	TRY(insert_all(cx, in, missing.items, missing.count, &rows));
	TRY(event_recount(cx, in->session_id));
	return audit_ok(cx, AUDIT_ATTENDANCE_CHANGED, "session", in->session_id, AUDIT_TEXT("to", "absent"),
		AUDIT_INT("count", rows));
}

SQL(SETTLE_NEXT, "m",
	"SELECT id, course_id, scheduled_at, ends_at, closed_at FROM events WHERE kind = 'session' AND settled_at IS NULL"
	" AND NOT is_deleted AND (closed_at IS NOT NULL OR ends_at <= $1) ORDER BY ends_at LIMIT 1");
SQL(SETTLE_CLOSE, "um",
	"UPDATE events SET closed_at = ends_at, updated_at = $2 WHERE id = $1 AND closed_at IS NULL AND ends_at <= $2");
SQL(SETTLE_DONE, "um", "UPDATE events SET settled_at = $2 WHERE id = $1");

static enum err
close_ended(struct ctx *cx, struct ended *s)
{
	int64_t rows;

	TRY(db_exec(cx, &SETTLE_CLOSE, &rows, V_ID(s->id), V(cx->now_us)));
	if (!rows)
		return OK;
	s->closed_at = s->ends_at;
	live_mark(cx, s->id.text);
	return audit_ok(cx, AUDIT_SESSION_CLOSED, "session", s->id.text, AUDIT_TEXT("by", "time"));
}

enum err
campus_session_settle(struct ctx *cx, int64_t *ret_rows)
{
	struct ended s;
	int64_t rows = 0;
	bool found;

	TRY(db_find(cx, &SETTLE_NEXT, &ended_schema, &s, &found, V(cx->now_us)));
	*ret_rows = found ? BULK_TURN_ROWS : 0;
	if (!found)
		return OK;
	if (s.closed_at == TIME_NONE)
		TRY(close_ended(cx, &s));
	if (s.closed_at == TIME_NONE) /* somebody has made it longer meanwhile */
		return OK;
	if (s.course_id.text[0] && s.closed_at > s.scheduled_at)
		TRY(campus_session_absences(cx,
			&(const struct absences){.session_id = s.id.text,
				.course_id = s.course_id.text,
				.reason = "Not marked by the end of the session.",
				.marked_at = s.closed_at},
			&rows));
	return rows == BULK_TURN_ROWS ? OK : db_exec(cx, &SETTLE_DONE, NULL, V_ID(s.id), V(cx->now_us));
}
