/* Rosters.  One row is one person on one course; who is on it already counts as existing. */
#include "attendance/roster_import.h"

#include "audit/audit.h"
#include "store/db.h"

struct course {
	struct uuid id;
};
static const struct field course_fields[] = {
	F(struct course, id, 0, 0, 0, NULL),
};
static const struct schema course_schema = SCHEMA("RosterCourse", struct course, course_fields);

SQL(ROSTER_COURSE, "t", "SELECT id FROM courses WHERE code = $1 AND NOT is_deleted ORDER BY created_at DESC, id DESC LIMIT 1");
SQL(ROSTER_COURSE_NEW, "uttum",
	"INSERT INTO courses (id, code, title, owner_id, is_deleted, created_at) VALUES ($1, $2, $3, $4, FALSE, $5)");

enum err
roster_owner(struct ctx *cx, const char *address, struct account *ret)
{
	const char *email;
	bool found;

	if (!email_canonical(cx->arena, address, &email))
		return fail(cx, ERR_NOT_FOUND, "%.80s is no e-mail address.", address);
	TRY(account_by_email(cx, email, ret, &found));
	if (!found || ret->role == ROLE_STUDENT)
		return fail(cx, ERR_NOT_FOUND, "%.80s is no lecturer's or administrator's address.", email);
	return OK;
}

enum err
roster_course(struct ctx *cx, struct roster_course *c)
{
	struct account owner;
	struct course old;
	bool found;

	TRY(db_find(cx, &ROSTER_COURSE, &course_schema, &old, &found, V(c->code)));
	c->id = found ? old.id : (struct uuid){""};
	if (found)
		return OK;
	if (!c->owner_email)
		return fail(cx, ERR_NOT_FOUND, "There is no course %.80s; --owner ADDRESS makes it.", c->code);
	TRY(roster_owner(cx, c->owner_email, &owner));
	if (c->dry_run)
		return OK;
	c->id = new_id(cx);
	TRY(db_exec(cx, &ROSTER_COURSE_NEW, NULL, V_ID(c->id), V(c->code), V(c->title ? c->title : c->code), V_ID(owner.id),
		V(cx->now_us)));
	return audit_ok(cx, AUDIT_COURSE_CHANGED, "course", c->id.text, AUDIT_TEXT("code", c->code), AUDIT_TEXT("by", "command"));
}

SQL(ROSTER_ADD, "uum",
	"INSERT INTO enrollments (course_id, user_id, created_at) VALUES ($1, $2, $3) ON CONFLICT (course_id, user_id) DO "
	"NOTHING");

static enum err
take(struct ctx *cx, struct import *im, const struct import_row *row)
{
	const struct uuid *course_id = im->arg;
	struct account who;
	const char *email;
	int64_t rows;
	bool found;

	if (!email_canonical(cx->arena, row->email ? row->email : "", &email)) {
		import_refuse(im, row->line, "%.80s is no e-mail address", row->email && row->email[0] ? row->email : "nothing");
		return OK;
	}
	TRY(account_by_email(cx, email, &who, &found));
	if (!found) {
		struct import_report before = im->report;
		if (!row->full_name || !row->full_name[0]) {
			import_refuse(im, row->line, "there is no account %s, and no name to make one", email);
			return OK;
		}
		TRY(import_account(
			cx, im, &(const struct import_row){.line = row->line, .email = email, .full_name = row->full_name}));
		if (im->report.failed > before.failed)
			return OK;
		im->report = before;
		TRY(account_by_email(cx, email, &who, &found));
	}
	if (!course_id->text[0]) {
		im->report.added++;
		return OK;
	}
	TRY(db_exec(cx, &ROSTER_ADD, &rows, V_ID(*course_id), V_ID(who.id), V(cx->now_us)));
	im->report.added += rows;
	im->report.existing += !rows;
	return OK;
}

void
roster_import(struct import *im, const struct uuid *course_id)
{
	im->take = take;
	im->arg = (void *)course_id;
}
