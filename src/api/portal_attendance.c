/* Portal: claims, marks, a student's own records, and an event's roll for administrators. */
#include "api/lists.h"

#include "attendance/mark.h"
#include "attendance/record.h"
#include "store/db.h"
#include "core/conf.h"

static enum err
claim(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct claim_out out;

	TRY(attendance_claim(cx, rq->body, &out));
	return reply_record(rs, &claim_out_schema, &out);
}

static void
mark_ahead(struct ctx *cx, const struct request *rq)
{
	attendance_mark_ahead(cx, rq->body);
}

static enum err
mark(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct mark_out out;

	TRY(attendance_mark(cx, rq->body, &out));
	return reply_record(rs, &mark_out_schema, &out);
}

/* An event that is not told is refused by the handler. */
static size_t
claim_counts(struct ctx *cx, const void *body, struct limit_hit ret[LIMIT_HITS_MAX])
{
	const struct claim_in *in = body;

	return in->code ? typed_code_hits(cx, in->event_id, ret) : 0;
}

static size_t
mark_counts(struct ctx *cx, const void *body, struct limit_hit ret[LIMIT_HITS_MAX])
{
	const struct mark_in *in = body;

	return in->code ? typed_code_hits(cx, in->event_id, ret) : 0;
}

static enum err
own_records(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct own_records out;

	TRY(record_list_own(cx, limit_of(rq), &out));
	return reply_record(rs, &own_records_schema, &out);
}

static enum err
roll(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct roll out;

	TRY(record_list_event(cx, rq->params[0], limit_of(rq), &out));
	return reply_record(rs, &roll_schema, &out);
}

/* --- export: read on a read connection, then its audit row through the writer --------------------------------------------- */

struct export
{
	const char *event_id, *format;
	struct roll roll;
};

static enum err
export_read(struct ctx *cx, void *arg)
{
	struct export *e = arg;

	return record_list_all(cx, e->event_id, &e->roll);
}

static enum err
export_audit(struct ctx *cx, void *arg)
{
	const struct export *e = arg;

	return audit_ok(cx, AUDIT_EXPORT, "event", e->event_id, AUDIT_TEXT("format", e->format),
		AUDIT_INT("records", (int64_t)e->roll.records.count));
}

static enum err
roll_file(struct ctx *cx, const struct request *rq, struct reply *rs, const struct sheet_format *as)
{
	struct export e = {.event_id = rq->params[0], .format = as->name};
	struct span file;

	TRY(db_read(cx, export_read, &e));
	const struct sheet sheet = record_sheet(cx, &e.roll);
	TRY(as->make(cx, &sheet, &file));
	TRY(db_write(cx, export_audit, &e));
	reply_header(rs, "Content-Disposition",
		arena_printf(rs->arena, "attachment; filename=\"attendance-%s.%s\"", e.event_id, as->name));
	return reply_bytes(rs, as->content_type, file);
}

static enum err
roll_csv(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	return roll_file(cx, rq, rs, &sheet_as_csv);
}

static enum err
roll_xlsx(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	return roll_file(cx, rq, rs, &sheet_as_xlsx);
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/api/attendance/claim",
		.handler = claim,
		.access = ANYONE,
		.lane = LANE_READ,
		.count = {claim_counts, ERR_INVALID_QR, typed_code_refusal},
		.hall = true,
		.body = &claim_in_schema,
		.reply = &claim_out_schema,
		.status = 201,
		.errors = ERRORS(ERR_INVALID_QR, ERR_INVALID_SIGNATURE, ERR_QR_REVOKED, ERR_QR_EXPIRED, ERR_EVENT_NOT_FOUND,
			ERR_EVENT_NOT_OPEN, ERR_SESSION_CLOSED, ERR_EVENT_FULL, ERR_CONFLICT),
		.no_store = true,
		.tag = "attendance",
		.summary = "Keep a scan until one has signed in",
		.text = "Needs no login and writes nothing.  With a public key, the mark must prove that it comes from the same "
			"browser."},
	{.method = POST,
		.path = "/api/attendance/mark",
		.handler = mark,
		.ahead = mark_ahead,
		.access = SIGNED_IN,
		.lane = LANE_WRITE,
		.limit = {{"mark", 5, 60}, BY_ACCOUNT, offsetof(struct config, rl_mark_account_limit)},
		.count = {mark_counts, ERR_INVALID_QR, typed_code_refusal},
		.body = &mark_in_schema,
		.reply = &mark_out_schema,
		.status = 201,
		.errors = ERRORS(ERR_INVALID_QR, ERR_INVALID_SIGNATURE, ERR_QR_REVOKED, ERR_QR_EXPIRED, ERR_EVENT_NOT_FOUND,
			ERR_EVENT_NOT_OPEN, ERR_SESSION_CLOSED, ERR_EVENT_FULL, ERR_NOT_ENROLLED, ERR_DUPLICATE_ATTENDANCE,
			ERR_NONCE_REUSED, ERR_INVALID_PROOF, ERR_CONFLICT, ERR_DEVICE_MISMATCH, ERR_OUTSIDE_GEOFENCE,
			ERR_NETWORK_NOT_ALLOWED),
		.failure = AUDIT_ATTENDANCE_FAILED,
		.idempotent = true,
		.tag = "attendance",
		.summary = "Mark one's attendance",
		.text = "With a scanned code, a claim, or a typed code and its event.  One record per event and account: a "
			"second mark is 409"
			" with the id and time of the first."},
	{.method = GET,
		.path = "/api/attendance/me",
		.handler = own_records,
		.access = SIGNED_IN,
		.lane = LANE_READ,
		.query = &limit_query_schema,
		.reply = &own_records_schema,
		.status = 200,
		.tag = "attendance",
		.summary = "One's own records and rate"},
	{.method = GET,
		.path = "/api/admin/events/{id}/attendance",
		.handler = roll,
		.access = ADMIN,
		.lane = LANE_READ,
		.query = &limit_query_schema,
		.reply = &roll_schema,
		.status = 200,
		.fresh_session = true,
		.tag = "attendance",
		.summary = "Who marked an event"},
	{.method = GET,
		.path = "/api/admin/events/{id}/attendance.csv",
		.handler = roll_csv,
		.access = ADMIN,
		.lane = LANE_WORK,
		.reply_type = "text/csv",
		.status = 200,
		.no_store = true,
		.tag = "attendance",
		.summary = "The same as CSV",
		.text = "Cells that a spreadsheet would run as a formula begin with an apostrophe.  The export is audited."},
	{.method = GET,
		.path = "/api/admin/events/{id}/attendance.xlsx",
		.handler = roll_xlsx,
		.access = ADMIN,
		.lane = LANE_WORK,
		.reply_type = XLSX_TYPE,
		.status = 200,
		.no_store = true,
		.tag = "attendance",
		.summary = "The same as a workbook",
		.text = "Every cell is a text.  The export is audited."},
};
const struct route_table portal_attendance_routes = ROUTE_TABLE(SURFACE_PORTAL, rows);
