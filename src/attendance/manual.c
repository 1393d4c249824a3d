/*
 * Attendance by hand.
 *
 * Each of the three first makes the row its own (the unique key at an insert, an update that changes nothing otherwise), so of
 * two administrators the second sees what the first did.  Places of an event with a capacity follow the records that attend:
 * present, late and flagged take one, as a mark does.
 */
#include "attendance/manual.h"

#include "attendance/count.h"
#include "attendance/history.h"
#include "audit/audit.h"
#include "notify/notify.h"
#include "store/db.h"

const char *const manual_statuses[] = {"", "present", "late", "excused", "absent", "rejected", NULL};
const char *const manual_own_statuses[] = {"", "present", "late", "excused", "absent", NULL};

static const struct field manual_new_fields[] = {
	F(struct manual_in, user_id, F_REQUIRED, 0, 0, "Whose attendance"),
	F_ENUM(struct manual_in, status, F_REQUIRED, manual_own_statuses, "What it is"),
	MANUAL_REASON,
};
const struct schema manual_new_schema = SCHEMA("ManualNew", struct manual_in, manual_new_fields);
static const struct field manual_change_fields[] = {
	F_ENUM(struct manual_in, status, 0, manual_statuses, "What it is from now on; absent: as it is"),
	MANUAL_REASON,
};
const struct schema manual_change_schema = SCHEMA("ManualChange", struct manual_in, manual_change_fields);
/* A lecturer's change: rejecting is a reviewer's. */
static const struct field manual_own_change_fields[] = {
	F_ENUM(struct manual_in, status, 0, manual_own_statuses, "What it is from now on; absent: as it is"),
	MANUAL_REASON,
};
const struct schema manual_own_change_schema = SCHEMA("OwnManualChange", struct manual_in, manual_own_change_fields);
static const struct field manual_delete_fields[] = {
	F_ENUM(struct manual_in, status, F_TOLERATED, manual_statuses, "Ignored"),
	MANUAL_REASON,
};
const struct schema manual_delete_schema = SCHEMA("ManualDelete", struct manual_in, manual_delete_fields);

static const struct field manual_record_fields[] = {
	F(struct manual_record, attendance_id, 0, 0, 0, "The record"),
	F_OBJ(struct manual_record, user, &account_ref_schema, "Whose it is"),
	F(struct manual_record, status, 0, 0, 0, "present, late, excused, absent, flagged or rejected"),
	F(struct manual_record, original_status, 0, 0, 0, "What it was at first"),
	F(struct manual_record, method, 0, 0, 0, "qr, code, manual or import"),
	F(struct manual_record, marked_at, F_TIME, 0, 0, "When it was recorded first"),
	F(struct manual_record, reason, F_NULLABLE, 0, 0, "Why it was changed by hand"),
	F(struct manual_record, marked_by, F_NULLABLE, 0, 0, "Who made or changed it by hand"),
	F(struct manual_record, changed_at, F_TIME | F_NULLABLE, 0, 0, "When it was changed last"),
};
const struct schema manual_record_schema = SCHEMA("ManualRecord", struct manual_record, manual_record_fields);

/* --- what is there --------------------------------------------------------------------------------------------------------- */

struct manual_case { /* the record with what the student is told */
	struct manual_record record;
	const char *title;
};
static const struct field manual_case_fields[] = {
	F_OBJ(struct manual_case, record, &manual_record_schema, NULL),
	F(struct manual_case, title, 0, 0, 0, NULL),
};
static const struct schema manual_case_schema = SCHEMA("ManualCase", struct manual_case, manual_case_fields);

SQL(MANUAL_LOAD, "uu",
	"SELECT r.id AS \"record.attendance_id\", " ACCOUNT_REF("u", "record.user") ", r.status AS \"record.status\","
	" r.original_status AS \"record.original_status\", r.method AS \"record.method\","
	" r.marked_at AS \"record.marked_at\", r.reason AS \"record.reason\","
	" r.marked_by AS \"record.marked_by\", r.changed_at AS \"record.changed_at\", e.title"
	" FROM attendance_records r JOIN users u ON u.id = r.user_id JOIN events e ON e.id = r.event_id"
	" WHERE r.id = $1 AND r.event_id = $2 AND NOT e.is_deleted");
