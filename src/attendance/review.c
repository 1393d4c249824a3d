/*
 * The queue, decisions and disputes.
 *
 * A decision first makes the record its own, so of two reviewers the second sees what the first decided: a confirmation then
 * finds that nothing waits any more, a new status stands over the old one.  The change itself is attendance/manual.h's.
 */
#include "attendance/review.h"

#include "attendance/layers/layer.h"
#include "audit/audit.h"
#include "core/conf.h"
#include "notify/notify.h"
#include "store/db.h"

/* --- shapes ---------------------------------------------------------------------------------------------------------------- */

static const struct field review_session_fields[] = {
	F(struct review_session, id, 0, 0, 0, "Session or event"),
	F(struct review_session, title, 0, 0, 0, "Its title"),
	F(struct review_session, kind, 0, 0, 0, "session, or event"),
	F(struct review_session, starts_at, F_TIME, 0, 0, "When it begins"),
};
static const struct schema review_session_schema = SCHEMA("ReviewSession", struct review_session, review_session_fields);
#define FLAGGED_FIELDS \
	F(struct flagged_row, attendance_id, 0, 0, 0, "The record"), \
	F_OBJ(struct flagged_row, student, &account_ref_schema, "Whose it is"), \
	F_OBJ(struct flagged_row, session, &review_session_schema, "What was marked"), \
	F(struct flagged_row, status, 0, 0, 0, "present, late, excused, absent, flagged or rejected"), \
	F(struct flagged_row, original_status, 0, 0, 0, "What it was at first"), \
	F(struct flagged_row, method, 0, 0, 0, "qr, code, manual or import"), \
	F(struct flagged_row, marked_at, F_TIME, 0, 0, "When the code was presented"), \
	F(struct flagged_row, distance_m, F_NULLABLE, 0, 0, "From the place of the session, metres"), \
	F(struct flagged_row, flags, F_NULLABLE, 0, 0, "What was found, separated by commas"), \
	F(struct flagged_row, reason, F_NULLABLE, 0, 0, "Why it was changed by hand"), \
	F(struct flagged_row, marked_by, F_NULLABLE, 0, 0, "Who decided last"), \
	F(struct flagged_row, changed_at, F_TIME | F_NULLABLE, 0, 0, "When"), \
	F(struct flagged_row, dispute_note, F_NULLABLE, 0, 0, "What the student says"), \
	F(struct flagged_row, disputed_at, F_TIME | F_NULLABLE, 0, 0, "When"), \
	F(struct flagged_row, layers, F_JSON | F_NULLABLE, 0, 0, "How each layer judged the mark"), \
	F(struct flagged_row, has_selfie, 0, 0, 0, "Whether its selfie is there")

static const struct field flagged_row_fields[] = {FLAGGED_FIELDS};
static const struct schema flagged_row_schema = SCHEMA("FlaggedRecord", struct flagged_row, flagged_row_fields);
static const struct field flagged_list_fields[] = {
	F_LIST(struct flagged_list, flagged, 0, &flagged_row_schema, "Who waits longest first"),
	F(struct flagged_list, total, 0, 0, 0, "How many wait"),
	F(struct flagged_list, selfie_days, 0, 0, 0, "How many days selfies are kept"),
};
const struct schema flagged_list_schema = SCHEMA("FlaggedList", struct flagged_list, flagged_list_fields);
#define CHANGES_FIELD F_LIST(struct flagged_row, changes, 0, &record_change_schema, "Every change so far, oldest first")
static const struct field decided_row_fields[] = {FLAGGED_FIELDS, CHANGES_FIELD};
const struct schema decided_row_schema = SCHEMA("DecidedRecord", struct flagged_row, decided_row_fields);
static const struct field record_history_fields[] = {
	FLAGGED_FIELDS,
	CHANGES_FIELD,
	F(struct flagged_row, selfie_days, 0, 0, 0, "How many days selfies are kept"),
};
const struct schema record_history_schema = SCHEMA("RecordHistory", struct flagged_row, record_history_fields);
static const struct field decided_list_fields[] = {
	F_LIST(struct decided_list, records, 0, &decided_row_schema, "In the order that was asked for"),
};
const struct schema decided_list_schema = SCHEMA("DecidedRecords", struct decided_list, decided_list_fields);
#define DECISIONS_FIELDS(statuses)                                                                                          \
	F_LIST(struct decisions_in, attendance_ids, F_REQUIRED, NULL, "The records, 1 to 100"),                             \
		F_ENUM(struct decisions_in, status, 0, statuses, "What they are from now on; without it each is confirmed"), \
		F(struct decisions_in, reason, F_REQUIRED | F_TRIM | F_MULTILINE, 1, TEXT_MAX_BYTES, "Why; the students read it")
