/*
 * Records as lists, and an event's roll as a sheet.
 *
 * A student's rate counts events that were there for them: over, without a roster or with the student on it, and not all over
 * before the account existed.  What a student attended counts even before its end, so the rate never exceeds 100.
 */
#include "attendance/record.h"

#include <string.h>

#include "attendance/rate.h"
#include "store/db.h"

static const struct field record_event_fields[] = {
	F(struct record_event, id, 0, 0, 0, "Event"),
	F(struct record_event, title, 0, 0, 0, "Its title"),
	F(struct record_event, scheduled_at, F_TIME, 0, 0, "When it begins"),
};
static const struct schema record_event_schema = SCHEMA("RecordEvent", struct record_event, record_event_fields);
static const struct field own_record_fields[] = {
	F(struct own_record, attendance_id, 0, 0, 0, "The record"),
	F_OBJ(struct own_record, event, &record_event_schema, "What was marked"),
	F(struct own_record, status, 0, 0, 0, "present, late, excused, absent, flagged or rejected"),
	F(struct own_record, marked_at, F_TIME, 0, 0, "When the code was presented"),
};
static const struct schema own_record_schema = SCHEMA("OwnRecord", struct own_record, own_record_fields);
static const struct field own_records_fields[] = {
	F_LIST(struct own_records, records, 0, &own_record_schema, "Newest first"),
	F(struct own_records, attended, 0, 0, 0, "Events with present or late"),
	F(struct own_records, total, 0, 0, 0, "Past events that could have been attended"),
	F(struct own_records, attendance_rate, 0, 0, 0, "Percent, one decimal"),
};
const struct schema own_records_schema = SCHEMA("OwnRecords", struct own_records, own_records_fields);

SQL(RECORDS_OWN, "ui",
	"SELECT r.id AS attendance_id, e.id AS \"event.id\", e.title AS \"event.title\", e.scheduled_at AS "
	"\"event.scheduled_at\","
	" r.status, r.marked_at FROM attendance_records r JOIN events e ON e.id = r.event_id"
	" WHERE r.user_id = $1 AND NOT e.is_deleted ORDER BY r.marked_at DESC, r.id DESC LIMIT $2");
SQL(RECORDS_ATTENDED, "u",
	"SELECT COUNT(*) FROM attendance_records r JOIN events e ON e.id = r.event_id"
	" WHERE r.user_id = $1 AND NOT e.is_deleted AND r.status IN ('present', 'late')");

/* $1 the account, $2 now. */
#define COULD_BE_ATTENDED                                                                           \
	"NOT e.is_deleted AND COALESCE(e.ends_at, e.scheduled_at) <= $2"                            \
	" AND (COALESCE(e.ends_at, e.scheduled_at) >= (SELECT created_at FROM users WHERE id = $1)" \
	" OR e.created_at >= (SELECT created_at FROM users WHERE id = $1))"                         \
	" AND CASE WHEN EXISTS (SELECT 1 FROM enrollments a WHERE a.course_id = e.course_id)"       \
	" THEN e.course_id IN (SELECT n.course_id FROM enrollments n WHERE n.user_id = $1) ELSE e.kind = 'event' END"

SQL(RECORDS_POSSIBLE, "um", "SELECT COUNT(*) FROM events e WHERE " COULD_BE_ATTENDED);
SQL(RECORDS_TAKEN, "um",
	"SELECT COUNT(*) FROM attendance_records r JOIN events e ON e.id = r.event_id"
	" WHERE r.user_id = $1 AND r.status IN ('present', 'late') AND " COULD_BE_ATTENDED);

enum err
record_list_own(struct ctx *cx, int64_t limit, struct own_records *ret)
{
	const char *who = cx->actor->user_id.text;
	struct own_records out;
	int64_t possible, taken;

	TRY(db_all(cx, &RECORDS_OWN, &own_record_schema, &out.records, V(who), V(limit)));
	TRY(db_int(cx, &RECORDS_ATTENDED, &out.attended, V(who)));
	TRY(db_int(cx, &RECORDS_POSSIBLE, &possible, V(who), V(cx->now_us)));
	TRY(db_int(cx, &RECORDS_TAKEN, &taken, V(who), V(cx->now_us)));
	out.total = out.attended + possible - taken; /* attended, and what was missed */
	out.attendance_rate = percent(out.attended, out.total);
	*ret = out;
	return OK;
}

/* --- an event's roll ------------------------------------------------------------------------------------------------------- */

