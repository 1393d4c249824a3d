/* Rows of attendance_changes, in the order in which they came: ids are of version 7. */
#include "attendance/history.h"

#include "store/db.h"

static const struct field history_by_fields[] = {
	F(struct history_by, id, 0, 0, 0, "Account"),
	F(struct history_by, full_name, 0, 0, 0, "Its name"),
};
static const struct schema history_by_schema = SCHEMA("ChangedBy", struct history_by, history_by_fields);
static const struct field record_change_fields[] = {
	F(struct record_change, at, F_TIME, 0, 0, "When"),
	F(struct record_change, from, 0, 0, 0, "Status before; none: it was made so"),
	F(struct record_change, to, 0, 0, 0, "Status from then on"),
	F(struct record_change, reason, 0, 0, 0, "Why"),
	F(struct record_change, by_role, F_NULLABLE, 0, 0, "Role of who did it; null: a rule, not a person"),
	F_PTR(struct record_change, by, F_NULLABLE, &history_by_schema, "Who did it; students are not told"),
};
const struct schema record_change_schema = SCHEMA("RecordChange", struct record_change, record_change_fields);

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
