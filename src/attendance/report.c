/*
 * Reports over sessions.
 *
 * All totals come from one text, SESSION_ROWS: one row per session out of event_counts and the records too young for it, so they
 * cost sessions, not records.  A day is the first ten characters of a session's start, which both engines write alike in UTC.
 */
#include "attendance/report.h"

#include <stdlib.h>
#include <string.h>

#include "attendance/count.h"
#include "attendance/rate.h"
#include "attendance/session.h"
#include "store/db.h"

/* --- shapes ---------------------------------------------------------------------------------------------------------------- */

static const struct field sessions_fields[] = {
	F(struct report_sessions, total, 0, 0, 0, "Sessions"),
	F(struct report_sessions, open, 0, 0, 0, "Those that take marks now"),
};
static const struct schema sessions_schema = SCHEMA("ReportSessions", struct report_sessions, sessions_fields);
static const struct field records_fields[] = {
	F(struct report_records, present, 0, 0, 0, "Records that are present"),
	F(struct report_records, late, 0, 0, 0, "late"),
	F(struct report_records, excused, 0, 0, 0, "excused"),
	F(struct report_records, absent, 0, 0, 0, "absent"),
	F(struct report_records, flagged, 0, 0, 0, "flagged, so not decided yet"),
	F(struct report_records, rejected, 0, 0, 0, "rejected by a reviewer"),
};
static const struct schema records_schema = SCHEMA("ReportRecords", struct report_records, records_fields);
static const struct field dashboard_fields[] = {
	F_OBJ(struct dashboard, sessions, &sessions_schema, "Own sessions"),
	F_OBJ(struct dashboard, records, &records_schema, "Their records by status"),
	F(struct dashboard, students, 0, 0, 0, "Students on a roster or with a record"),
	F(struct dashboard, average_attendance_rate, 0, 0, 0,
		"Percent, one decimal, of sessions that are over and have a roster"),
};
const struct schema dashboard_schema = SCHEMA("Dashboard", struct dashboard, dashboard_fields);

static const char *const report_periods[] = {"", "day", "week", "month", NULL};
static const struct field report_query_fields[] = {
	F_ENUM(struct report_query, period, 0, report_periods, "What one point stands for; default: day"),
	F(struct report_query, from, F_TIME, 0, 0, "Sessions from then on; default: 30 days, 26 weeks or 12 months ago"),
	F(struct report_query, to, F_TIME | F_DAY_END, 0, 0, "Sessions until then; default: now"),
	F(struct report_query, course_id, 0, 0, 0, "Of one course"),
};
const struct schema report_query_schema = SCHEMA("ReportQuery", struct report_query, report_query_fields);
static const struct field report_point_fields[] = {
	F(struct report_point, start, 0, 0, 0, "Date of the first day, UTC; weeks begin on Monday"),
	F(struct report_point, sessions, 0, 0, 0, "Sessions that began then"),
	F_OBJ(struct report_point, records, &records_schema, "Their records by status"),
	F(struct report_point, expected, 0, 0, 0, "Students expected at those that are over; 0: there is no rate yet"),
	F(struct report_point, attendance_rate, 0, 0, 0, "Percent of these, one decimal"),
};
static const struct schema report_point_schema = SCHEMA("ReportPoint", struct report_point, report_point_fields);
static const struct field report_fields[] = {
	F(struct report, period, 0, 0, 0, "day, week or month"),
	F_LIST(struct report, series, 0, &report_point_schema, "Oldest first; times without sessions are left out"),
};
const struct schema report_schema = SCHEMA("Report", struct report, report_fields);

/* --- totals per session ---------------------------------------------------------------------------------------------------- */

