/* Campus: what waits for a human, the decisions about it, and a student's dispute. */
#include "api/route.h"

#include "attendance/review.h"

enum { QUEUE_LIMIT_DEFAULT = 200, QUEUE_LIMIT_MAX = 1000 };

struct queue_query {
	int64_t limit;
};
static const struct field queue_query_fields[] = {
	F(struct queue_query, limit, 0, 1, QUEUE_LIMIT_MAX, "At most so many; default: 200"),
};
static const struct schema queue_query_schema = SCHEMA("QueueQuery", struct queue_query, queue_query_fields);

static enum err
queue(struct ctx *cx, const struct request *rq, struct reply *rs, const char *session_id)
{
	const struct review_scope scope = review_scope_own(cx, session_id);
	const struct queue_query *q = rq->query;
	struct flagged_list out;

	TRY(review_queue(cx, &scope, field_or(q->limit, QUEUE_LIMIT_DEFAULT), &out));
	return reply_record(rs, &flagged_list_schema, &out);
}

static enum err
queue_of_session(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	return queue(cx, rq, rs, rq->params[0]);
}

static enum err
queue_of_all(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	return queue(cx, rq, rs, NULL);
}

/* Of lecturers, reviewers and administrators, with and without a new status. */
static enum err
decide(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct review_scope scope = review_scope_own(cx, NULL);
	struct flagged_row out;

	TRY(review_decide(cx, &scope, rq->params[0], rq->body, &out));
	return reply_record(rs, &decided_row_schema, &out);
}

static enum err
decide_many(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct review_scope scope = review_scope_own(cx, NULL);
	struct decided_list out;

	TRY(review_decide_many(cx, &scope, rq->body, &out));
	return reply_record(rs, &decided_list_schema, &out);
}

static enum err
history(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct flagged_row out;

	TRY(review_history(cx, rq->params[0], &out));
	return reply_record(rs, &record_history_schema, &out);
}

static enum err
dispute(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct dispute out;

	TRY(review_dispute(cx, rq->params[0], rq->body, &out));
	return reply_record(rs, &dispute_schema, &out);
}

/* The rows differ in who may, and in what. */
#define QUEUE_ROW                                                                                                      \
	.method = GET, .lane = LANE_READ, .query = &queue_query_schema, .reply = &flagged_list_schema, .status = 200, \
	.fresh_session = true, .tag = "review"
#define DECIDE_ROW                                                                                                        \
	.method = POST, .handler = decide, .lane = LANE_WRITE, .reply = &decided_row_schema, .status = 200,              \
	.failure = AUDIT_REVIEW_DECIDED, .fresh_session = true, .tag = "review"
#define CONFIRM_ROW DECIDE_ROW, .body = &review_note_schema, .errors = ERRORS(ERR_ALREADY_DECIDED)
#define DECIDE_MANY                                                                                                           \
	.handler = decide_many, .lane = LANE_WRITE, .reply = &decided_list_schema, .status = 200,                              \
	.errors = ERRORS(ERR_NOT_FOUND, ERR_ALREADY_DECIDED), .failure = AUDIT_REVIEW_DECIDED, .fresh_session = true,         \
	.idempotent = true, .tag = "review", .summary = "Decide up to a hundred records at once",                             \
	.text = "With one status and reason; without a status each is confirmed.  All of them or none."

static const struct route rows[] = {
	{QUEUE_ROW,
		.path = "/api/v1/lecturer/sessions/{id}/flagged",
		.handler = queue_of_session,
		.access = LECTURER,
		.summary = "What waits for a decision in a session",
		.text = "Records that a layer flagged, and those whose student disputes them."},
	{QUEUE_ROW,
		.path = "/api/v1/admin/flagged",
		.handler = queue_of_all,
		.access = REVIEWER,
		.summary = "What waits for a decision anywhere"},
	{CONFIRM_ROW,
		.path = "/api/v1/lecturer/attendance/{id}/confirm",
		.access = LECTURER,
		.summary = "Accept a record that waits",
		.text = "A flagged mark becomes present or late, by its time.  The student is told."},
	{CONFIRM_ROW,
		.path = "/api/v1/admin/attendance/{id}/verify",
		.access = REVIEWER,
		.summary = "Accept a record that waits, in any session"},
	{DECIDE_ROW,
		.path = "/api/v1/admin/attendance/{id}/set-status",
		.access = REVIEWER,
		.body = &review_decision_schema,
		.summary = "Decide what a record is, and why",
		.text = "The first status stays in original_status, and every decision in the audit trail.  The student is told, "
			"with the reason."},
	{.method = POST,
		.path = "/api/v1/lecturer/attendance/decide",
		DECIDE_MANY,
		.body = &decisions_own_in_schema,
		.access = LECTURER},
	{.method = POST,
		.path = "/api/v1/admin/attendance/decide",
		DECIDE_MANY,
		.body = &decisions_in_schema,
		.access = REVIEWER},
	{.method = GET,
		.path = "/api/v1/attendance/{id}/history",
		.handler = history,
		.access = SIGNED_IN,
		.lane = LANE_READ,
		.reply = &record_history_schema,
		.status = 200,
		.tag = "review",
		.summary = "A record, how it was judged, and every change: when, by whom and why",
		.text = "For the student concerned, the lecturer whose session it is, reviewers and administrators; a student reads "
			"the reasons, and neither who decided nor what was measured."},
	{.method = POST,
		.path = "/api/v1/student/attendance/{id}/dispute",
		.handler = dispute,
		.access = SIGNED_IN,
		.lane = LANE_WRITE,
		.body = &dispute_in_schema,
		.reply = &dispute_schema,
		.status = 201,
		.errors = ERRORS(ERR_CONFLICT),
		.failure = AUDIT_ATTENDANCE_DISPUTED,
		.idempotent = true,
		.tag = "review",
		.summary = "Say that a record of one's own is wrong",
		.text = "Once per record.  Its lecturer is told, and the record waits for a decision."},
};
const struct route_table campus_review_routes = ROUTE_TABLE(SURFACE_CAMPUS, rows);
