/* Attendance records as lists: a student's own, an event's roll; and the statistics over them. */
#ifndef MUSTER_ATTENDANCE_RECORD_H
#define MUSTER_ATTENDANCE_RECORD_H

#include "attendance/sheet.h"
#include "identity/account.h"

struct record_event {
	struct uuid id;
	const char *title;
	int64_t scheduled_at;
};
struct own_record {
	struct uuid attendance_id;
	struct record_event event;
	const char *status;
	int64_t marked_at;
};
struct own_records {
	struct list records;
	int64_t attended, total; /* total: past events the account could have attended */
	double attendance_rate;	 /* percent, one decimal */
};
extern const struct schema own_records_schema;
enum err record_list_own(struct ctx *cx, int64_t limit, struct own_records *ret) MUST_CHECK;

struct roll_record {
	struct uuid attendance_id;
	struct account_ref user;
	const char *status, *method;
	int64_t marked_at;
	const char *reason;
	struct uuid marked_by;
};
struct roll {
	struct record_event event;
	struct list records;
	int64_t total;
};
extern const struct schema roll_schema;
enum err record_list_event(struct ctx *cx, const char *event_id, int64_t limit, struct roll *ret) MUST_CHECK;
/* All of them, for a file; ERR_UNAVAILABLE over ROLL_FILE_MAX. */
enum err record_list_all(struct ctx *cx, const char *event_id, struct roll *ret) MUST_CHECK;
/*
 * What a file needs of any roll: `sql` page by page, so that it may have more than LIST_MAX rows; never a part of it.  Its $1 is the
 * event, and its end ROLL_AFTER: $2 how many, $3 and $4 the last record of the page before.
 */
#define ROLL_AFTER "{?3 AND (r.marked_at, r.id) > ($3, $4)} ORDER BY r.marked_at, r.id LIMIT $2"
struct roll_key {
	int64_t marked_at;
	const char *attendance_id;
};
struct sql;
enum err roll_pages(struct ctx *cx, const struct sql *sql, const struct schema *schema, const char *event_id,
	struct roll_key (*key)(const void *row), struct list *ret) MUST_CHECK;
/* The same to take away; audited as export by the caller. */
struct sheet record_sheet(struct ctx *cx, const struct roll *roll);

struct stats_users {
	int64_t total, students, admins, pending_approvals;
};
struct stats_events {
	int64_t total, upcoming;
};
struct stats_attendance {
	int64_t total_records;
	double average_attendance_rate;
};
struct stats {
	struct stats_users users;
	struct stats_events events;
	struct stats_attendance attendance;
};
extern const struct schema stats_schema;
/* At most 10 s old: kept in srv->stats and recomputed on demand (each time where srv->stats is NULL). */
enum err stats_get(struct ctx *cx, struct stats *ret) MUST_CHECK;

struct stats_cache *stats_cache_open(void);
void stats_cache_close(struct stats_cache *c);

/* Job, every minute: writes `expected` of events whose time has passed, and of sessions as soon as they have a roster as well. */
enum err event_expected_write(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
/* Job, hourly: nonces over 1 h old go, never one whose code or claim could still be valid; spent claims likewise. */
enum err nonce_expire(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;

#endif