static const struct field decisions_in_fields[] = {DECISIONS_FIELDS(manual_statuses)};
const struct schema decisions_in_schema = SCHEMA("DecisionsIn", struct decisions_in, decisions_in_fields);
static const struct field decisions_own_in_fields[] = {DECISIONS_FIELDS(manual_own_statuses)};
const struct schema decisions_own_in_schema = SCHEMA("OwnDecisionsIn", struct decisions_in, decisions_own_in_fields);
static const struct field decision_fields[] = {
	F_ENUM(struct manual_in, status, F_REQUIRED, manual_statuses, "What it is from now on"),
	MANUAL_REASON,
};
const struct schema review_decision_schema = SCHEMA("ReviewDecision", struct manual_in, decision_fields);
static const struct field note_fields[] = {
	F(struct manual_in, reason, F_TRIM | F_MULTILINE, 1, TEXT_MAX_BYTES, "Why; the student reads it"),
};
const struct schema review_note_schema = SCHEMA("ReviewNote", struct manual_in, note_fields);
static const struct field dispute_in_fields[] = {
	F(struct dispute_in, note, F_REQUIRED | F_TRIM | F_MULTILINE, 1, TEXT_MAX_BYTES, "What is wrong with the record"),
};
const struct schema dispute_in_schema = SCHEMA("DisputeIn", struct dispute_in, dispute_in_fields);
static const struct field dispute_fields[] = {
	F(struct dispute, attendance_id, 0, 0, 0, "The record"),
	F(struct dispute, status, 0, 0, 0, "What it is until somebody decides"),
	F(struct dispute, dispute_note, 0, 0, 0, "What was said"),
	F(struct dispute, disputed_at, F_TIME, 0, 0, "When"),
};
const struct schema dispute_schema = SCHEMA("Dispute", struct dispute, dispute_fields);

/* --- the queue ------------------------------------------------------------------------------------------------------------- */

struct review_scope
review_scope_own(const struct ctx *cx, const char *session_id)
{
	bool all = cx->actor->role == ROLE_ADMIN || cx->actor->role == ROLE_REVIEWER;

	return (struct review_scope){all ? NULL : cx->actor->user_id.text, session_id};
}

#define FLAGGED_COLUMNS                                                                                                          \
	"r.id AS attendance_id, " ACCOUNT_REF("u", "student") ", e.id AS \"session.id\", e.title AS \"session.title\","        \
	" e.kind AS \"session.kind\", e.scheduled_at AS \"session.starts_at\", r.status,"                                    \
	" r.original_status, r.method, r.marked_at, r.distance_m, r.flags, r.reason, r.marked_by, r.changed_at, r.dispute_note," \
	" r.disputed_at, " LAYERS_OF_RECORD " AS layers, EXISTS (SELECT 1 FROM selfies s WHERE s.attendance_id = r.id) AS has_selfie"
#define FLAGGED_FROM " FROM attendance_records r JOIN users u ON u.id = r.user_id JOIN events e ON e.id = r.event_id"
/* The first condition is the index's own. */
#define WAITING                                                                     \
	" (r.status = 'flagged' OR r.disputed_at IS NOT NULL) AND NOT e.is_deleted" \
	" AND (r.status = 'flagged' OR r.changed_at IS NULL OR r.changed_at < r.disputed_at)"

SQL(REVIEW_SESSION, "uu", "SELECT COUNT(*) FROM events e WHERE e.id = $1 AND NOT e.is_deleted{?2 AND e.owner_id = $2}");
SQL(REVIEW_QUEUE, "iuu",
	"SELECT " FLAGGED_COLUMNS FLAGGED_FROM " WHERE" WAITING "{?2 AND e.owner_id = $2}{?3 AND r.event_id = $3}"
	" ORDER BY r.marked_at, r.id LIMIT $1");
SQL(REVIEW_TOTAL, "uu", "SELECT COUNT(*)" FLAGGED_FROM " WHERE" WAITING "{?1 AND e.owner_id = $1}{?2 AND r.event_id = $2}");

