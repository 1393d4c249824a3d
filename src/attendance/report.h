/*
 * What lecturers and administrators read: totals, series by day, week or month, who stays away, and a session's roll to take
 * away.  Days, weeks (from Monday) and months are UTC's; a session belongs to the one in which it begins.  Rates are percent
 * with one decimal, of those expected at sessions that are over and have a roster.
 */
#ifndef MUSTER_ATTENDANCE_REPORT_H
#define MUSTER_ATTENDANCE_REPORT_H

#include "attendance/sheet.h"
#include "identity/account.h"

struct report_sessions {
	int64_t total, open;
};
struct report_records { /* by status */
	int64_t present, late, excused, absent, flagged, rejected;
};

/* --- a lecturer's dashboard (an administrator's: over all sessions) ---- */
struct dashboard {
	struct report_sessions sessions;
	struct report_records records;
	int64_t students; /* on a roster or with a record */
	double average_attendance_rate;
};
extern const struct schema dashboard_schema;
enum err report_dashboard(struct ctx *cx, struct dashboard *ret) MUST_CHECK;

/* --- series ---- */
enum report_period { PERIOD_UNSET = 0, PERIOD_DAY, PERIOD_WEEK, PERIOD_MONTH };
struct report_query {
	int period;	  /* enum report_period; unset: day */
	int64_t from, to; /* FIELD_NONE: the last 30 days, 26 weeks or 12 months */
	struct uuid course_id;
};
extern const struct schema report_query_schema;
struct report_point {
	const char *start; /* date of the first day */
	int64_t sessions;
	struct report_records records;
	int64_t expected; /* at those that are over and have a roster */
	double attendance_rate;
};
struct report {
	const char *period;
	struct list series; /* oldest first; times without sessions are left out */
};
extern const struct schema report_schema;
enum err report_series(struct ctx *cx, const struct report_query *q, struct report *ret) MUST_CHECK;

/* --- who stays away ---- */
struct absence {
	struct account_ref student;
	int64_t consecutive;	  /* sessions missed since, or since the enrolment; excused ones do not count */
	int64_t last_attended_at; /* TIME_NONE: never */
};
struct absence_list {
	struct list absences; /* longest first */
};
extern const struct schema absence_list_schema;
/* On a course of the actor's (ERR_NOT_FOUND): students who missed at least so many of its latest sessions in a row. */
enum err report_absences(struct ctx *cx, const char *course_id, int64_t consecutive, struct absence_list *ret) MUST_CHECK;

/* --- an administrator's analytics ---- */
struct analytics_users {
	int64_t student, lecturer, reviewer, admin;
};
struct analytics_flags { /* records that this layer flagged */
	int64_t device, geofence, network, face;
};
struct analytics_day {
	const char *date;
	int64_t marks, flagged;
};
struct analytics {
	struct analytics_users users;
	struct report_sessions sessions;
	struct report_records records;
	struct analytics_flags flags;
	struct list per_day; /* the last 30 days that had sessions, oldest first */
};
extern const struct schema analytics_schema;
enum err report_analytics(struct ctx *cx, struct analytics *ret) MUST_CHECK;

/* --- a session's roll to take away ---- */
struct session_roll_row {
	struct uuid attendance_id;
	const char *full_name, *email, *status;
	int64_t marked_at, distance_m;
	const char *flags, *reason;
};
struct session_roll {
	struct list records; /* in the order of marking */
};
extern const struct schema session_roll_schema;
/* A session of the actor's; ERR_NOT_FOUND. */
enum err report_session_roll(struct ctx *cx, const char *session_id, struct session_roll *ret) MUST_CHECK;
/* attendance_id,full_name,email,status,marked_at,distance_m,flags,reason */
struct sheet report_session_sheet(struct ctx *cx, const struct session_roll *roll);

#endif