/* $1 now, $2 owner, $3 and $4 the time of the start, $5 course. */
#define BOTH(column) ", COALESCE(k." column ", 0) + COALESCE(y." column ", 0) AS " column
#define SESSION_STATE                                                                                                         \
	"SUBSTR(CAST(e.scheduled_at AS TEXT), 1, 10) AS day,"                                                                 \
	" CASE WHEN e.scheduled_at <= $1 AND e.closed_at IS NULL AND (e.ends_at IS NULL OR e.ends_at > $1) THEN 1 ELSE 0 END" \
	" AS is_open, CASE WHEN COALESCE(e.closed_at, e.ends_at, e.scheduled_at) <= $1"                                       \
	" AND EXISTS (SELECT 1 FROM enrollments a WHERE a.course_id = e.course_id) THEN COALESCE(e.expected,"                 \
	" (SELECT COUNT(*) FROM enrollments n WHERE n.course_id = e.course_id)) END AS expected"
#define SESSION_COUNTS BOTH("records") BOTH("attended") BOTH("present") BOTH("late") BOTH("excused") BOTH("absent")
#define SESSION_FROM                                                                                                     \
	" FROM events e LEFT JOIN event_counts k ON k.event_id = e.id LEFT JOIN " YOUNG_COUNTS " y ON y.event_id = e.id" \
	" WHERE e.kind = 'session' AND NOT e.is_deleted{?2 AND e.owner_id = $2}{?3 AND e.scheduled_at >= $3}"            \
	"{?4 AND e.scheduled_at <= $4}{?5 AND e.course_id = $5}"
#define SESSION_ROWS "(SELECT " SESSION_STATE SESSION_COUNTS SESSION_FROM ") t"

#define SUM_AS(name, expression) ", CAST(COALESCE(SUM(" expression "), 0) AS BIGINT) AS \"" name "\""
#define TOTALS_OF_SESSIONS                                                                                      \
	" COUNT(*) AS \"sessions.total\"" SUM_AS("sessions.open", "t.is_open") SUM_AS("expected", "t.expected") \
		SUM_AS("came", "CASE WHEN t.expected IS NOT NULL THEN t.present ELSE 0 END")
#define TOTALS_OF_PRESENT SUM_AS("records.present", "t.present - t.late") SUM_AS("records.late", "t.late")
#define TOTALS_OF_MISSING SUM_AS("records.excused", "t.excused") SUM_AS("records.absent", "t.absent")
#define TOTALS_OF_DOUBT                                     \
	SUM_AS("records.flagged", "t.attended - t.present") \
	SUM_AS("records.rejected", "t.records - t.attended - t.excused - t.absent")
#define SESSION_TOTALS TOTALS_OF_SESSIONS TOTALS_OF_PRESENT TOTALS_OF_MISSING TOTALS_OF_DOUBT

struct totals {
	const char *day; /* NULL: of all days */
	struct report_sessions sessions;
	struct report_records records;
	int64_t expected, came; /* at sessions that are over and have a roster */
};
static const struct field totals_fields[] = {
	F(struct totals, day, 0, 0, 0, NULL),
	F_OBJ(struct totals, sessions, &sessions_schema, NULL),
	F_OBJ(struct totals, records, &records_schema, NULL),
	F(struct totals, expected, 0, 0, 0, NULL),
	F(struct totals, came, 0, 0, 0, NULL),
};
static const struct schema totals_schema = SCHEMA("SessionTotals", struct totals, totals_fields);

SQL(SESSIONS_ALL, "mummu", "SELECT" SESSION_TOTALS " FROM " SESSION_ROWS);
SQL(SESSIONS_BY_DAY, "mummu", "SELECT t.day," SESSION_TOTALS " FROM " SESSION_ROWS " GROUP BY t.day ORDER BY t.day");

/* --- dashboard ------------------------------------------------------------------------------------------------------------- */

SQL(STUDENTS_OWN, "u",
	"SELECT COUNT(*) FROM (SELECT n.user_id FROM enrollments n JOIN courses c ON c.id = n.course_id"
	" WHERE c.owner_id = $1 AND NOT c.is_deleted UNION SELECT r.user_id FROM attendance_records r JOIN events e"
	" ON e.id = r.event_id WHERE e.owner_id = $1 AND NOT e.is_deleted) s");
