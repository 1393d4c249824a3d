/* Campus: dashboard, series, absences, analytics, and a session's roll to take away. */
#include "api/route.h"

#include "attendance/report.h"
#include "store/db.h"

static enum err
dashboard(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct dashboard out;

	(void)rq;
	TRY(report_dashboard(cx, &out));
	return reply_record(rs, &dashboard_schema, &out);
}

static enum err
series(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct report out;

	TRY(report_series(cx, rq->query, &out));
	return reply_record(rs, &report_schema, &out);
}

struct absence_query {
	int64_t consecutive;
};
static const struct field absence_query_fields[] = {
	F(struct absence_query, consecutive, 0, 1, 100, "Sessions missed in a row; default: 3"),
};
static const struct schema absence_query_schema = SCHEMA("AbsenceQuery", struct absence_query, absence_query_fields);

static enum err
absences(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	enum { CONSECUTIVE_DEFAULT = 3 };
	const struct absence_query *q = rq->query;
	struct absence_list out;

	TRY(report_absences(cx, rq->params[0], field_or(q->consecutive, CONSECUTIVE_DEFAULT), &out));
	return reply_record(rs, &absence_list_schema, &out);
}

static enum err
analytics(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct analytics out;

	(void)rq;
	TRY(report_analytics(cx, &out));
	return reply_record(rs, &analytics_schema, &out);
}

/* --- export: read on a read connection, then its audit row through the writer ---------------------------------------------- */

static const char *const formats[] = {"", "csv", "xlsx", "json", NULL};
enum { FORMAT_CSV = 1, FORMAT_XLSX, FORMAT_JSON };

struct export_query {
	int format;
};
static const struct field export_query_fields[] = {
	F_ENUM(struct export_query, format, 0, formats, "Default: csv"),
};
static const struct schema export_query_schema = SCHEMA("ExportQuery", struct export_query, export_query_fields);

struct export
{
	const char *session_id, *format;
	struct session_roll roll;
};

static enum err
export_read(struct ctx *cx, void *arg)
{
	struct export *e = arg;

	return report_session_roll(cx, e->session_id, &e->roll);
}

static enum err
export_audit(struct ctx *cx, void *arg)
{
	const struct export *e = arg;

	return audit_ok(cx, AUDIT_EXPORT, "event", e->session_id, AUDIT_TEXT("format", e->format),
		AUDIT_INT("records", (int64_t)e->roll.records.count));
}

static enum err
roll_json(struct ctx *cx, const struct session_roll *roll, struct span *ret)
{
	struct buf b;
	struct json j;

	buf_init(&b, cx->arena, 256 + roll->records.count * 256);
	json_init(&j, &b);
	field_write_json(&j, NULL, &session_roll_schema, roll);
	*ret = buf_span(&b);
	return OK;
}

static enum err
export_roll(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct export_query *q = rq->query;
	int format = q->format ? q->format : FORMAT_CSV;
	struct export e = {.session_id = rq->params[0], .format = formats[format]};
	const struct sheet_format *as = format == FORMAT_XLSX ? &sheet_as_xlsx : &sheet_as_csv;
	struct span file;

	TRY(db_read(cx, export_read, &e));
	const struct sheet sheet = report_session_sheet(cx, &e.roll);
	TRY(format == FORMAT_JSON ? roll_json(cx, &e.roll, &file) : as->make(cx, &sheet, &file));
	TRY(db_write(cx, export_audit, &e));
	reply_header(rs, "Content-Disposition",
		arena_printf(rs->arena, "attachment; filename=\"attendance-%s.%s\"", e.session_id, e.format));
	return reply_bytes(rs, format == FORMAT_JSON ? "application/json" : as->content_type, file);
}

static const struct route rows[] = {
	{.method = GET,
		.path = "/api/v1/lecturer/dashboard",
		.handler = dashboard,
		.access = LECTURER,
		.lane = LANE_READ,
		.reply = &dashboard_schema,
		.status = 200,
		.tag = "reports",
		.summary = "Totals over one's own sessions",
		.text = "An administrator's are over all sessions."},
	{.method = GET,
		.path = "/api/v1/lecturer/reports",
		.handler = series,
		.access = LECTURER,
		.lane = LANE_READ,
		.query = &report_query_schema,
		.reply = &report_schema,
		.status = 200,
		.tag = "reports",
		.summary = "Attendance by day, week or month"},
	{.method = GET,
		.path = "/api/v1/lecturer/courses/{id}/absences",
		.handler = absences,
		.access = LECTURER,
		.lane = LANE_READ,
		.query = &absence_query_schema,
		.reply = &absence_list_schema,
		.status = 200,
		.tag = "reports",
		.summary = "Who missed the latest sessions of a course"},
	{.method = GET,
		.path = "/api/v1/lecturer/sessions/{id}/export",
		.handler = export_roll,
		.access = LECTURER,
		.lane = LANE_WORK,
		.query = &export_query_schema,
		.reply_type = "text/csv",
		.status = 200,
		.no_store = true,
		.tag = "reports",
		.summary = "A session's roll as CSV, workbook or JSON",
		.text = "Cells that a spreadsheet would run as a formula begin with an apostrophe.  The export is audited."},
	{.method = GET,
		.path = "/api/v1/admin/analytics",
		.handler = analytics,
		.access = ADMIN,
		.lane = LANE_READ,
		.reply = &analytics_schema,
		.status = 200,
		.fresh_session = true,
		.tag = "reports",
		.summary = "Accounts, sessions, records and flags in numbers"},
};
const struct route_table campus_report_routes = ROUTE_TABLE(SURFACE_CAMPUS, rows);
