/*
 * The counts of events.  The position is half a minute behind the clock, longer than any mark waits between taking its id and its
 * COMMIT, so no record can appear below it later.  Job and recount both update the position's row first: on PostgreSQL that is
 * the lock which keeps them apart.
 */
#include "attendance/count.h"

#include <string.h>

#include "core/field.h"
#include "store/db.h"

enum { MARGIN_S = 30, TURN_RECORDS = 2000 };

struct place {
	struct uuid id;
};
static const struct field place_fields[] = {
	F(struct place, id, 0, 0, 0, NULL),
};
static const struct schema place_schema = SCHEMA("Place", struct place, place_fields);

struct counted {
	struct uuid id; /* of the event */
	int64_t records, attended, present, late, excused, absent;
};
static const struct field counted_fields[] = {
	F(struct counted, id, 0, 0, 0, NULL),
	F(struct counted, records, 0, 0, 0, NULL),
	F(struct counted, attended, 0, 0, 0, NULL),
	F(struct counted, present, 0, 0, 0, NULL),
	F(struct counted, late, 0, 0, 0, NULL),
	F(struct counted, excused, 0, 0, 0, NULL),
	F(struct counted, absent, 0, 0, 0, NULL),
};
static const struct schema counted_schema = SCHEMA("Counted", struct counted, counted_fields);

SQL(COUNTS_LOCK, "", "UPDATE positions SET reached = reached WHERE name = 'event_counts' RETURNING reached AS id");
SQL(COUNTS_FORGET, "u", "DELETE FROM event_counts WHERE event_id = $1");
SQL(COUNTS_WHOLE, "uu",
	"INSERT INTO event_counts (event_id, records, attended, present, late, excused, absent)"
	" SELECT event_id, " COUNT_COLUMNS " FROM attendance_records WHERE event_id = $1 AND id <= $2 GROUP BY event_id");

static enum err
count_whole(struct ctx *cx, const char *event_id, const char *to)
{
	TRY(db_exec(cx, &COUNTS_FORGET, NULL, V(event_id)));
	return db_exec(cx, &COUNTS_WHOLE, NULL, V(event_id), V(to));
}

enum err
event_recount(struct ctx *cx, const char *event_id)
{
	struct place at;

	TRY(db_one(cx, &COUNTS_LOCK, &place_schema, &at));
	return count_whole(cx, event_id, at.id.text);
}

SQL(COUNTS_TURN_END, "uui", "SELECT id FROM attendance_records WHERE id > $1 AND id <= $2 ORDER BY id LIMIT 1 OFFSET $3");
SQL(COUNTS_NEW, "uu",
	"SELECT event_id AS id, records, attended, present, late, excused, absent FROM " COUNTS_BETWEEN("id > $1 AND id <= $2") " counted");
SQL(COUNTS_ADD, "uiiiiii",
	"UPDATE event_counts SET records = records + $2, attended = attended + $3, present = present + $4, late = late + $5,"
	" excused = excused + $6, absent = absent + $7 WHERE event_id = $1");
SQL(COUNTS_REACH, "u", "UPDATE positions SET reached = $1 WHERE name = 'event_counts'");

enum err
event_counts_write(struct ctx *cx, int64_t *ret_rows)
{
	uint8_t highest[10];
	struct place from, end;
	struct list events;
	bool more;

	TRY(db_one(cx, &COUNTS_LOCK, &place_schema, &from));
	memset(highest, 0xff, sizeof(highest));
	struct uuid to = uuid_v7(cx->now_us - MARGIN_S * SECONDS_US, highest);
	*ret_rows = 0;
	if (strcmp(to.text, from.id.text) <= 0)
		return OK;
	TRY(db_find(cx, &COUNTS_TURN_END, &place_schema, &end, &more, V_ID(from.id), V_ID(to), V(TURN_RECORDS - 1)));
	if (more)
		to = end.id;
	TRY(db_all(cx, &COUNTS_NEW, &counted_schema, &events, V_ID(from.id), V_ID(to)));
	const struct counted *rows = events.items;
	for (size_t i = 0; i < events.count; i++) {
		int64_t known;
		TRY(db_exec(cx, &COUNTS_ADD, &known, V_ID(rows[i].id), V(rows[i].records), V(rows[i].attended),
			V(rows[i].present), V(rows[i].late), V(rows[i].excused), V(rows[i].absent)));
		if (!known)
			TRY(count_whole(cx, rows[i].id.text, to.text));
	}
	if (events.count)
		TRY(db_exec(cx, &COUNTS_REACH, NULL, V_ID(to)));
	*ret_rows = more ? BULK_TURN_ROWS : 0;
	return OK;
}
