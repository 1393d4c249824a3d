/*
 * Records from files.  What a row says is checked before anything is written; a wrong row is reported with its line and the
 * others go on.
 */
#include "attendance/record_import.h"

#include <string.h>
#include <strings.h>

#include "attendance/roster_import.h"
#include "audit/audit.h"
#include "store/db.h"

static const struct import_column record_import_columns[] = {
	{"email", offsetof(struct import_row, email)},
	{"session", offsetof(struct import_row, session)},
	{"starts_at", offsetof(struct import_row, starts_at)},
	{"ends_at", offsetof(struct import_row, ends_at)},
	{"course", offsetof(struct import_row, course)},
	{"owner", offsetof(struct import_row, owner)},
	{"status", offsetof(struct import_row, status)},
	{"marked_at", offsetof(struct import_row, marked_at)},
	{"reason", offsetof(struct import_row, reason)},
	{NULL, 0},
};

enum { DEFAULT_MINUTES = 60 };

static const char *const statuses[] = {"", "present", "late", "excused", "absent", "flagged", "rejected", NULL};

struct checked {
	const char *email, *status, *title, *course, *owner, *reason;
	int64_t starts_at, ends_at, marked_at;
};

static const char *
given(const char *text)
{
	return text && text[0] ? text : NULL;
}

static bool
time_of(const char *text, int64_t otherwise_us, int64_t *ret_us)
{
	*ret_us = otherwise_us;
	return !given(text) || time_parse(text, false, ret_us);
}

/* False after saying what is wrong. */
static bool
check_row(struct ctx *cx, struct import *im, const struct import_row *row, struct checked *ret)
{
	const struct record_import *r = im->arg;
	const char *title = row->session ? str_trim(cx->arena, row->session) : "";
	const char *status = given(row->status) ? str_lower(cx->arena, row->status) : "present";
	struct checked c = {.title = title,
		.course = given(row->course),
		.owner = given(row->owner) ? row->owner : r->owner_email,
		.status = status,
		.reason = given(row->reason)};

	if (!email_canonical(cx->arena, row->email ? row->email : "", &c.email))
		import_refuse(im, row->line, "%.80s is no e-mail address", given(row->email) ? row->email : "nothing");
	else if (!title[0] || strlen(title) > NAME_MAX_BYTES || str_has_control(title))
		import_refuse(im, row->line, "the session's title is missing, too long, or has control characters");
	else if (!enum_index(statuses, status))
		import_refuse(im, row->line, "%.40s is no status (present, late, excused, absent, flagged, rejected)", status);
	else if (!given(row->starts_at) || !time_parse(row->starts_at, false, &c.starts_at))
		import_refuse(im, row->line, "starts_at is no time");
	else if (!time_of(row->ends_at, c.starts_at + DEFAULT_MINUTES * MINUTES_US, &c.ends_at) || c.ends_at < c.starts_at)
		import_refuse(im, row->line, "ends_at is no time, or before starts_at");
	else if (!time_of(row->marked_at, c.starts_at, &c.marked_at))
		import_refuse(im, row->line, "marked_at is no time");
	else if (c.reason && strlen(c.reason) > TEXT_MAX_BYTES)
		import_refuse(im, row->line, "the reason is too long");
	else {
		*ret = c;
		return true;
	}
	return false;
}

struct found_session {
	struct uuid id;
};
static const struct field found_session_fields[] = {
	F(struct found_session, id, 0, 0, 0, NULL),
};
static const struct schema found_session_schema = SCHEMA("ImportSession", struct found_session, found_session_fields);

SQL(IMPORT_SESSION, "tmt",
	"SELECT e.id FROM events e LEFT JOIN courses c ON c.id = e.course_id WHERE e.kind = 'session' AND NOT e.is_deleted"
	" AND e.scheduled_at = $2 AND e.title = $1 AND COALESCE(c.code, '') = $3 ORDER BY e.id LIMIT 1");
/* Settled: who is in no file was not therefore absent. */
SQL(IMPORT_SESSION_NEW, "utmmuum",
	"INSERT INTO events (id, kind, title, scheduled_at, ends_at, closed_at, course_id, owner_id, taken, generation, "
	"require_device,"
	" require_face, is_deleted, created_at, updated_at, settled_at)"
	" VALUES ($1, 'session', $2, $3, $4, $4, $5, $6, 0, 0, FALSE, FALSE, FALSE, $7, $7, $7)");

static enum err
make_session(struct ctx *cx, const struct checked *c, const struct uuid *course_id, struct uuid *ret)
{
	struct account owner;

	TRY(roster_owner(cx, c->owner ? c->owner : "", &owner));
	*ret = new_id(cx);
	TRY(db_exec(cx, &IMPORT_SESSION_NEW, NULL, V_ID(*ret), V(c->title), V(c->starts_at), V(c->ends_at), V_ID(*course_id),
		V_ID(owner.id), V(cx->now_us)));
	return audit_ok(cx, AUDIT_SESSION_CREATED, "event", ret->text, AUDIT_TEXT("title", c->title), AUDIT_TEXT("by", "import"));
}

static enum err
find_session(struct ctx *cx, const struct checked *c, struct uuid *ret)
{
	struct roster_course course = {.code = c->course, .owner_email = c->owner};
	struct found_session old;
	bool found;

	TRY(db_find(cx, &IMPORT_SESSION, &found_session_schema, &old, &found, V(c->title), V(c->starts_at),
		V(c->course ? c->course : "")));
	*ret = old.id;
	if (found)
		return OK;
	if (c->course)
		TRY(roster_course(cx, &course));
	return make_session(cx, c, &course.id, ret);
}

SQL(IMPORT_RECORD, "uuutmmt",
	"INSERT INTO attendance_records (id, event_id, user_id, status, original_status, method, marked_at, recorded_at, reason)"
	" VALUES ($1, $2, $3, $4, $4, 'import', $5, $6, $7) ON CONFLICT (event_id, user_id) DO NOTHING");

static enum err
take(struct ctx *cx, struct import *im, const struct import_row *row)
{
	struct account who;
	struct checked c;
	struct uuid session_id, id = new_id(cx);
	int64_t rows;
	bool found;

	if (!check_row(cx, im, row, &c))
		return OK;
	TRY(account_by_email(cx, c.email, &who, &found));
	if (!found) {
		import_refuse(im, row->line, "there is no account %s; import the users first", c.email);
		return OK;
	}
	enum err e = find_session(cx, &c, &session_id);
	if (e == ERR_NOT_FOUND) {
		import_refuse(im, row->line, "the session %.80s cannot be made: %s", c.title, cx->error.message);
		error_clear(cx);
		return OK;
	}
	TRY(e);
	TRY(db_exec(cx, &IMPORT_RECORD, &rows, V_ID(id), V_ID(session_id), V_ID(who.id), V(c.status), V(c.marked_at),
		V(cx->now_us), V(c.reason)));
	im->report.added += rows;
	im->report.existing += !rows;
	return OK;
}

void
record_import(struct import *im, const struct record_import *r)
{
	im->take = take;
	im->columns = record_import_columns;
	im->arg = (void *)r;
}
