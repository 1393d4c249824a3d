/* Campus: a lecturer's sessions. */
#include "api/lists.h"

#include "attendance/session.h"

struct sessions {
	struct list sessions;
};
static const struct field sessions_fields[] = {F_LIST(struct sessions, sessions, 0, &session_schema, "Newest first")};
static const struct schema sessions_schema = SCHEMA("CampusSessions", struct sessions, sessions_fields);

struct sessions_query {
	int64_t limit;
	struct uuid course_id;
};
static const struct field sessions_query_fields[] = {
	LIMIT_FIELD(struct sessions_query),
	F(struct sessions_query, course_id, 0, 0, 0, "Only this course's"),
};
static const struct schema sessions_query_schema = SCHEMA("SessionsQuery", struct sessions_query, sessions_query_fields);

static enum err
create(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct campus_session out;

	TRY(campus_session_create(cx, rq->body, &out));
	return reply_record(rs, &session_schema, &out);
}

static enum err
list(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct sessions_query *q = rq->query;
	const char *course_id = q->course_id.text[0] ? q->course_id.text : NULL;
	struct sessions out;

	TRY(campus_session_list(cx, course_id, field_or(q->limit, LIST_MAX), &out.sessions));
	return reply_record(rs, &sessions_schema, &out);
}

static enum err
get(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct campus_session out;

	TRY(campus_session_get(cx, rq->params[0], &out));
	return reply_record(rs, &session_schema, &out);
}

static enum err
change(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct campus_session out;

	TRY(campus_session_change(cx, rq->params[0], rq->body, &out));
	return reply_record(rs, &session_schema, &out);
}

static enum err
close_session(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct campus_session out;

	TRY(campus_session_close(cx, rq->params[0], &out));
	return reply_record(rs, &session_schema, &out);
}

static enum err
regenerate(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct campus_session out;

	TRY(campus_session_regenerate(cx, rq->params[0], &out));
	return reply_record(rs, &session_schema, &out);
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/api/v1/lecturer/sessions",
		.handler = create,
		.access = LECTURER,
		.lane = LANE_WRITE,
		.body = &session_new_schema,
		.reply = &session_schema,
		.status = 201,
		.errors = ERRORS(ERR_NOT_FOUND, ERR_FACE_NOT_INSTALLED),
		.idempotent = true,
		.tag = "sessions",
		.summary = "Make a session",
		.text = "It begins now unless starts_at says otherwise, and takes marks for duration_minutes.  With a course, only "
			"those on its roster may mark, and who has not is absent at the end."},
	{.method = GET,
		.path = "/api/v1/lecturer/sessions",
		.handler = list,
		.access = LECTURER,
		.lane = LANE_READ,
		.query = &sessions_query_schema,
		.reply = &sessions_schema,
		.status = 200,
		.tag = "sessions",
		.summary = "One's sessions",
		.text = "Administrators see everybody's."},
	{.method = GET,
		.path = "/api/v1/lecturer/sessions/{id}",
		.handler = get,
		.access = LECTURER,
		.lane = LANE_READ,
		.reply = &session_schema,
		.status = 200,
		.tag = "sessions",
		.summary = "One session"},
	{.method = PATCH,
		.path = "/api/v1/lecturer/sessions/{id}",
		.handler = change,
		.access = LECTURER,
		.lane = LANE_WRITE,
		.body = &session_change_schema,
		.reply = &session_schema,
		.status = 200,
		.errors = ERRORS(ERR_SESSION_CLOSED, ERR_FACE_NOT_INSTALLED),
		.tag = "sessions",
		.summary = "Change a session",
		.text = "What is left out stays.  Another rotate_seconds withdraws the code on the screen.  An empty list of "
			"networks lifts that restriction."},
	{.method = POST,
		.path = "/api/v1/lecturer/sessions/{id}/close",
		.handler = close_session,
		.access = LECTURER,
		.lane = LANE_WRITE,
		.reply = &session_schema,
		.status = 200,
		.tag = "sessions",
		.summary = "Close a session before its time",
		.text = "Doing it twice is no error.  Absences are written within half a minute; none for a session that had not "
			"begun."},
	{.method = POST,
		.path = "/api/v1/lecturer/sessions/{id}/regenerate",
		.handler = regenerate,
		.access = LECTURER,
		.lane = LANE_WRITE,
		.reply = &session_schema,
		.status = 200,
		.errors = ERRORS(ERR_SESSION_CLOSED),
		.tag = "sessions",
		.summary = "Give a session a new label",
		.text = "Every code and every claim made before is withdrawn."},
};
const struct route_table campus_session_routes = ROUTE_TABLE(SURFACE_CAMPUS, rows);
