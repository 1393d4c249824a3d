/*
 * Review: what the layers flagged and what students dispute waits in a queue until a human decides.
 *
 * A record waits while it is flagged, or disputed after the last decision about it.  A decision never erases: the first status
 * stays in original_status, the audit trail keeps every step, and the student is told with the reason.
 */
#ifndef MUSTER_ATTENDANCE_REVIEW_H
#define MUSTER_ATTENDANCE_REVIEW_H

#include "attendance/history.h"
#include "attendance/manual.h"

struct review_session {
	struct uuid id;
	const char *title, *kind;
	int64_t starts_at;
};
struct flagged_row {
	struct uuid attendance_id;
	struct account_ref student;
	struct review_session session;
	const char *status, *original_status, *method;
	int64_t marked_at;
	int64_t distance_m;
	const char *flags, *reason;
	struct uuid marked_by;
	int64_t changed_at;
	const char *dispute_note;
	int64_t disputed_at;
	const char *layers; /* JSON list of {layer,verdict,detail,score}, as the mark was judged */
	bool has_selfie;
	struct list changes; /* of one record, and in the answer to a decision, this one included: struct record_change */
	int64_t selfie_days; /* of one record: that selfies are kept */
};
struct flagged_list {
	struct list flagged; /* who waits longest first */
	int64_t total;
	int64_t selfie_days; /* that selfies are kept */
};
extern const struct schema flagged_list_schema, decided_row_schema, decided_list_schema, record_history_schema;

/* Whose records a function reaches: NULL everybody's (reviewers, administrators), else sessions of this owner. */
struct review_scope {
	const char *owner_id, *session_id; /* NULL: any */
};
/* The scope of the actor: a lecturer's own sessions, everything for an administrator. */
struct review_scope review_scope_own(const struct ctx *cx, const char *session_id);

enum err review_queue(struct ctx *cx, const struct review_scope *scope, int64_t limit, struct flagged_list *ret) MUST_CHECK;

/*
 * One record with all that became of it.  ERR_NOT_FOUND, but for the student concerned, the session's owner, reviewers and
 * administrators.  A student reads the same reasons, but not which person decided nor what the layers measured.
 */
enum err review_history(struct ctx *cx, const char *attendance_id, struct flagged_row *ret) MUST_CHECK;

extern const struct schema review_decision_schema; /* of struct manual_in: status and reason, both required */
extern const struct schema review_note_schema;	   /* of struct manual_in: reason, optional */

/*
 * In the write lane.  ERR_NOT_FOUND: no such record in the scope.  Without a status it is a confirmation: only of a record that
 * waits (ERR_ALREADY_DECIDED), and the status becomes present or late by the time of the mark.
 */
enum err review_decide(struct ctx *cx, const struct review_scope *scope, const char *attendance_id, const struct manual_in *in,
	struct flagged_row *ret) MUST_CHECK;

enum { REVIEW_MANY_MAX = 100 };
struct decisions_in {
	struct list attendance_ids; /* texts */
	int status;                 /* 0: each is confirmed */
	const char *reason;
};
extern const struct schema decisions_in_schema, decisions_own_in_schema; /* the second, a lecturer's, rejects nothing */
struct decided_list {
	struct list records; /* of struct flagged_row */
};
/* The same for several, all of them or none. */
enum err review_decide_many(
	struct ctx *cx, const struct review_scope *scope, const struct decisions_in *in, struct decided_list *ret) MUST_CHECK;

struct dispute_in {
	const char *note;
};
extern const struct schema dispute_in_schema;
struct dispute {
	struct uuid attendance_id;
	const char *status, *dispute_note;
	int64_t disputed_at;
};
extern const struct schema dispute_schema;
/* The actor's own record, once.  ERR_NOT_FOUND, ERR_CONFLICT (disputed before).  The owner of the session is told. */
enum err review_dispute(struct ctx *cx, const char *attendance_id, const struct dispute_in *in, struct dispute *ret) MUST_CHECK;

#endif
