/* Who is on a course's roster, from a file: the rows of identity/import.h, put onto one course. */
#ifndef MUSTER_ATTENDANCE_ROSTER_IMPORT_H
#define MUSTER_ATTENDANCE_ROSTER_IMPORT_H

#include "identity/import.h"

/*
 * The course of that code; made when it is not there and `owner_email` says whose it shall be, unless it is a dry run: then *ret
 * is empty.  ERR_NOT_FOUND with a message.
 */
struct roster_course {
	const char *code, *title, *owner_email; /* the last two may be NULL */
	bool dry_run;
	struct uuid id; /* out */
};
enum err roster_course(struct ctx *cx, struct roster_course *c) MUST_CHECK;
/* An account that may own courses and sessions.  ERR_NOT_FOUND with a message. */
enum err roster_owner(struct ctx *cx, const char *address, struct account *ret) MUST_CHECK;
/* Makes `im` put its rows onto that course (empty: only checks them).  An address without account gets one, if the row has a
 * name; as student, without password. */
void roster_import(struct import *im, const struct uuid *course_id);

#endif
