/* Campus: courses and their rosters. */
#include "api/lists.h"

#include "attendance/course.h"

struct courses {
	struct list courses;
};
static const struct field courses_fields[] = {F_LIST(struct courses, courses, 0, &course_schema, "Newest first")};
static const struct schema courses_schema = SCHEMA("Courses", struct courses, courses_fields);

struct roster {
	struct list students;
};
static const struct field roster_fields[] = {F_LIST(struct roster, students, 0, &roster_student_schema, "By name")};
static const struct schema roster_schema = SCHEMA("Roster", struct roster, roster_fields);

static enum err
create(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct course out;

	TRY(course_create(cx, rq->body, &out));
	return reply_record(rs, &course_schema, &out);
}

static enum err
list(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct courses out;

	TRY(course_list(cx, limit_of(rq), &out.courses));
	return reply_record(rs, &courses_schema, &out);
}

static enum err
roster(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	struct roster out;

	TRY(course_roster(cx, rq->params[0], &out.students));
	return reply_record(rs, &roster_schema, &out);
}

struct enrol_query {
	enum tri dry_run;
};
static const struct field enrol_query_fields[] = {
	F(struct enrol_query, dry_run, 0, 0, 0, "true: of a file, only say what would be done"),
};
static const struct schema enrol_query_schema = SCHEMA("EnrolQuery", struct enrol_query, enrol_query_fields);

static enum err
enrol(struct ctx *cx, const struct request *rq, struct reply *rs)
{
	const struct enrol_query *q = rq->query;
	struct roster_report out;

	if (rq->body) {
		TRY(course_enrol(cx, rq->params[0], rq->body, &out));
	} else {
		TRY(course_enrol_csv(cx, rq->params[0], rq->raw_body, q->dry_run == TRI_YES, &out));
		rs->status = 200;
	}
	return reply_record(rs, &roster_report_schema, &out);
}

static const struct route rows[] = {
	{.method = POST,
		.path = "/api/v1/lecturer/courses",
		.handler = create,
		.access = LECTURER,
		.lane = LANE_WRITE,
		.body = &course_new_schema,
		.reply = &course_schema,
		.status = 201,
		.idempotent = true,
		.tag = "courses",
		.summary = "Make a course",
		.text = "The same code may come again, for another term."},
	{.method = GET,
		.path = "/api/v1/lecturer/courses",
		.handler = list,
		.access = LECTURER,
		.lane = LANE_READ,
		.query = &limit_query_schema,
		.reply = &courses_schema,
		.status = 200,
		.tag = "courses",
		.summary = "One's courses",
		.text = "Administrators see everybody's."},
	{.method = GET,
		.path = "/api/v1/lecturer/courses/{id}/roster",
		.handler = roster,
		.access = LECTURER,
		.lane = LANE_READ,
		.reply = &roster_schema,
		.status = 200,
		.tag = "courses",
		.summary = "Who is on a course's roster"},
	{.method = POST,
		.path = "/api/v1/lecturer/courses/{id}/roster",
		.handler = enrol,
		.access = LECTURER,
		.lane = LANE_WORK,
		.query = &enrol_query_schema,
		.body = &roster_new_schema,
		.csv = true,
		.reply = &roster_report_schema,
		.status = 201,
		.tag = "courses",
		.summary = "Put students on a course's roster",
		.text = "One as JSON (201), or many as text/csv with the columns email and full_name (200); with ?dry_run=true a "
			"file is only checked.  Rows that are wrong are left out and reported by their line.  An address without "
			"account gets one, without password, when there is a name for it."},
};
const struct route_table campus_course_routes = ROUTE_TABLE(SURFACE_CAMPUS, rows);
