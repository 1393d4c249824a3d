/*
 * Tells administrators of new marks, one notification per event however many came.  The job reads records by id from where it
 * stopped; the text counts the whole event, so a record that commits a moment late is in the next one.
 */
#include "jobs/rows.h"

#include "notify/notify.h"
#include "store/db.h"

struct marked_event {
	struct uuid id, last;
	const char *title;
	int64_t marks;
};
static const struct field marked_event_fields[] = {
	F(struct marked_event, id, 0, 0, 0, NULL),
	F(struct marked_event, last, 0, 0, 0, NULL),
	F(struct marked_event, title, 0, 0, 0, NULL),
	F(struct marked_event, marks, 0, 0, 0, NULL),
};
static const struct schema marked_event_schema = SCHEMA("MarkedEvent", struct marked_event, marked_event_fields);

SQL(MARKS_FROM, "", "UPDATE positions SET reached = reached WHERE name = 'notify_marks' RETURNING reached AS last");
SQL(MARKS_TURN_END, "ui", "SELECT id AS last FROM attendance_records WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2");
SQL(MARKS_LAST, "u", "SELECT id AS last FROM attendance_records WHERE id > $1 ORDER BY id DESC LIMIT 1");
SQL(MARKS_EVENTS, "uu",
	"SELECT e.id, e.title, (SELECT COUNT(*) FROM attendance_records r WHERE r.event_id = e.id"
	" AND r.status IN ('present', 'late', 'flagged')) AS marks FROM events e WHERE NOT e.is_deleted"
	" AND e.id IN (SELECT event_id FROM attendance_records WHERE id > $1 AND id <= $2 AND method IN ('qr', 'code'))");
SQL(MARKS_REACH, "u", "UPDATE positions SET reached = $1 WHERE name = 'notify_marks'");

static enum err
tell(struct ctx *cx, const struct marked_event *e)
{
	const char *key = arena_printf(cx->arena, "marks:%s", e->id.text);
	const char *data = arena_printf(cx->arena, "{\"event_id\":\"%s\",\"marks\":%lld}", e->id.text, (long long)e->marks);
	const char *message = arena_printf(cx->arena,
		e->marks == 1 ? "%lld person has marked attendance at %s." : "%lld people have marked attendance at %s.",
		(long long)e->marks, e->title);

	return notify_admins_coalesced(cx, key,
		&(const struct notification_new){.type = "marks", .title = "New attendance", .message = message, .data = data, .mail = "marks"});
}

enum err
notify_marks(struct ctx *cx, int64_t *ret_rows)
{
	enum { TURN_RECORDS = 5000 };
	struct marked_event from, to;
	struct list events;
	bool more, any = true;

	*ret_rows = 0;
	TRY(db_one(cx, &MARKS_FROM, &marked_event_schema, &from));
	TRY(db_find(cx, &MARKS_TURN_END, &marked_event_schema, &to, &more, V_ID(from.last), V(TURN_RECORDS - 1)));
	if (!more)
		TRY(db_find(cx, &MARKS_LAST, &marked_event_schema, &to, &any, V_ID(from.last)));
	if (!any)
		return OK;
	TRY(db_all(cx, &MARKS_EVENTS, &marked_event_schema, &events, V_ID(from.last), V_ID(to.last)));
	const struct marked_event *rows = events.items;
	for (size_t i = 0; i < events.count; i++)
		TRY(tell(cx, &rows[i]));
	TRY(db_exec(cx, &MARKS_REACH, NULL, V_ID(to.last)));
	*ret_rows = more ? BULK_TURN_ROWS : 0;
	return OK;
}
