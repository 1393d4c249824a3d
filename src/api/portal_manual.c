/* Portal: attendance that administrators record, change or remove by hand. */
#include "api/route.h"

#include "attendance/manual.h"

static enum err
create(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct manual_record out;

	TRY(manual_create(cx, rq->params[0], rq->body, &out));
	return reply_record(rs, &manual_record_schema, &out);
}

static enum err
change(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct manual_record out;

	TRY(manual_change(cx, rq->params[0], rq->params[1], rq->body, &out));
	return reply_record(rs, &manual_record_schema, &out);
}

static enum err delete (struct ctx *cx, const struct request *rq, struct reply *rs) {
	const struct manual_in *in = rq->body;

	TRY(manual_delete(cx, rq->params[0], rq->params[1], in->reason));
	return reply_empty(rs, 204);
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/api/admin/events/{id}/attendance",
		.handler = create,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.body = &manual_new_schema,
		.reply = &manual_record_schema,
		.status = 201,
		.errors = ERRORS(ERR_DUPLICATE_ATTENDANCE),
		.failure = AUDIT_ATTENDANCE_CHANGED,
		.idempotent = true,
		.fresh_session = true,
		.tag = "attendance",
		.summary = "Record somebody's attendance by hand",
		.text = "Also for who is on no roster, and beyond the capacity.  The student is told, with the reason."},
	{.method = PATCH,
		.path = "/api/admin/events/{id}/attendance/{attendance_id}",
		.handler = change,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.body = &manual_change_schema,
		.reply = &manual_record_schema,
		.status = 200,
		.failure = AUDIT_ATTENDANCE_CHANGED,
		.fresh_session = true,
		.tag = "attendance",
		.summary = "Change a record by hand",
		.text = "The first status stays in original_status.  The student is told, with the reason."},
	{.method = DELETE,
		.path = "/api/admin/events/{id}/attendance/{attendance_id}",
		.handler = delete,
		.access = ADMIN,
		.lane = LANE_WRITE,
		.body = &manual_delete_schema,
		.status = 204,
		.failure = AUDIT_ATTENDANCE_CHANGED,
		.fresh_session = true,
		.tag = "attendance",
		.summary = "Remove a record",
		.text = "The student can mark again, but not with the code that made this record (nonce_reused).  The audit "
			"trail keeps what it said."},
};
const struct route_table portal_manual_routes = ROUTE_TABLE(SURFACE_PORTAL, rows);
