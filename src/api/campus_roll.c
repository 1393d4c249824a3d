/* Campus: a session's records, by hand and as a list; and a student's own. */
#include "api/lists.h"

#include "attendance/manual.h"
#include "attendance/session.h"
#include "store/db.h"

/* Whose the session is; the functions of attendance/manual.h are an administrator's and ask nobody. */
static enum err
own_session(struct ctx *cx, const struct request *rq)
{
	struct campus_session session;

	return campus_session_get(cx, rq->params[0], &session);
}

static enum err
roll(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct roll out;

	TRY(own_session(cx, rq));
	TRY(record_list_event(cx, rq->params[0], limit_of(rq), &out));
	return reply_record(rs, &roll_schema, &out);
}

static enum err
create(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct manual_record out;

	TRY(own_session(cx, rq));
	TRY(manual_create(cx, rq->params[0], rq->body, &out));
	return reply_record(rs, &manual_record_schema, &out);
}

static enum err
change(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct manual_record out;

	TRY(own_session(cx, rq));
	TRY(manual_change(cx, rq->params[0], rq->params[1], rq->body, &out));
	return reply_record(rs, &manual_record_schema, &out);
}

/* --- the rest is absent ------------------------------------------------------------------------------------------------------ */

struct rest_in {
	const char *reason;
};
static const struct field rest_in_fields[] = {
	F(struct rest_in, reason, F_TRIM | F_MULTILINE, 1, TEXT_MAX_BYTES, "Why; the students read it"),
};
static const struct schema rest_in_schema = SCHEMA("RestAbsentIn", struct rest_in, rest_in_fields);
struct rest_out {
	int64_t added;
};
static const struct field rest_out_fields[] = {F(struct rest_out, added, 0, 0, 0, "How many are absent now that had no record")};
static const struct schema rest_out_schema = SCHEMA("RestAbsent", struct rest_out, rest_out_fields);

struct resting {
	const struct request *rq;
	struct campus_session session;
	struct absences absences;
	int64_t rows;
};

static enum err
rest_read(struct ctx *cx, void *arg)
{
	struct resting *r = arg;

	return campus_session_get(cx, r->rq->params[0], &r->session);
}

static enum err
rest_turn(struct ctx *cx, void *arg)
{
	struct resting *r = arg;

	return campus_session_absences(cx, &r->absences, &r->rows);
}

static enum err
rest_absent(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct rest_in *in = rq->body;
	struct resting r = {.rq = rq};
	struct rest_out out = {0};

	TRY(db_read(cx, rest_read, &r));
	if (!r.session.course)
		return fail(cx, ERR_CONFLICT, "The session has no course, so nobody is missing.");
	if (str_eq(r.session.status, "scheduled"))
		return fail(cx, ERR_EVENT_NOT_OPEN, "The session has not begun.");
	r.absences = (struct absences){.session_id = r.session.id.text,
		.course_id = r.session.course->id.text,
		.reason = in->reason ? in->reason : "Not there when the lecturer looked.",
		.marked_at = cx->now_us};
	do {
		TRY(db_write_bulk(cx, rest_turn, &r));
		out.added += r.rows;
	} while (r.rows == BULK_TURN_ROWS);
	return reply_record(rs, &rest_out_schema, &out);
}

/* --- students ---------------------------------------------------------------------------------------------------------------- */

struct own_marks {
	struct list records;
};
static const struct field own_marks_fields[] = {F_LIST(struct own_marks, records, 0, &history_row_schema, "Newest first")};
static const struct schema own_marks_schema = SCHEMA("OwnMarks", struct own_marks, own_marks_fields);

static enum err
own_marks(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct own_marks out;

	TRY(campus_session_history(cx, limit_of(rq), &out.records));
	return reply_record(rs, &own_marks_schema, &out);
}

struct own_sessions {
	struct list sessions;
};
static const struct field own_sessions_fields[] = {
	F_LIST(struct own_sessions, sessions, 0, &session_student_schema, "Which ends first"),
};
static const struct schema own_sessions_schema = SCHEMA("OwnSessions", struct own_sessions, own_sessions_fields);

static enum err
own_sessions(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct own_sessions out;

	(void)rq;
	TRY(campus_session_list_own(cx, &out.sessions));
	return reply_record(rs, &own_sessions_schema, &out);
}

static const struct route rows[] = {
	{.method = GET,
		.path = "/api/v1/lecturer/sessions/{id}/attendance",
		.handler = roll,
		.access = LECTURER,
		.lane = LANE_READ,
		.query = &limit_query_schema,
		.reply = &roll_schema,
		.status = 200,
		.tag = "sessions",
		.summary = "Who marked a session"},
	{.method = POST,
		.path = "/api/v1/lecturer/sessions/{id}/attendance",
		.handler = create,
		.access = LECTURER,
		.lane = LANE_WRITE,
		.body = &manual_new_schema,
		.reply = &manual_record_schema,
		.status = 201,
		.errors = ERRORS(ERR_DUPLICATE_ATTENDANCE),
		.failure = AUDIT_ATTENDANCE_CHANGED,
		.idempotent = true,
		.tag = "sessions",
		.summary = "Record somebody's attendance by hand",
		.text = "Also for who is on no roster, and after the end.  The student is told, with the reason."},
	{.method = PATCH,
		.path = "/api/v1/lecturer/sessions/{id}/attendance/{attendance_id}",
		.handler = change,
		.access = LECTURER,
		.lane = LANE_WRITE,
		.body = &manual_own_change_schema,
		.reply = &manual_record_schema,
		.status = 200,
		.failure = AUDIT_ATTENDANCE_CHANGED,
		.tag = "sessions",
		.summary = "Change a record by hand",
		.text = "The first status stays in original_status.  The student is told, with the reason."},
	{.method = POST,
		.path = "/api/v1/lecturer/sessions/{id}/rest-absent",
		.handler = rest_absent,
		.access = LECTURER,
		.lane = LANE_WORK,
		.body = &rest_in_schema,
		.reply = &rest_out_schema,
		.status = 200,
		.errors = ERRORS(ERR_CONFLICT, ERR_EVENT_NOT_OPEN),
		.tag = "sessions",
		.summary = "Record everybody else on the roster as absent",
		.text = "Who comes later can be changed by hand; a claim of before the end takes the absence's place by itself."},
	{.method = GET,
		.path = "/api/v1/student/attendance",
		.handler = own_marks,
		.access = STUDENT,
		.lane = LANE_READ,
		.query = &limit_query_schema,
		.reply = &own_marks_schema,
		.status = 200,
		.tag = "sessions",
		.summary = "One's own records, with reasons"},
	{.method = GET,
		.path = "/api/v1/student/sessions",
		.handler = own_sessions,
		.access = STUDENT,
		.lane = LANE_READ,
		.reply = &own_sessions_schema,
		.status = 200,
		.tag = "sessions",
		.summary = "Open sessions of one's courses"},
};
const struct route_table campus_roll_routes = ROUTE_TABLE(SURFACE_CAMPUS, rows);
