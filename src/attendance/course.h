/*
 * Courses and their rosters.  A course belongs to one lecturer: somebody else's is ERR_NOT_FOUND, administrators see all.  The same
 * code may come again, for another term.
 */
#ifndef MUSTER_ATTENDANCE_COURSE_H
#define MUSTER_ATTENDANCE_COURSE_H

#include "attendance/session.h"

struct course_new {
	const char *code, *title;
};
extern const struct schema course_new_schema;
struct course {
	struct uuid id;
	const char *code, *title;
	struct session_lecturer lecturer;
	int64_t students, created_at;
};
extern const struct schema course_schema;
enum err course_create(struct ctx *cx, const struct course_new *in, struct course *ret) MUST_CHECK;
enum err course_list(struct ctx *cx, int64_t limit, struct list *ret) MUST_CHECK;

struct roster_student {
	struct uuid id;
	const char *email, *full_name;
	int64_t enrolled_at;
};
extern const struct schema roster_student_schema;
enum err course_roster(struct ctx *cx, const char *course_id, struct list *ret) MUST_CHECK; /* by name */

struct roster_new {
	const char *email, *full_name;
};
extern const struct schema roster_new_schema;
struct roster_error {
	int64_t row; /* line of the file */
	const char *message;
};
struct roster_report {
	int64_t added, updated; /* updated: was on the roster already */
	struct list errors;
	struct roster_student *student; /* who was added singly; NULL for a file */
};
extern const struct schema roster_report_schema;
/*
 * On the work lane, in transactions of their own.  An address without account gets one, as student without password, when there is
 * a name for it.  ERR_VALIDATION: of one student, whatever is wrong; of a CSV file (columns email, and full_name or name), only
 * its header, and rows that are wrong are reported.
 */
enum err course_enrol(struct ctx *cx, const char *course_id, const struct roster_new *in, struct roster_report *ret) MUST_CHECK;
enum err course_enrol_csv(struct ctx *cx, const char *course_id, struct span text, bool dry_run, struct roster_report *ret)
	MUST_CHECK;

#endif