SQL(STUDENTS_ALL, "", "SELECT COUNT(*) FROM users WHERE role = 'student' AND is_active");

enum err
report_dashboard(struct ctx *cx, struct dashboard *ret)
{
	const char *owner = owner_only(cx);
	struct totals t;
	int64_t students;

	TRY(db_one(cx, &SESSIONS_ALL, &totals_schema, &t, V(cx->now_us), V(owner), V(TIME_NONE), V(TIME_NONE), val_null()));
	if (owner)
		TRY(db_int(cx, &STUDENTS_OWN, &students, V(owner)));
	else
		TRY(db_int(cx, &STUDENTS_ALL, &students));
	*ret = (struct dashboard){t.sessions, t.records, students, percent(t.came, t.expected)};
	return OK;
}

/* --- series ---------------------------------------------------------------------------------------------------------------- */

enum { WIRE_DATE_CHARS = 10, DEFAULT_DAYS = 30, DEFAULT_WEEKS = 26, DEFAULT_MONTH_DAYS = 366 };

static const char *
date_text(struct arena *a, int64_t at_us)
{
	char wire[TIME_WIRE_BYTES + 1];

	time_to_wire(at_us, wire);
	return arena_strndup(a, wire, WIRE_DATE_CHARS);
}

/* The first day of the period that this day is in. */
static const char *
period_start(struct arena *a, int period, const char *day)
{
	enum { EPOCH_WEEKDAY = 3 }; /* 1970-01-01 was a Thursday; Monday is 0 */
	int64_t at_us;

	if (period == PERIOD_MONTH)
		return arena_printf(a, "%.8s01", day);
	if (period == PERIOD_DAY || !time_parse(day, false, &at_us))
		return day;
	return date_text(a, at_us - (at_us / DAYS_US + EPOCH_WEEKDAY) % 7 * DAYS_US);
}

static void
add_totals(struct totals *sum, const struct totals *t)
{
	sum->sessions.total += t->sessions.total;
	sum->records.present += t->records.present;
	sum->records.late += t->records.late;
	sum->records.excused += t->records.excused;
	sum->records.absent += t->records.absent;
	sum->records.flagged += t->records.flagged;
	sum->records.rejected += t->records.rejected;
	sum->expected += t->expected;
	sum->came += t->came;
}

enum err
report_series(struct ctx *cx, const struct report_query *q, struct report *ret)
{
	static const int64_t back_days[] = {
		[PERIOD_DAY] = DEFAULT_DAYS, [PERIOD_WEEK] = DEFAULT_WEEKS * 7, [PERIOD_MONTH] = DEFAULT_MONTH_DAYS};
	int period = q->period ? q->period : PERIOD_DAY;
	int64_t to = field_or(q->to, cx->now_us);
	int64_t from = field_or(q->from, to - back_days[period] * DAYS_US);
	struct list days;

	TRY(db_all(cx, &SESSIONS_BY_DAY, &totals_schema, &days, V(cx->now_us), V(owner_only(cx)), V(from), V(to),
		V_ID(q->course_id)));
	const struct totals *rows = days.items;
	struct report_point *points = arena_new(cx->arena, struct report_point, days.count + 1);
	size_t n = 0;
	for (size_t i = 0; i < days.count;) {
		struct totals sum = {0};
		const char *start = period_start(cx->arena, period, rows[i].day);
		while (i < days.count && str_eq(period_start(cx->arena, period, rows[i].day), start))
			add_totals(&sum, &rows[i++]);
		points[n++] = (struct report_point){start, sum.sessions.total, sum.records, sum.expected, percent(sum.came, sum.expected)};
	}
	*ret = (struct report){report_periods[period], {points, n}};
	return OK;
}

/* --- absences -------------------------------------------------------------------------------------------------------------- */

