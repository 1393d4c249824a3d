/*
 * Courses, and rosters through the one import of people (identity/import.h): a single student is a file of one row.  The course is
 * looked up before, so that a foreign one is refused; who owns it does not change.
 */
#include "attendance/course.h"

#include <stdlib.h>

#include "attendance/roster_import.h"
#include "audit/audit.h"
#include "store/db.h"

static const struct field course_new_fields[] = {
	F(struct course_new, code, F_REQUIRED | F_TRIM, 1, 40, "Short, as in the timetable"),
	F(struct course_new, title, F_REQUIRED | F_TRIM, 1, NAME_MAX_BYTES, "What it is called"),
};
const struct schema course_new_schema = SCHEMA("CourseNew", struct course_new, course_new_fields);
static const struct field course_fields[] = {
	F(struct course, id, 0, 0, 0, "Course"),
	F(struct course, code, 0, 0, 0, "Its code"),
	F(struct course, title, 0, 0, 0, "Its title"),
	F_OBJ(struct course, lecturer, &session_lecturer_schema, "Whose it is"),
	F(struct course, students, 0, 0, 0, "How many are on its roster"),
	F(struct course, created_at, F_TIME, 0, 0, "When it was made"),
};
const struct schema course_schema = SCHEMA("Course", struct course, course_fields);
static const struct field roster_student_fields[] = {
	F(struct roster_student, id, 0, 0, 0, "Account"),
	F(struct roster_student, email, 0, 0, 0, "Its address"),
	F(struct roster_student, full_name, 0, 0, 0, "Its name"),
	F(struct roster_student, enrolled_at, F_TIME, 0, 0, "Since when"),
};
const struct schema roster_student_schema = SCHEMA("RosterStudent", struct roster_student, roster_student_fields);
static const struct field roster_new_fields[] = {
	F(struct roster_new, email, F_REQUIRED | F_TRIM, 3, EMAIL_MAX, "Address"),
	F(struct roster_new, full_name, F_TRIM, 1, NAME_MAX_BYTES, "Name; needed where nobody has the address yet"),
};
const struct schema roster_new_schema = SCHEMA("RosterNew", struct roster_new, roster_new_fields);
static const struct field roster_error_fields[] = {
	F(struct roster_error, row, 0, 0, 0, "Line of the file"),
	F(struct roster_error, message, 0, 0, 0, "What is wrong with it"),
};
static const struct schema roster_error_schema = SCHEMA("RosterError", struct roster_error, roster_error_fields);
static const struct field roster_report_fields[] = {
	F(struct roster_report, added, 0, 0, 0, "How many came onto the roster"),
	F(struct roster_report, updated, 0, 0, 0, "How many were on it already"),
	F_LIST(struct roster_report, errors, 0, &roster_error_schema, "Rows that were left out; the first 1,000"),
	F_PTR(struct roster_report, student, F_OMIT, &roster_student_schema, "Who was added, when it was one"),
};
const struct schema roster_report_schema = SCHEMA("RosterReport", struct roster_report, roster_report_fields);

/* --- courses ----------------------------------------------------------------------------------------------------------------- */

#define COURSE_SELECT                                                                                                  \
	"SELECT c.id, c.code, c.title, l.id AS \"lecturer.id\", l.full_name AS \"lecturer.full_name\", c.created_at,"  \
	" (SELECT COUNT(*) FROM enrollments n WHERE n.course_id = c.id) AS students FROM courses c"                    \
	" JOIN users l ON l.id = c.owner_id WHERE NOT c.is_deleted"

SQL(COURSE_GET, "uu", COURSE_SELECT " AND c.id = $1{?2 AND c.owner_id = $2}");

static enum err
course_get(struct ctx *cx, const char *id, struct course *ret)
{
	return db_one(cx, &COURSE_GET, &course_schema, ret, V(id), V(owner_only(cx)));
}

SQL(COURSE_LIST, "ui", COURSE_SELECT "{?1 AND c.owner_id = $1} ORDER BY c.created_at DESC, c.id DESC LIMIT $2");

enum err
course_list(struct ctx *cx, int64_t limit, struct list *ret)
{
	return db_all(cx, &COURSE_LIST, &course_schema, ret, V(owner_only(cx)), V(limit));
}

SQL(COURSE_INSERT, "uttum",
	"INSERT INTO courses (id, code, title, owner_id, is_deleted, created_at) VALUES ($1, $2, $3, $4, FALSE, $5)");

