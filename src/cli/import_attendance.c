/*
 * `muster import attendance`: records from a CSV file, or from an old campus database (SQLite).
 *
 * Old databases differ in the names of tables and columns; those known are listed here, and what is not taken over is said.
 * People are found by their address, so the users are imported first.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "attendance/record_import.h"
#include "cli/import.h"
#include "store/db.h"
#include "store/foreign.h"

/* --- a table of theirs, in memory --------------------------------------------------------------------------------------------
 */

enum { MEMBERS_MAX = 8, ALIASES_MAX = 6, ROWS_MAX = 1000000 };

struct member { /* what we call it, and what they may */
	size_t offset;
	const char *names[ALIASES_MAX];
};
struct old_row { /* of any of the tables */
	const char *id, *email, *title, *course, *owner, *starts_at, *ends_at, *session, *student, *status, *marked_at, *reason;
};
#define M(member, ...)                            \
	{                                         \
		offsetof(struct old_row, member), \
		{                                 \
			__VA_ARGS__               \
		}                                 \
	}
static const struct old_table {
	const char *names[ALIASES_MAX];
	struct member members[MEMBERS_MAX];
	bool optional;
} users_table = {{"users"}, {M(id, "id"), M(email, "email")}, false},
  courses_table = {{"courses"}, {M(id, "id"), M(course, "code", "course_code", "name", "title")}, true},
  sessions_table = {{"attendance_sessions", "sessions", "class_sessions", "lectures"},
	  {M(id, "id"), M(title, "title", "name", "topic", "course_name", "course_code"),
		  M(course, "course_id", "course_code", "course"),
		  M(owner, "lecturer_id", "owner_id", "created_by", "teacher_id"),
		  M(starts_at, "starts_at", "start_time", "started_at", "scheduled_at", "created_at"),
		  M(ends_at, "ends_at", "end_time", "ended_at", "expires_at")},
	  false},
  records_table = {{"attendance_records", "attendance", "attendances"},
	  {M(session, "session_id", "attendance_session_id", "event_id"), M(student, "student_id", "user_id"),
		  M(status, "status"), M(marked_at, "marked_at", "timestamp", "checked_in_at", "created_at"),
		  M(reason, "reason", "override_reason", "note")},
	  false};

struct old_rows {
	struct old_row *rows;
	size_t n;
};

static const struct member *
member_of(const struct old_table *t, const char *const *columns, size_t i)
{
	for (const struct member *m = t->members; m < t->members + MEMBERS_MAX && m->names[0]; m++)
		for (const char *const *name = m->names; name < m->names + ALIASES_MAX && *name; name++) {
			size_t first = 0;
			while (columns[first] && strcasecmp(columns[first], *name) != 0)
				first++;
			if (columns[first]) { /* the first known name that is there is taken */
				if (first == i)
					return m;
				break;
			}
		}
	return NULL;
}

static const char *
table_name(struct foreign *f, const struct old_table *t)
{
	for (const char *const *name = t->names; name < t->names + ALIASES_MAX && *name; name++)
		if (foreign_count(f, *name) >= 0)
			return *name;
	return NULL;
}

static enum err
load(struct app *app, struct foreign *f, const struct old_table *t, struct old_rows *ret)
{
	const char *name = table_name(f, t), *values[FOREIGN_COLUMNS_MAX], *message = NULL;
	const struct member *to[FOREIGN_COLUMNS_MAX];
	int64_t count = name ? foreign_count(f, name) : 0;

	*ret = (struct old_rows){0};
	if (!name)
		return t->optional ? OK : fail(&app->cx, ERR_NOT_FOUND, "There is no table %s.", t->names[0]);
	if (count > ROWS_MAX)
		return fail(&app->cx, ERR_VALIDATION, "The table %s has over %d rows.", name, ROWS_MAX);
	ret->rows = arena_new(&app->arena, struct old_row, (size_t)count + 1);
	const char *const *columns = foreign_rows(f, &app->arena, name);
	for (size_t i = 0; columns[i]; i++) {
		to[i] = member_of(t, columns, i);
		if (!to[i])
			fprintf(stderr, "not taken over: %s.%s\n", name, columns[i]);
	}
	while (ret->n < (size_t)count && foreign_next(f, &app->arena, values, &message)) {
		for (size_t i = 0; columns[i]; i++)
			if (to[i])
				memcpy((char *)&ret->rows[ret->n] + to[i]->offset, &values[i], sizeof(values[i]));
		ret->n++;
	}
	return message ? fail(&app->cx, ERR_UNAVAILABLE, "%s", message) : OK;
}

static int
by_id(const void *a, const void *b)
{
	const struct old_row *x = a, *y = b;

	return strcmp(x->id ? x->id : "", y->id ? y->id : "");
}

static const struct old_row *
find(const struct old_rows *in, const char *id)
{
	const struct old_row key = {.id = id};

	return id && in->n ? bsearch(&key, in->rows, in->n, sizeof(key), by_id) : NULL;
}

/* --- an old database ---------------------------------------------------------------------------------------------------------
 */

/* What their status says in our words. */
static const char *
status_of(const char *theirs)
{
	static const struct {
		const char *theirs, *ours;
	} words[] = {{"verified", "present"}, {"confirmed", "present"}, {"approved", "present"}, {"marked", "present"},
		{"pending", "flagged"}, {"suspicious", "flagged"}, {"denied", "rejected"}};

	for (size_t i = 0; theirs && i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(words[i].theirs, theirs) == 0)
			return words[i].ours;
	return theirs;
}

static enum err
take_all(struct app *app, struct import *im, struct foreign *f)
{
	struct old_rows users, courses, sessions, records;

	TRY(load(app, f, &users_table, &users));
	TRY(load(app, f, &courses_table, &courses));
	TRY(load(app, f, &sessions_table, &sessions));
	TRY(load(app, f, &records_table, &records));
	qsort(users.rows, users.n, sizeof(*users.rows), by_id);
	qsort(courses.rows, courses.n, sizeof(*courses.rows), by_id);
	qsort(sessions.rows, sessions.n, sizeof(*sessions.rows), by_id);
	for (size_t i = 0; i < records.n; i++) {
		const struct old_row *r = &records.rows[i], *s = find(&sessions, r->session), *student = find(&users, r->student);
		const struct old_row *owner = s ? find(&users, s->owner) : NULL, *course = s ? find(&courses, s->course) : NULL;
		if (!s || !student) {
			im->report.rows++;
			import_refuse(im, (int64_t)i + 1, "its %s is not in the file", s ? "student" : "session");
			continue;
		}
		TRY(import_add(im, &(const struct import_row){.line = (int64_t)i + 1,
					   .email = student->email,
					   .session = s->title,
					   .course = course ? course->course : s->course,
					   .owner = owner ? owner->email : NULL,
					   .starts_at = s->starts_at,
					   .ends_at = s->ends_at,
					   .status = status_of(r->status),
					   .marked_at = r->marked_at,
					   .reason = r->reason}));
	}
	return import_finish(im);
}

enum err
import_old_campus(struct app *app, struct import *im, const char *path)
{
	const char *message = NULL;
	struct foreign *f = foreign_open(&app->arena, path, &message);

	if (!f)
		return fail(&app->cx, ERR_UNAVAILABLE, "%s", message);
	enum err e = foreign_count(f, "schema_migrations") >= 0
			     ? fail(&app->cx, ERR_CONFLICT, "This is a database of this program: use muster restore.")
			     : take_all(app, im, f);
	foreign_close(f);
	return e;
}
