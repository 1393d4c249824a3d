/* A student reads the same reasons as the lecturer, but not which person decided: that is between the staff. */
#include "attendance/history.h"

#include "store/db.h"

static const struct field history_by_fields[] = {
	F(struct history_by, id, 0, 0, 0, "Account"),
	F(struct history_by, full_name, 0, 0, 0, "Its name"),
};
static const struct schema history_by_schema = SCHEMA("ChangedBy", struct history_by, history_by_fields);
static const struct field record_change_fields[] = {
	F(struct record_change, at, F_TIME, 0, 0, "When"),
	F(struct record_change, from, 0, 0, 0, "Status before"),
	F(struct record_change, to, 0, 0, 0, "Status from then on"),
	F(struct record_change, reason, 0, 0, 0, "Why"),
	F(struct record_change, by_role, F_NULLABLE, 0, 0, "Role of who did it; null: a rule, not a person"),
	F_PTR(struct record_change, by, F_NULLABLE, &history_by_schema, "Who did it; students are not told"),
};
const struct schema record_change_schema = SCHEMA("RecordChange", struct record_change, record_change_fields);
static const struct field record_history_fields[] = {
	F(struct record_history, attendance_id, 0, 0, 0, "The record"),
	F(struct record_history, status, 0, 0, 0, "What it is now"),
	F(struct record_history, original_status, 0, 0, 0, "What it was at first"),
	F_LIST(struct record_history, changes, 0, &record_change_schema, "Oldest first"),
};
const struct schema record_history_schema = SCHEMA("RecordHistory", struct record_history, record_history_fields);

SQL(HISTORY_ADD, "uumuttt",
	"INSERT INTO attendance_changes (attendance_id, id, changed_at, changed_by, from_status, to_status, reason)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7)");

enum err
history_add(struct ctx *cx, const char *attendance_id, const char *by, const struct history_change *change)
{
	struct uuid id = new_id(cx);

	return db_exec(cx, &HISTORY_ADD, NULL, V(attendance_id), V_ID(id), V(cx->now_us), V(by), V(change->from), V(change->to),
		V(change->reason));
}

SQL(HISTORY_LIST, "u",
	"SELECT h.changed_at AS at, h.from_status AS \"from\", h.to_status AS \"to\", h.reason, u.role AS by_role,"
	" u.id AS \"by.id\", u.full_name AS \"by.full_name\" FROM attendance_changes h LEFT JOIN users u ON u.id = h.changed_by"
	" WHERE h.attendance_id = $1 ORDER BY h.id LIMIT 5000");

enum err
history_list(struct ctx *cx, const char *attendance_id, struct list *ret)
{
	return db_all(cx, &HISTORY_LIST, &record_change_schema, ret, V(attendance_id));
}

struct readable {
	struct record_history record;
	struct uuid user_id;
};
static const struct field readable_fields[] = {
	F_OBJ(struct readable, record, &record_history_schema, NULL),
	F(struct readable, user_id, 0, 0, 0, NULL),
};
static const struct schema readable_schema = SCHEMA("ReadableRecord", struct readable, readable_fields);

SQL(HISTORY_OF, "uu",
	"SELECT r.id AS \"record.attendance_id\", r.status AS \"record.status\", r.original_status AS \"record.original_status\","
	" r.user_id FROM attendance_records r JOIN events e ON e.id = r.event_id WHERE r.id = $1 AND NOT e.is_deleted"
	"{?2 AND (r.user_id = $2 OR e.owner_id = $2)}");

enum err
history_get(struct ctx *cx, const char *attendance_id, struct record_history *ret)
{
	const struct actor *a = cx->actor;
	struct readable r;

	TRY(db_one(cx, &HISTORY_OF, &readable_schema, &r, V(attendance_id),
		V(a->role == ROLE_ADMIN || a->role == ROLE_REVIEWER ? NULL : a->user_id.text)));
	TRY(history_list(cx, attendance_id, &r.record.changes));
	struct record_change *changes = r.record.changes.items;
	for (size_t i = 0; str_eq(r.user_id.text, a->user_id.text) && i < r.record.changes.count; i++)
		if (changes[i].by && !str_eq(changes[i].by->id.text, a->user_id.text))
			changes[i].by = NULL;
	*ret = r.record;
	return OK;
}
