/*
 * Selfies of marks: checked and stored before the mark, named by a row that the mark writes, shown to the lecturer, gone after
 * SELFIE_RETENTION_DAYS.
 *
 * A selfie is kept only where the session asks for it or the face layer had something to say; any other object is an orphan, as are those
 * of marks that were refused.
 */
#ifndef MUSTER_ATTENDANCE_SELFIE_H
#define MUSTER_ATTENDANCE_SELFIE_H

#include "attendance/face.h"

struct selfie {
	struct face_match match;
	const char *object, *type; /* in storage */
};
/* On the files lane, for the actor.  ERR_VALIDATION: not a picture; ERR_UNAVAILABLE: it cannot be stored. */
enum err selfie_prepare(struct ctx *cx, struct span picture, const struct selfie **ret) MUST_CHECK;

/* In the write lane, after the mark's own rows: names the object, where the session asks for it or the face layer spoke. */
struct mark_case;
enum err selfie_keep(struct ctx *cx, const struct mark_case *c, const char *attendance_id) MUST_CHECK;

/* On the work lane: the bytes, for the owner of the session or an administrator; audited.  ERR_NOT_FOUND; ERR_UNAVAILABLE. */
enum err selfie_read(struct ctx *cx, const char *attendance_id, const char **ret_type, struct span *ret) MUST_CHECK;

/* Jobs: what is older than SELFIE_RETENTION_DAYS; objects over an hour old that no row names. */
enum err selfie_expire(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;
enum err selfie_sweep(struct ctx *cx, int64_t *ret_rows) MUST_CHECK;

#endif
