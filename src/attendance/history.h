/*
 * What became of a record: each change with who, when and why, and its making where that was by hand.  Rows only come; they go with
 * their record.  The audit trail has every change as well, for administrators.
 */
#ifndef MUSTER_ATTENDANCE_HISTORY_H
#define MUSTER_ATTENDANCE_HISTORY_H

#include "core/field.h"

struct history_change {
	const char *from, *to, *reason; /* from "none": it was made so */
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
extern const struct schema record_change_schema;

/* Oldest first. */
enum err history_list(struct ctx *cx, const char *attendance_id, struct list *ret) MUST_CHECK;

#endif
