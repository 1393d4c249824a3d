/*
 * Statistics over everything, at most ten seconds old.
 *
 * They are kept for as long as computing them is worth (a fiftieth of one core at most), so a small club sees every change at once.
 * One request computes them while the others of that moment wait for the new; a process without a cache (a command, a small test)
 * computes them each time.  Totals are sums over event_counts, so they cost events, not records.
 */
#include "attendance/record.h"

#include <pthread.h>
#include <stdlib.h>

#include "attendance/count.h"
#include "attendance/rate.h"
#include "store/db.h"

enum { STATS_LIFE_S = 10, LIFE_PER_COST = 50 };

struct stats_cache {
	pthread_mutex_t lock;
	bool filled;
	int64_t filled_us, life_us; /* monotonic */
	struct stats stats;
};

struct stats_cache *
stats_cache_open(void)
{
	struct stats_cache *c = calloc(1, sizeof(*c));

	if (!c || pthread_mutex_init(&c->lock, NULL) != 0)
		BUG("no memory for the statistics");
	return c;
}

void
stats_cache_close(struct stats_cache *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static const struct field stats_users_fields[] = {
	F(struct stats_users, total, 0, 0, 0, "Active accounts"),
	F(struct stats_users, students, 0, 0, 0, "Those that are no administrators"),
	F(struct stats_users, admins, 0, 0, 0, "Administrators"),
	F(struct stats_users, pending_approvals, 0, 0, 0, "Sign-ups that wait for a decision"),
};
static const struct schema stats_users_schema = SCHEMA("StatsUsers", struct stats_users, stats_users_fields);
static const struct field stats_events_fields[] = {
	F(struct stats_events, total, 0, 0, 0, "Events"),
	F(struct stats_events, upcoming, 0, 0, 0, "Those that have not begun"),
};
static const struct schema stats_events_schema = SCHEMA("StatsEvents", struct stats_events, stats_events_fields);
static const struct field stats_attendance_fields[] = {
	F(struct stats_attendance, total_records, 0, 0, 0, "Attendance records"),
	F(struct stats_attendance, average_attendance_rate, 0, 0, 0, "Percent present or late of those expected at past events"),
};
static const struct schema stats_attendance_schema = SCHEMA("StatsAttendance", struct stats_attendance, stats_attendance_fields);
static const struct field stats_fields[] = {
	F_OBJ(struct stats, users, &stats_users_schema, "Accounts"),
	F_OBJ(struct stats, events, &stats_events_schema, "Events"),
	F_OBJ(struct stats, attendance, &stats_attendance_schema, "Attendance"),
};
const struct schema stats_schema = SCHEMA("Stats", struct stats, stats_fields);

struct totals {
	int64_t total, upcoming, records, present, expected;
};
static const struct field totals_fields[] = {
	F(struct totals, total, 0, 0, 0, NULL),
	F(struct totals, upcoming, 0, 0, 0, NULL),
	F(struct totals, records, 0, 0, 0, NULL),
	F(struct totals, present, 0, 0, 0, NULL),
	F(struct totals, expected, 0, 0, 0, NULL),
};
static const struct schema totals_schema = SCHEMA("Totals", struct totals, totals_fields);

SQL(STATS_USERS, "",
	"SELECT COUNT(*) AS total, COUNT(CASE WHEN role = 'admin' THEN 1 END) AS admins,"
	" COUNT(CASE WHEN role <> 'admin' THEN 1 END) AS students FROM users WHERE is_active");
SQL(STATS_PENDING, "m", "SELECT COUNT(*) FROM approval_requests WHERE status = 'pending' AND expires_at > $1");

/* Expected of an event that the job has not reached: the roster, else the active students. */
#define EXPECTED_NOW                                                                     \
	"CASE WHEN EXISTS (SELECT 1 FROM enrollments a WHERE a.course_id = e.course_id)" \
	" THEN (SELECT COUNT(*) FROM enrollments n WHERE n.course_id = e.course_id)"     \
	" ELSE (SELECT COUNT(*) FROM users s WHERE s.role = 'student' AND s.is_active) END"
#define OLD_RECORDS "(SELECT COUNT(*) FROM attendance_records o WHERE o.event_id = e.id AND o.id <= " COUNTED_TO ")"
#define OLD_PRESENT                                                                                  \
	"(SELECT COUNT(*) FROM attendance_records o WHERE o.event_id = e.id AND o.id <= " COUNTED_TO \
	" AND o.status IN ('present', 'late'))"

/* One row per event, then the sums of them. */
SQL(STATS_TOTALS, "m",
	"SELECT COUNT(*) AS total, COUNT(CASE WHEN t.scheduled_at > $1 THEN 1 END) AS upcoming,"
	" CAST(COALESCE(SUM(t.records), 0) AS BIGINT) AS records,"
	" CAST(COALESCE(SUM(CASE WHEN t.over_at <= $1 THEN t.present ELSE 0 END), 0) AS BIGINT) AS present,"
	" CAST(COALESCE(SUM(CASE WHEN t.over_at <= $1 THEN t.expected ELSE 0 END), 0) AS BIGINT) AS expected"
	" FROM (SELECT e.scheduled_at, COALESCE(e.ends_at, e.scheduled_at) AS over_at,"
	" COALESCE(k.records, " OLD_RECORDS ") + COALESCE(y.records, 0) AS records,"
	" COALESCE(k.present, " OLD_PRESENT ") + COALESCE(y.present, 0) AS present,"
	" CASE WHEN COALESCE(e.ends_at, e.scheduled_at) <= $1 THEN COALESCE(e.expected, " EXPECTED_NOW ") END AS expected"
	" FROM events e LEFT JOIN event_counts k ON k.event_id = e.id LEFT JOIN " YOUNG_COUNTS " y ON y.event_id = e.id"
	" WHERE e.kind = 'event' AND NOT e.is_deleted) t");

static enum err
compute(struct ctx *cx, struct stats *ret)
{
	struct stats out;
	struct totals t;

	TRY(db_one(cx, &STATS_USERS, &stats_users_schema, &out.users));
	TRY(db_int(cx, &STATS_PENDING, &out.users.pending_approvals, V(cx->now_us)));
	TRY(db_one(cx, &STATS_TOTALS, &totals_schema, &t, V(cx->now_us)));
	out.events = (struct stats_events){t.total, t.upcoming};
	out.attendance = (struct stats_attendance){t.records, percent(t.present, t.expected)};
	*ret = out;
	return OK;
}

static void
unlock(pthread_mutex_t **lock)
{
	pthread_mutex_unlock(*lock);
}

enum err
stats_get(struct ctx *cx, struct stats *ret)
{
	struct stats_cache *c = cx->srv->stats;
	int64_t now_us = cx->srv->source.monotonic_us(cx->srv->source.arg);

	if (!c)
		return compute(cx, ret);
	pthread_mutex_lock(&c->lock);
	CLEANUP(unlock) pthread_mutex_t *held = &c->lock;
	(void)held;
	if (!c->filled || now_us - c->filled_us >= c->life_us) {
		int64_t begun_us = time_monotonic_us();
		TRY(compute(cx, &c->stats));
		int64_t life_us = (time_monotonic_us() - begun_us) * LIFE_PER_COST;
		c->life_us = life_us < STATS_LIFE_S * SECONDS_US ? life_us : STATS_LIFE_S * SECONDS_US;
		c->filled = true;
		c->filled_us = now_us;
	}
	*ret = c->stats;
	return OK;
}

/* A session is expected of its roster alone: one whose roster is still to come waits for it. */
SQL(EXPECTED_WRITE, "mi",
	"UPDATE events AS e SET expected = " EXPECTED_NOW
	" WHERE e.id IN (SELECT d.id FROM events d WHERE d.expected IS NULL AND d.scheduled_at <= $1 AND NOT d.is_deleted"
	" AND COALESCE(d.ends_at, d.scheduled_at) <= $1 AND (d.kind = 'event'"
	" OR EXISTS (SELECT 1 FROM enrollments r WHERE r.course_id = d.course_id)) ORDER BY d.scheduled_at LIMIT $2)");

enum err
event_expected_write(struct ctx *cx, int64_t *ret_rows)
{
	return db_exec(cx, &EXPECTED_WRITE, ret_rows, V(cx->now_us), V(BULK_TURN_ROWS));
}
