/*
 * What became of a record after it was made: each change with who, when and why, beside its first status.  Rows only come; they go
 * with their record.  The audit trail has every change as well, for administrators.
 */
#ifndef MUSTER_ATTENDANCE_HISTORY_H
#define MUSTER_ATTENDANCE_HISTORY_H

#include "core/field.h"

struct history_change {
	const char *from, *to, *reason;
};
/* In the write lane, within the change's own transaction.  `by` NULL: a rule did it. */
enum err history_add(struct ctx *cx, const char *attendance_id, const char *by, const struct history_change *change) MUST_CHECK;

struct history_by {
	struct uuid id;
	const char *full_name;
};
struct record_change {
	int64_t at;
	const char *from, *to, *reason;
	const char *by_role;   /* NULL: a rule */
	struct history_by *by; /* NULL: a rule, or the reader is the student and it was somebody else */
};
struct record_history {
	struct uuid attendance_id;
	const char *status, *original_status;
	struct list changes;
};
extern const struct schema record_change_schema, record_history_schema;

/* Oldest first. */
enum err history_list(struct ctx *cx, const char *attendance_id, struct list *ret) MUST_CHECK;
/* ERR_NOT_FOUND, but for the student concerned, the session's owner, reviewers and administrators. */
enum err history_get(struct ctx *cx, const char *attendance_id, struct record_history *ret) MUST_CHECK;

#endif