static const struct field roll_record_fields[] = {
	F(struct roll_record, attendance_id, 0, 0, 0, "The record"),
	F_OBJ(struct roll_record, user, &account_ref_schema, "Whose it is"),
	F(struct roll_record, status, 0, 0, 0, "present, late, excused, absent, flagged or rejected"),
	F(struct roll_record, method, 0, 0, 0, "qr, code, manual or import"),
	F(struct roll_record, marked_at, F_TIME, 0, 0, "When the code was presented"),
	F(struct roll_record, reason, F_NULLABLE, 0, 0, "Why it was changed by hand"),
	F(struct roll_record, marked_by, F_NULLABLE, 0, 0, "Who made or changed it by hand"),
};
static const struct schema roll_record_schema = SCHEMA("RollRecord", struct roll_record, roll_record_fields);
static const struct field roll_fields[] = {
	F_OBJ(struct roll, event, &record_event_schema, "The event"),
	F_LIST(struct roll, records, 0, &roll_record_schema, "In the order of marking"),
	F(struct roll, total, 0, 0, 0, "How many records there are"),
};
const struct schema roll_schema = SCHEMA("Roll", struct roll, roll_fields);

SQL(ROLL_EVENT, "u", "SELECT id, title, scheduled_at FROM events WHERE id = $1 AND NOT is_deleted");
SQL(ROLL_RECORDS, "uimu",
	"SELECT r.id AS attendance_id, " ACCOUNT_REF("u", "user") ", r.status, r.method, r.marked_at, r.reason, r.marked_by"
	" FROM attendance_records r JOIN users u ON u.id = r.user_id"
	" WHERE r.event_id = $1" ROLL_AFTER);
SQL(ROLL_TOTAL, "u", "SELECT COUNT(*) FROM attendance_records WHERE event_id = $1");

enum err
record_list_event(struct ctx *cx, const char *event_id, int64_t limit, struct roll *ret)
{
	struct roll out;

	TRY(db_one(cx, &ROLL_EVENT, &record_event_schema, &out.event, V(event_id)));
	TRY(db_all(cx, &ROLL_RECORDS, &roll_record_schema, &out.records, V(event_id), V(limit), V(TIME_NONE),
		V((const char *)NULL)));
	out.total = (int64_t)out.records.count;
	if (out.total >= limit)
		TRY(db_int(cx, &ROLL_TOTAL, &out.total, V(event_id)));
	*ret = out;
	return OK;
}

enum err
roll_pages(struct ctx *cx, const struct sql *sql, const struct schema *schema, const char *event_id,
	struct roll_key (*key)(const void *row), struct list *ret)
{
	struct roll_key after = {TIME_NONE, NULL};
	size_t n = 0, cap = 0, size = schema->size;
	uint8_t *all = NULL;
	struct list page;

	do {
		TRY(db_all(cx, sql, schema, &page, V(event_id), V(LIST_MAX), V(after.marked_at), V(after.attendance_id)));
		if (n + page.count > ROLL_FILE_MAX)
			return fail(cx, ERR_UNAVAILABLE, "This roll has over %d records, too many for a file.", ROLL_FILE_MAX);
		if (n + page.count > cap) {
			uint8_t *old = all;
			cap = n * 2 + page.count;
			all = arena_alloc(cx->arena, cap, size);
			if (n)
				memcpy(all, old, n * size);
		}
		if (page.count) {
			memcpy(all + n * size, page.items, page.count * size);
			n += page.count;
			after = key(all + (n - 1) * size);
		}
	} while (page.count == LIST_MAX);
	*ret = (struct list){all, n};
	return OK;
}

static struct roll_key
record_key(const void *row)
{
	const struct roll_record *r = row;

	return (struct roll_key){r->marked_at, r->attendance_id.text};
}

enum err
record_list_all(struct ctx *cx, const char *event_id, struct roll *ret)
{
	struct roll out;

	TRY(db_one(cx, &ROLL_EVENT, &record_event_schema, &out.event, V(event_id)));
	TRY(roll_pages(cx, &ROLL_RECORDS, &roll_record_schema, event_id, record_key, &out.records));
	out.total = (int64_t)out.records.count;
	*ret = out;
	return OK;
}

static const struct sheet_column roll_columns[] = {
	{"attendance_id", 38},
	{"user_id", 38},
	{"full_name", 28},
	{"email", 32},
	{"status", 10},
	{"method", 10},
	{"marked_at", 22},
	{"reason", 40},
	{"marked_by", 38},
};
enum { ROLL_COLUMNS = sizeof(roll_columns) / sizeof(roll_columns[0]) };

struct sheet
record_sheet(struct ctx *cx, const struct roll *roll)
{
	const struct roll_record *rows = roll->records.items;
	const char **cells = arena_new(cx->arena, const char *, roll->records.count *ROLL_COLUMNS + 1);

	for (size_t i = 0; i < roll->records.count; i++) {
		const struct roll_record *r = &rows[i];
		char *at = arena_new(cx->arena, char, TIME_WIRE_BYTES + 1);
		time_to_wire(r->marked_at, at);
		memcpy(&cells[i * ROLL_COLUMNS],
			((const char *[ROLL_COLUMNS]){r->attendance_id.text, r->user.id.text, r->user.full_name, r->user.email,
				r->status, r->method, at, r->reason, r->marked_by.text}),
			ROLL_COLUMNS * sizeof(*cells));
	}
	return (struct sheet){"Attendance", roll_columns, ROLL_COLUMNS, roll->records.count, cells};
}