enum err
course_create(struct ctx *cx, const struct course_new *in, struct course *ret)
{
	struct uuid id = new_id(cx);

	TRY(db_exec(cx, &COURSE_INSERT, NULL, V_ID(id), V(in->code), V(in->title), V_ID(cx->actor->user_id), V(cx->now_us)));
	TRY(audit_ok(cx, AUDIT_COURSE_CHANGED, "course", id.text, AUDIT_TEXT("code", in->code)));
	return course_get(cx, id.text, ret);
}

/* --- rosters ----------------------------------------------------------------------------------------------------------------- */

SQL(ROSTER_LIST, "u",
	"SELECT u.id, u.email, u.full_name, n.created_at AS enrolled_at FROM enrollments n JOIN users u ON u.id = n.user_id"
	" WHERE n.course_id = $1 ORDER BY u.full_name, u.id LIMIT 5000");

enum err
course_roster(struct ctx *cx, const char *course_id, struct list *ret)
{
	struct course course;

	TRY(course_get(cx, course_id, &course));
	return db_all(cx, &ROSTER_LIST, &roster_student_schema, ret, V(course_id));
}

struct enrolling {
	const char *course_id, *email;
	struct course course;
	struct roster_student student;
	int64_t added;
};

static enum err
find_course(struct ctx *cx, void *arg)
{
	struct enrolling *e = arg;

	return course_get(cx, e->course_id, &e->course);
}

static enum err
write_down(struct ctx *cx, void *arg)
{
	const struct enrolling *e = arg;

	return audit_ok(cx, AUDIT_ROSTER_CHANGED, "course", e->course_id, AUDIT_INT("added", e->added));
}

SQL(ROSTER_STUDENT, "ut",
	"SELECT u.id, u.email, u.full_name, n.created_at AS enrolled_at FROM enrollments n JOIN users u ON u.id = n.user_id"
	" WHERE n.course_id = $1 AND u.email = $2");

static enum err
find_student(struct ctx *cx, void *arg)
{
	struct enrolling *e = arg;

	return db_one(cx, &ROSTER_STUDENT, &roster_student_schema, &e->student, V(e->course_id), V(e->email));
}

static void
import_free(struct import *im)
{
	import_close(im);
}

enum err
course_enrol(struct ctx *cx, const char *course_id, const struct roster_new *in, struct roster_report *ret)
{
	struct enrolling e = {.course_id = course_id};
	CLEANUP(import_free) struct import im = {0};

	import_open(&im, cx, "roster", false);
	TRY(db_read(cx, find_course, &e));
	if (!email_canonical(cx->arena, in->email, &e.email)) {
		error_field(cx, "email", "is not an e-mail address");
		return fail(cx, ERR_VALIDATION, NULL);
	}
	roster_import(&im, &e.course.id);
	TRY(import_add(&im, &(const struct import_row){.line = 1, .email = e.email, .full_name = in->full_name}));
	TRY(import_finish(&im));
	if (im.report.failed) {
		error_field(cx, "full_name", "%s", im.report.errors[0].message);
		return fail(cx, ERR_VALIDATION, NULL);
	}
	e.added = im.report.added;
	if (e.added)
		TRY(db_write(cx, write_down, &e));
	TRY(db_read(cx, find_student, &e));
	struct roster_student *student = arena_new(cx->arena, struct roster_student, 1);
	*student = e.student;
	*ret = (struct roster_report){.added = im.report.added, .updated = im.report.existing, .student = student};
	return OK;
}

static int
by_row(const void *a, const void *b)
{
	const struct roster_error *x = a, *y = b;

	return (x->row > y->row) - (x->row < y->row);
}

enum err
course_enrol_csv(struct ctx *cx, const char *course_id, struct span text, bool dry_run, struct roster_report *ret)
{
	struct enrolling e = {.course_id = course_id};
	CLEANUP(import_free) struct import im = {0};

	import_open(&im, cx, "roster", dry_run);
	TRY(db_read(cx, find_course, &e));
	roster_import(&im, &e.course.id);
	TRY(import_csv(&im, text));
	e.added = im.report.added;
	if (e.added && !dry_run)
		TRY(db_write(cx, write_down, &e));
	size_t n = (size_t)(im.report.failed < IMPORT_ERRORS_KEPT ? im.report.failed : IMPORT_ERRORS_KEPT);
	struct roster_error *errors = arena_new(cx->arena, struct roster_error, n + 1);
	for (size_t i = 0; i < n; i++)
		errors[i] = (struct roster_error){im.report.errors[i].row, arena_strdup(cx->arena, im.report.errors[i].message)};
	qsort(errors, n, sizeof(*errors), by_row); /* what breaks the form is found before what breaks the sense */
	*ret = (struct roster_report){.added = im.report.added, .updated = im.report.existing, .errors = {errors, n}};
	return OK;
}