SQL(MANUAL_LOCK, "uu", "UPDATE attendance_records SET changed_at = changed_at WHERE id = $1 AND event_id = $2");

static enum err
load(struct ctx *cx, const char *event_id, const char *attendance_id, struct manual_case *ret)
{
	TRY(db_exec(cx, &MANUAL_LOCK, NULL, V(attendance_id), V(event_id)));
	return db_one(cx, &MANUAL_LOAD, &manual_case_schema, ret, V(attendance_id), V(event_id));
}

/* --- what follows from a change -------------------------------------------------------------------------------------------- */

static bool
attends(const char *status)
{
	return str_eq(status, "present") || str_eq(status, "late") || str_eq(status, "flagged");
}

SQL(MANUAL_PLACES, "ui",
	"UPDATE events SET taken = CASE WHEN taken + $2 < 0 THEN 0 ELSE taken + $2 END WHERE id = $1 AND capacity IS NOT NULL");

/* `from` or `to` NULL: there was, or is, no record. */
static enum err
recount(struct ctx *cx, const char *event_id, const char *from, const char *to)
{
	int places = (to && attends(to)) - (from && attends(from));

	if (places)
		TRY(db_exec(cx, &MANUAL_PLACES, NULL, V(event_id), V(places)));
	return event_recount(cx, event_id);
}

static const char *
told(struct ctx *cx, const struct manual_case *c, const char *event_id, const char *to, const char *reason)
{
	struct buf out;
	struct json j;

	buf_init(&out, cx->arena, 256);
	json_init(&j, &out);
	json_obj(&j, NULL);
	json_str(&j, "name", c->record.user.full_name);
	json_str(&j, "event_id", event_id);
	json_str(&j, "event", c->title);
	json_str(&j, "attendance_id", c->record.attendance_id.text);
	json_str(&j, "status", to ? to : "removed");
	json_str(&j, "reason", reason);
	json_obj_end(&j);
	return buf_cstr(&out);
}

static enum err
tell(struct ctx *cx, const struct manual_case *c, const char *event_id, const char *to, const char *reason, bool reviewed)
{
	const char *message = to ? arena_printf(cx->arena, "Your attendance at %s is now: %s. Reason: %s", c->title, to, reason)
				 : arena_printf(cx->arena, "Your attendance at %s was removed. Reason: %s", c->title, reason);
	const char *data = told(cx, c, event_id, to, reason);

	return notify_user(cx, c->record.user.id.text,
		&(const struct notification_new){.type = "decision",
			.title = reviewed ? "Attendance reviewed" : "Attendance changed by hand",
			.message = message,
			.data = data,
			.mail = "attendance_changed",
			.mail_data = data});
}

static enum err
write_down(struct ctx *cx, enum audit_action action, const struct manual_case *c, const char *event_id, const char *from,
	const char *to, const char *reason)
{
	return audit_ok(cx, action, "attendance_record", c->record.attendance_id.text, AUDIT_TEXT("event_id", event_id),
		AUDIT_TEXT("user_id", c->record.user.id.text), AUDIT_TEXT("from", from ? from : "none"),
		AUDIT_TEXT("to", to ? to : "none"), AUDIT_TEXT("original", c->record.original_status),
		AUDIT_TEXT("reason", reason));
}

static enum err
settle(struct ctx *cx, enum audit_action action, const struct manual_case *c, const char *event_id, const char *from,
	const char *to, const char *reason)
{
	TRY(recount(cx, event_id, from, to));
	if (to)
		TRY(history_add(cx, c->record.attendance_id.text, cx->actor->user_id.text,
			&(const struct history_change){from ? from : "none", to, reason}));
	TRY(write_down(cx, action, c, event_id, from, to, reason));
	return tell(cx, c, event_id, to, reason, action == AUDIT_REVIEW_DECIDED);
}

/* --- the three ------------------------------------------------------------------------------------------------------------- */

SQL(MANUAL_THERE, "uu",
	"SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM events e WHERE e.id = $1 AND NOT e.is_deleted) THEN 1"
	" WHEN NOT EXISTS (SELECT 1 FROM users u WHERE u.id = $2) THEN 2 ELSE 0 END");