enum err
review_queue(struct ctx *cx, const struct review_scope *scope, int64_t limit, struct flagged_list *ret)
{
	struct flagged_list out = {.selfie_days = cx->srv->conf->selfie_retention_days};
	int64_t there = 1;

	if (scope->session_id)
		TRY(db_int(cx, &REVIEW_SESSION, &there, V(scope->session_id), V(scope->owner_id)));
	if (!there)
		return fail(cx, ERR_NOT_FOUND, NULL);
	TRY(db_all(cx, &REVIEW_QUEUE, &flagged_row_schema, &out.flagged, V(limit), V(scope->owner_id), V(scope->session_id)));
	TRY(db_int(cx, &REVIEW_TOTAL, &out.total, V(scope->owner_id), V(scope->session_id)));
	*ret = out;
	return OK;
}

/* --- one record ------------------------------------------------------------------------------------------------------------ */

SQL(REVIEW_READABLE, "uu",
	"SELECT " FLAGGED_COLUMNS FLAGGED_FROM " WHERE r.id = $1 AND NOT e.is_deleted{?2 AND (r.user_id = $2 OR e.owner_id = $2)}");

/* As the student concerned reads it: what was decided is told, who decided is between the staff. */
static void
hide_staff(struct ctx *cx, struct flagged_row *r)
{
	const char *self = r->student.id.text;
	struct record_change *changes = r->changes.items;

	for (size_t i = 0; i < r->changes.count; i++)
		if (changes[i].by && !str_eq(changes[i].by->id.text, self))
			changes[i].by = NULL;
	if (!str_eq(r->marked_by.text, self))
		r->marked_by = (struct uuid){0};
	if (r->layers)
		r->layers = layers_unmeasured(cx->arena, r->layers);
}

enum err
review_history(struct ctx *cx, const char *attendance_id, struct flagged_row *ret)
{
	const struct actor *a = cx->actor;
	bool all = a->role == ROLE_ADMIN || a->role == ROLE_REVIEWER;

	TRY(db_one(cx, &REVIEW_READABLE, &flagged_row_schema, ret, V(attendance_id), V(all ? NULL : a->user_id.text)));
	TRY(history_list(cx, attendance_id, &ret->changes));
	ret->selfie_days = cx->srv->conf->selfie_retention_days;
	if (str_eq(ret->student.id.text, a->user_id.text))
		hide_staff(cx, ret);
	return OK;
}

/* --- a decision ------------------------------------------------------------------------------------------------------------ */

struct review_case {
	struct flagged_row row;
	int64_t late_after_minutes;
};
static const struct field review_case_fields[] = {
	F_OBJ(struct review_case, row, &flagged_row_schema, NULL),
	F(struct review_case, late_after_minutes, 0, 0, 0, NULL),
};
static const struct schema review_case_schema = SCHEMA("ReviewCase", struct review_case, review_case_fields);

SQL(REVIEW_LOCK, "u", "UPDATE attendance_records SET changed_at = changed_at WHERE id = $1");
SQL(REVIEW_LATE_AFTER, "uu",
	"SELECT e.late_after_minutes, r.id AS \"row.attendance_id\", e.id AS \"row.session.id\", e.scheduled_at AS"
	" \"row.session.starts_at\", r.status AS \"row.status\", r.marked_at AS \"row.marked_at\", r.changed_at AS"
	" \"row.changed_at\", r.disputed_at AS \"row.disputed_at\" FROM attendance_records r JOIN events e ON e.id = r.event_id"
	" WHERE r.id = $1 AND NOT e.is_deleted{?2 AND e.owner_id = $2}");
SQL(REVIEW_ONE, "u", "SELECT " FLAGGED_COLUMNS FLAGGED_FROM " WHERE r.id = $1");

static bool
waits(const struct flagged_row *r)
{
	if (str_eq(r->status, "flagged"))
		return true;
	return r->disputed_at != TIME_NONE && (r->changed_at == TIME_NONE || r->changed_at < r->disputed_at);
}

/* What the mark would have been without its flags; what was disputed and is confirmed stays as it is. */
static const char *
confirmed(const struct review_case *c)
{
	const struct flagged_row *r = &c->row;

	if (!str_eq(r->status, "flagged"))
		return r->status;
	bool late =
		c->late_after_minutes != FIELD_NONE && r->marked_at > r->session.starts_at + c->late_after_minutes * MINUTES_US;
	return late ? "late" : "present";
}

enum err
review_decide(struct ctx *cx, const struct review_scope *scope, const char *attendance_id, const struct manual_in *in,
	struct flagged_row *ret)
{
	struct manual_in decision = *in;
	struct review_case c;

