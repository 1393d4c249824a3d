/*
 * Selfies of marks: checked and stored before the mark, named by a row that the mark writes, shown to the lecturer, gone after
 * SELFIE_RETENTION_DAYS.
 *
 * A selfie that the session does not ask for is neither looked at nor stored.  One that was stored for a mark that was then refused is an
 * orphan.
 */
#ifndef MUSTER_ATTENDANCE_SELFIE_H
#define MUSTER_ATTENDANCE_SELFIE_H

#include "attendance/liveness.h"

struct mark_in;
struct mark_case;
struct selfie {
	bool asked; /* by the session, when it came; else the rest is unset */
	struct face_match match;
	struct liveness liveness;
	const char *object, *type; /* in storage */
};
/*
 * On the files lane, for the actor: the pictures that came with this mark, at least one.  The mark's own errors as far as its code
 * cannot be read; ERR_VALIDATION: not a picture; ERR_UNAVAILABLE: it cannot be stored.
 */
enum err selfie_prepare(struct ctx *cx, const struct mark_in *in, const struct span *pictures, int n, const struct selfie **ret)
	MUST_CHECK;

/* In the write lane, after the mark's own rows: names the object, where the session asks for it. */
enum err selfie_keep(struct ctx *cx, const struct mark_case *c, const char *attendance_id) MUST_CHECK;

/* On the work lane: the bytes, for the owner of the session and whoever decides everywhere; audited.  ERR_NOT_FOUND; ERR_UNAVAILABLE. */
enum err selfie_read(struct ctx *cx, const char *attendance_id, const char **ret_type, struct span *ret) MUST_CHECK;

/* Jobs: what is older than SELFIE_RETENTION_DAYS; objects over an hour old that no row names. */
enum err selfie_expire(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
enum err selfie_sweep(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;

#endif