SQL(MANUAL_INSERT, "uuuttmtu",
	"INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at, recorded_at, reason,"
	" marked_by) VALUES ($1, $2, $3, $4, $5, 'manual', $6, $6, $7, $8) ON CONFLICT (event_id, user_id) DO NOTHING");
SQL(MANUAL_FIRST, "uu", "SELECT id AS attendance_id, marked_at FROM attendance_records WHERE event_id = $1 AND user_id = $2");

static enum err
duplicate(struct ctx *cx, const char *event_id, const char *user_id)
{
	struct manual_record first;

	TRY(db_one(cx, &MANUAL_FIRST, &manual_record_schema, &first, V(event_id), V(user_id)));
	error_text(cx, "attendance_id", first.attendance_id.text);
	error_time(cx, "marked_at", first.marked_at);
	return fail(cx, ERR_DUPLICATE_ATTENDANCE, "This account has a record already; change that one.");
}

enum err
manual_create(struct ctx *cx, const char *event_id, const struct manual_in *in, struct manual_record *ret)
{
	const char *status = manual_own_statuses[in->status];
	struct uuid id = new_id(cx);
	struct manual_case c;
	int64_t lacking, rows;

	TRY(db_int(cx, &MANUAL_THERE, &lacking, V(event_id), V_ID(in->user_id)));
	if (lacking)
		return fail(cx, ERR_NOT_FOUND, lacking == 1 ? "There is no such event." : "There is no such account.");
	TRY(db_exec(cx, &MANUAL_INSERT, &rows, V_ID(id), V(event_id), V_ID(in->user_id), V(status), V(status), V(cx->now_us),
		V(in->reason), V_ID(cx->actor->user_id)));
	if (!rows)
		return duplicate(cx, event_id, in->user_id.text);
	TRY(load(cx, event_id, id.text, &c));
	TRY(settle(cx, AUDIT_ATTENDANCE_CHANGED, &c, event_id, NULL, status, in->reason));
	*ret = c.record;
	return OK;
}

SQL(MANUAL_CHANGE, "uttum",
	"UPDATE attendance_records SET status = $2, reason = $3, marked_by = $4, changed_at = $5 WHERE id = $1");

static enum err
change(struct ctx *cx, enum audit_action action, const char *event_id, const char *attendance_id, const struct manual_in *in,
	struct manual_record *ret)
{
	struct manual_case c;

	TRY(load(cx, event_id, attendance_id, &c));
	const char *from = c.record.status, *to = in->status ? manual_statuses[in->status] : from;
	TRY(db_exec(cx, &MANUAL_CHANGE, NULL, V(attendance_id), V(to), V(in->reason), V_ID(cx->actor->user_id), V(cx->now_us)));
	TRY(settle(cx, action, &c, event_id, from, to, in->reason));
	c.record.status = to;
	c.record.reason = in->reason;
	c.record.marked_by = cx->actor->user_id;
	c.record.changed_at = cx->now_us;
	*ret = c.record;
	return OK;
}

enum err
manual_change(
	struct ctx *cx, const char *event_id, const char *attendance_id, const struct manual_in *in, struct manual_record *ret)
{
	return change(cx, AUDIT_ATTENDANCE_CHANGED, event_id, attendance_id, in, ret);
}

enum err
manual_decide(struct ctx *cx, const char *event_id, const char *attendance_id, const struct manual_in *in)
{
	struct manual_record ignored;

	return change(cx, AUDIT_REVIEW_DECIDED, event_id, attendance_id, in, &ignored);
}

SQL(MANUAL_DELETE, "u", "DELETE FROM attendance_records WHERE id = $1");

enum err
manual_delete(struct ctx *cx, const char *event_id, const char *attendance_id, const char *reason)
{
	struct manual_case c;

	TRY(load(cx, event_id, attendance_id, &c));
	TRY(db_exec(cx, &MANUAL_DELETE, NULL, V(attendance_id)));
	return settle(cx, AUDIT_ATTENDANCE_CHANGED, &c, event_id, c.record.status, NULL, reason);
}
