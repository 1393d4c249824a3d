/*
 * Attendance by hand: an administrator records, changes or removes what a code did not, and says why.
 *
 * What was there first stays in `original_status`; who changed it, when and why stand beside it.  Every change is audited as
 * attendance_changed, counted at once, and told to the student.
 */
#ifndef MUSTER_ATTENDANCE_MANUAL_H
#define MUSTER_ATTENDANCE_MANUAL_H

#include "attendance/record.h"

struct manual_in { /* also a change, without user_id */
	struct uuid user_id;
	int status; /* index into manual_statuses; 0 in a change: as it is */
	const char *reason;
};
#define MANUAL_REASON \
	F(struct manual_in, reason, F_REQUIRED | F_TRIM | F_MULTILINE, 1, TEXT_MAX_BYTES, "Why; the student reads it")
extern const char *const manual_statuses[]; /* present late excused absent rejected; the last only in a change */
extern const char *const manual_own_statuses[]; /* the same without the last: a lecturer's */
extern const struct schema manual_own_change_schema; /* without rejected */
extern const struct schema manual_new_schema, manual_change_schema, manual_delete_schema; /* all of struct manual_in */

struct manual_record {
	struct uuid attendance_id;
	struct account_ref user;
	const char *status, *original_status, *method;
	int64_t marked_at;
	const char *reason;
	struct uuid marked_by;
	int64_t changed_at;
};
extern const struct schema manual_record_schema;

/*
 * In the write lane.  ERR_NOT_FOUND: no such event, account or record.  ERR_DUPLICATE_ATTENDANCE (with attendance_id, marked_at).
 * A manual record needs no place and no seat on the roster: whoever does it decided that.
 */
enum err manual_create(struct ctx *cx, const char *event_id, const struct manual_in *in, struct manual_record *ret) MUST_CHECK;
enum err manual_change(struct ctx *cx, const char *event_id, const char *attendance_id, const struct manual_in *in,
	struct manual_record *ret) MUST_CHECK;
/* A reviewer's decision: the same change, told and audited as one (review_decided). */
enum err manual_decide(struct ctx *cx, const char *event_id, const char *attendance_id, const struct manual_in *in) MUST_CHECK;
/* The record goes; the nonce of its code stays used, so the student can mark again with another code only. */
enum err manual_delete(struct ctx *cx, const char *event_id, const char *attendance_id, const char *reason) MUST_CHECK;

#endif