static const struct field absence_fields[] = {
	F_OBJ(struct absence, student, &account_ref_schema, "Who stays away"),
	F(struct absence, consecutive, 0, 0, 0, "Sessions missed in a row until now; excused ones do not count"),
	F(struct absence, last_attended_at, F_TIME | F_NULLABLE, 0, 0, "Start of the session attended last"),
};
static const struct schema absence_schema = SCHEMA("Absence", struct absence, absence_fields);
static const struct field absence_list_fields[] = {
	F_LIST(struct absence_list, absences, 0, &absence_schema, "Longest absence first"),
};
const struct schema absence_list_schema = SCHEMA("AbsenceList", struct absence_list, absence_list_fields);

SQL(COURSE_OWN, "uu", "SELECT COUNT(*) FROM courses WHERE id = $1 AND NOT is_deleted{?2 AND owner_id = $2}");
SQL(ABSENCES, "umi",
	"SELECT * FROM (SELECT " ACCOUNT_REF("t", "student") ","
	" t.last_at AS last_attended_at, (SELECT COUNT(*) FROM events e WHERE e.course_id = $1 AND NOT e.is_deleted"
	" AND COALESCE(e.closed_at, e.ends_at, e.scheduled_at) <= $2"
	" AND (t.last_at IS NULL OR e.scheduled_at > t.last_at) AND COALESCE(e.ends_at, e.scheduled_at) >= t.enrolled_at"
	" AND NOT EXISTS (SELECT 1 FROM attendance_records x WHERE x.event_id = e.id AND x.user_id = t.id"
	" AND x.status = 'excused')) AS consecutive FROM (SELECT u.id, u.email, u.full_name, n.created_at AS enrolled_at,"
	" (SELECT MAX(e.scheduled_at) FROM attendance_records r JOIN events e ON e.id = r.event_id WHERE r.user_id = u.id"
	" AND e.course_id = $1 AND NOT e.is_deleted AND r.status IN ('present', 'late', 'flagged')) AS last_at"
	" FROM enrollments n JOIN users u ON u.id = n.user_id WHERE n.course_id = $1) t) a WHERE a.consecutive >= $3"
	" ORDER BY a.consecutive DESC, a.\"student.full_name\", a.\"student.id\"");

enum err
report_absences(struct ctx *cx, const char *course_id, int64_t consecutive, struct absence_list *ret)
{
	struct absence_list out;
	int64_t there;

	TRY(db_int(cx, &COURSE_OWN, &there, V(course_id), V(owner_only(cx))));
	if (!there)
		return fail(cx, ERR_NOT_FOUND, NULL);
	TRY(db_all(cx, &ABSENCES, &absence_schema, &out.absences, V(course_id), V(cx->now_us), V(consecutive)));
	*ret = out;
	return OK;
}

/* --- analytics ------------------------------------------------------------------------------------------------------------- */

static const struct field analytics_users_fields[] = {
	F(struct analytics_users, student, 0, 0, 0, "Active students"),
	F(struct analytics_users, lecturer, 0, 0, 0, "Active lecturers"),
	F(struct analytics_users, reviewer, 0, 0, 0, "Active reviewers"),
	F(struct analytics_users, admin, 0, 0, 0, "Active administrators"),
};
static const struct schema analytics_users_schema = SCHEMA("AnalyticsUsers", struct analytics_users, analytics_users_fields);
static const struct field analytics_flags_fields[] = {
	F(struct analytics_flags, device, 0, 0, 0, "Records flagged for the device"),
	F(struct analytics_flags, geofence, 0, 0, 0, "for the place"),
	F(struct analytics_flags, network, 0, 0, 0, "for the network"),
	F(struct analytics_flags, face, 0, 0, 0, "for the face"),
};
static const struct schema analytics_flags_schema = SCHEMA("AnalyticsFlags", struct analytics_flags, analytics_flags_fields);
static const struct field analytics_day_fields[] = {
	F(struct analytics_day, date, 0, 0, 0, "Day, UTC"),
	F(struct analytics_day, marks, 0, 0, 0, "Present, late or flagged at the day's sessions"),
	F(struct analytics_day, flagged, 0, 0, 0, "Those that are flagged"),
};
static const struct schema analytics_day_schema = SCHEMA("AnalyticsDay", struct analytics_day, analytics_day_fields);
static const struct field analytics_fields[] = {
	F_OBJ(struct analytics, users, &analytics_users_schema, "Accounts by role"),
	F_OBJ(struct analytics, sessions, &sessions_schema, "All sessions"),
	F_OBJ(struct analytics, records, &records_schema, "Their records by status"),
	F_OBJ(struct analytics, flags, &analytics_flags_schema, "What was flagged, also where it is decided by now"),
	F_LIST(struct analytics, per_day, 0, &analytics_day_schema, "The last 30 days that had sessions, oldest first"),
};
const struct schema analytics_schema = SCHEMA("Analytics", struct analytics, analytics_fields);

