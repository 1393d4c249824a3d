/* A session's roll to take away. */
#include "attendance/report.h"

#include <string.h>

#include "attendance/record.h"
#include "attendance/session.h"
#include "store/db.h"

static const struct field row_fields[] = {
	F(struct session_roll_row, attendance_id, 0, 0, 0, "The record"),
	F(struct session_roll_row, full_name, 0, 0, 0, "Whose it is"),
	F(struct session_roll_row, email, 0, 0, 0, "The account's address"),
	F(struct session_roll_row, status, 0, 0, 0, "present, late, excused, absent, flagged or rejected"),
	F(struct session_roll_row, marked_at, F_TIME, 0, 0, "When the code was presented"),
	F(struct session_roll_row, distance_m, F_NULLABLE, 0, 0, "From the place of the session, metres"),
	F(struct session_roll_row, flags, F_NULLABLE, 0, 0, "What was found, separated by commas"),
	F(struct session_roll_row, reason, F_NULLABLE, 0, 0, "Why it was changed by hand"),
};
static const struct schema row_schema = SCHEMA("SessionRollRow", struct session_roll_row, row_fields);
static const struct field roll_fields[] = {
	F_LIST(struct session_roll, records, 0, &row_schema, "In the order of marking"),
};
const struct schema session_roll_schema = SCHEMA("SessionRoll", struct session_roll, roll_fields);

SQL(SESSION_OWN, "uu", "SELECT COUNT(*) FROM events WHERE id = $1 AND kind = 'session' AND NOT is_deleted{?2 AND owner_id = $2}");
SQL(SESSION_ROLL, "uimu",
	"SELECT r.id AS attendance_id, u.full_name, u.email, r.status, r.marked_at, r.distance_m, r.flags, r.reason"
	" FROM attendance_records r JOIN users u ON u.id = r.user_id WHERE r.event_id = $1" ROLL_AFTER);

static struct roll_key
row_key(const void *row)
{
	const struct session_roll_row *r = row;

	return (struct roll_key){r->marked_at, r->attendance_id.text};
}

enum err
report_session_roll(struct ctx *cx, const char *session_id, struct session_roll *ret)
{
	int64_t there;

	TRY(db_int(cx, &SESSION_OWN, &there, V(session_id), V(owner_only(cx))));
	if (!there)
		return fail(cx, ERR_NOT_FOUND, NULL);
	return roll_pages(cx, &SESSION_ROLL, &row_schema, session_id, row_key, &ret->records);
}

static const struct sheet_column columns[] = {
	{"attendance_id", 38},
	{"full_name", 28},
	{"email", 32},
	{"status", 10},
	{"marked_at", 22},
	{"distance_m", 12},
	{"flags", 24},
	{"reason", 40},
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

struct sheet
report_session_sheet(struct ctx *cx, const struct session_roll *roll)
{
	const struct session_roll_row *rows = roll->records.items;
	const char **cells = arena_new(cx->arena, const char *, roll->records.count *COLUMNS + 1);

	for (size_t i = 0; i < roll->records.count; i++) {
		const struct session_roll_row *r = &rows[i];
		char *at = arena_new(cx->arena, char, TIME_WIRE_BYTES + 1);
		const char *metres =
			r->distance_m != FIELD_NONE ? arena_printf(cx->arena, "%lld", (long long)r->distance_m) : NULL;
		time_to_wire(r->marked_at, at);
		memcpy(&cells[i * COLUMNS],
			((const char *[COLUMNS]){
				r->attendance_id.text, r->full_name, r->email, r->status, at, metres, r->flags, r->reason}),
			COLUMNS * sizeof(*cells));
	}
	return (struct sheet){"Attendance", columns, COLUMNS, roll->records.count, cells};
}