	TRY(db_exec(cx, &REVIEW_LOCK, NULL, V(attendance_id)));
	TRY(db_one(cx, &REVIEW_LATE_AFTER, &review_case_schema, &c, V(attendance_id), V(scope->owner_id)));
	if (!decision.status && !waits(&c.row))
		return fail(cx, ERR_ALREADY_DECIDED, "Nothing about this record waits for a decision.");
	if (!decision.status)
		decision.status = enum_index(manual_statuses, confirmed(&c));
	if (!decision.reason)
		decision.reason = "Confirmed.";
	TRY(manual_decide(cx, c.row.session.id.text, attendance_id, &decision));
	TRY(db_one(cx, &REVIEW_ONE, &flagged_row_schema, ret, V(attendance_id)));
	return history_list(cx, attendance_id, &ret->changes);
}

/* Canonical ids in the order of the list; each once. */
static enum err
read_ids(struct ctx *cx, const struct list *texts, struct uuid *ret)
{
	const char *const *text = texts->items;
	bool good = texts->count >= 1 && texts->count <= REVIEW_MANY_MAX;

	for (size_t i = 0; good && i < texts->count; i++) {
		good = uuid_canonical(text[i], &ret[i]);
		for (size_t k = 0; good && k < i; k++)
			good = !str_eq(ret[k].text, ret[i].text);
	}
	if (good)
		return OK;
	error_field(cx, "attendance_ids", "must be 1 to %d different ids", REVIEW_MANY_MAX);
	return fail(cx, ERR_VALIDATION, NULL);
}

enum err
review_decide_many(struct ctx *cx, const struct review_scope *scope, const struct decisions_in *in, struct decided_list *ret)
{
	const struct manual_in each = {.status = in->status, .reason = in->reason};
	struct uuid ids[REVIEW_MANY_MAX];
	size_t n = in->attendance_ids.count;

	TRY(read_ids(cx, &in->attendance_ids, ids));
	struct flagged_row *rows = arena_new(cx->arena, struct flagged_row, n);
	for (size_t i = 0; i < n; i++)
		TRY(review_decide(cx, scope, ids[i].text, &each, &rows[i]));
	ret->records = (struct list){rows, n};
	return OK;
}

/* --- a dispute ------------------------------------------------------------------------------------------------------------- */

struct disputed {
	struct dispute dispute;
	struct uuid event_id, owner_id;
	const char *title;
};
static const struct field disputed_fields[] = {
	F_OBJ(struct disputed, dispute, &dispute_schema, NULL),
	F(struct disputed, event_id, 0, 0, 0, NULL),
	F(struct disputed, owner_id, 0, 0, 0, NULL),
	F(struct disputed, title, 0, 0, 0, NULL),
};
static const struct schema disputed_schema = SCHEMA("Disputed", struct disputed, disputed_fields);

SQL(DISPUTE_WRITE, "uutm",
	"UPDATE attendance_records SET dispute_note = $3, disputed_at = $4 WHERE id = $1 AND user_id = $2 AND disputed_at IS "
	"NULL");
SQL(DISPUTED, "uu",
	"SELECT r.id AS \"dispute.attendance_id\", r.status AS \"dispute.status\", r.dispute_note AS \"dispute.dispute_note\","
	" r.disputed_at AS \"dispute.disputed_at\", e.id AS event_id, e.owner_id, e.title"
	" FROM attendance_records r JOIN events e ON e.id = r.event_id WHERE r.id = $1 AND r.user_id = $2 AND NOT e.is_deleted");

enum err
review_dispute(struct ctx *cx, const char *attendance_id, const struct dispute_in *in, struct dispute *ret)
{
	const char *who = cx->actor->user_id.text;
	struct disputed d;
	int64_t rows;

	TRY(db_exec(cx, &DISPUTE_WRITE, &rows, V(attendance_id), V(who), V(in->note), V(cx->now_us)));
	TRY(db_one(cx, &DISPUTED, &disputed_schema, &d, V(attendance_id), V(who)));
	if (!rows)
		return fail(cx, ERR_CONFLICT, "This record was disputed before.");
	TRY(notify_user(cx, d.owner_id.text,
		&(const struct notification_new){.type = "decision",
			.title = "Attendance disputed",
			.message = arena_printf(
				cx->arena, "%s disputes the attendance at %s: %s", cx->actor->full_name, d.title, in->note),
			.data = arena_printf(
				cx->arena, "{\"event_id\":\"%s\",\"attendance_id\":\"%s\"}", d.event_id.text, attendance_id)}));
	TRY(audit_ok(cx, AUDIT_ATTENDANCE_DISPUTED, "attendance_record", attendance_id, AUDIT_TEXT("event_id", d.event_id.text),
		AUDIT_TEXT("status", d.dispute.status)));
	*ret = d.dispute;
	return OK;
}
