/*
 * Of the database it reads only, by the index over the audit trail's times, and at most LOGIN_ROWS_MAX rows of failed logins.
 *
 * A refused login that came fast is one row for many (lockout.h), with their number in its details: so rows are added up here and
 * not by the database.
 */
#include "jobs/watch.h"

#include <malloc.h>
#include <string.h>

#include "core/json.h"
#include "core/metrics.h"
#include "store/db.h"

enum { LOGIN_ROWS_MAX = 5000 };

struct refusal_row {
	const char *ip_address, *details;
};
static const struct field refusal_row_fields[] = {
	F(struct refusal_row, ip_address, 0, 0, 0, NULL),
	F(struct refusal_row, details, F_JSON, 0, 0, NULL),
};
static const struct schema refusal_row_schema = SCHEMA("WatchRefusal", struct refusal_row, refusal_row_fields);

/* COALESCE: or SQLite goes by the index over actions, through years of them, rather than by the one over times. */
SQL(WATCH_REFUSALS, "mi",
	"SELECT ip_address, details FROM audit_logs WHERE created_at > $1 AND COALESCE(action, '') = 'login_failed'"
	" ORDER BY ip_address LIMIT $2");

struct scans_row {
	int64_t people, marked;
};
static const struct field scans_row_fields[] = {
	F(struct scans_row, people, 0, 0, 0, NULL),
	F(struct scans_row, marked, 0, 0, 0, NULL),
};
static const struct schema scans_row_schema = SCHEMA("WatchScans", struct scans_row, scans_row_fields);

/* Who has been marked already and scans once more has no trouble. */
SQL(WATCH_SCANS, "m",
	"SELECT COUNT(*) AS people, COALESCE(SUM(CASE a.action WHEN 'attendance_marked' THEN 1 ELSE 0 END), 0) AS marked"
	" FROM (SELECT actor_id, MIN(seq) AS seq FROM audit_logs WHERE created_at > $1"
	" AND COALESCE(action, '') IN ('attendance_marked', 'attendance_failed') AND details NOT LIKE '%duplicate_attendance%'"
	" GROUP BY actor_id) f JOIN audit_logs a ON a.seq = f.seq");

static int64_t
refusals_of(struct arena *a, const char *details)
{
	const json_t *count = json_object_get(json_read(a, span_str(details)), "count");

	return json_is_integer(count) ? json_integer_value(count) : 1;
}

static int64_t
most_of_one_address(struct arena *a, const struct list *rows)
{
	const struct refusal_row *r = rows->items;
	int64_t most = 0, here = 0;

	for (size_t i = 0; i < rows->count; i++) {
		if (i == 0 || strcmp(r[i].ip_address, r[i - 1].ip_address) != 0)
			here = 0;
		here += refusals_of(a, r[i].details);
		most = here > most ? here : most;
	}
	return most;
}

struct watched {
	struct list refusals;
	struct scans_row scans;
};

static enum err
ask(struct ctx *cx, void *arg)
{
	struct watched *w = arg;

	TRY(db_all(cx, &WATCH_REFUSALS, &refusal_row_schema, &w->refusals, V(cx->now_us - WATCH_LOGINS_S * SECONDS_US),
		V(LOGIN_ROWS_MAX)));
	return db_one(cx, &WATCH_SCANS, &scans_row_schema, &w->scans, V(cx->now_us - WATCH_SCANS_S * SECONDS_US));
}

static int64_t
heap_bytes(void)
{
	const struct mallinfo2 heap = mallinfo2();

	return (int64_t)(heap.uordblks + heap.hblkhd);
}

enum err
watch_look(struct ctx *cx)
{
	struct watched w = {0};

	if (!cx->srv->metrics)
		return OK;
	metrics_set(cx->srv->metrics, M_HEAP_BYTES, heap_bytes());
	TRY(db_read(cx, ask, &w));
	metrics_set(cx->srv->metrics, M_LOGIN_FAILURES_WORST, most_of_one_address(cx->arena, &w.refusals));
	metrics_set(cx->srv->metrics, M_FIRST_SCANS, w.scans.people);
	metrics_set(cx->srv->metrics, M_FIRST_SCANS_MARKED, w.scans.marked);
	return OK;
}