SQL(USERS_BY_ROLE, "",
	"SELECT COUNT(CASE WHEN role = 'student' THEN 1 END) AS student, COUNT(CASE WHEN role = 'lecturer' THEN 1 END) AS "
	"lecturer,"
	" COUNT(CASE WHEN role = 'reviewer' THEN 1 END) AS reviewer, COUNT(CASE WHEN role = 'admin' THEN 1 END) AS admin"
	" FROM users WHERE is_active");

struct flag_count {
	const char *flags;
	int64_t records;
};
static const struct field flag_count_fields[] = {
	F(struct flag_count, flags, 0, 0, 0, NULL),
	F(struct flag_count, records, 0, 0, 0, NULL),
};
static const struct schema flag_count_schema = SCHEMA("FlagCount", struct flag_count, flag_count_fields);

SQL(FLAG_COUNTS, "", "SELECT flags, COUNT(*) AS records FROM attendance_records WHERE flags IS NOT NULL GROUP BY flags");

/* The four layers flag by their own names, of which none is part of another. */
static bool
flagged_by(const char *flags, const char *layer)
{
	return strstr(flags, layer) != NULL;
}

static enum err
count_flags(struct ctx *cx, struct analytics_flags *ret)
{
	struct analytics_flags out = {0};
	struct list list;

	TRY(db_all(cx, &FLAG_COUNTS, &flag_count_schema, &list));
	const struct flag_count *rows = list.items;
	for (size_t i = 0; i < list.count; i++) {
		out.device += flagged_by(rows[i].flags, "device") ? rows[i].records : 0;
		out.geofence += flagged_by(rows[i].flags, "geofence") ? rows[i].records : 0;
		out.network += flagged_by(rows[i].flags, "network") ? rows[i].records : 0;
		out.face += flagged_by(rows[i].flags, "face") ? rows[i].records : 0;
	}
	*ret = out;
	return OK;
}

enum err
report_analytics(struct ctx *cx, struct analytics *ret)
{
	const int64_t from = cx->now_us - DEFAULT_DAYS * DAYS_US;
	struct analytics out;
	struct totals t;
	struct list days;

	TRY(db_one(cx, &USERS_BY_ROLE, &analytics_users_schema, &out.users));
	TRY(db_one(cx, &SESSIONS_ALL, &totals_schema, &t, V(cx->now_us), val_null(), V(TIME_NONE), V(TIME_NONE), val_null()));
	out.sessions = t.sessions;
	out.records = t.records;
	TRY(count_flags(cx, &out.flags));
	TRY(db_all(cx, &SESSIONS_BY_DAY, &totals_schema, &days, V(cx->now_us), val_null(), V(from), V(cx->now_us), val_null()));
	const struct totals *rows = days.items;
	struct analytics_day *per_day = arena_new(cx->arena, struct analytics_day, days.count + 1);
	for (size_t i = 0; i < days.count; i++)
		per_day[i] = (struct analytics_day){rows[i].day,
			rows[i].records.present + rows[i].records.late + rows[i].records.flagged, rows[i].records.flagged};
	out.per_day = (struct list){per_day, days.count};
	*ret = out;
	return OK;
}
