/*
 * Faces of students: enrolment, comparison, deletion.
 *
 * Of an enrolled face only templates are kept (numbers that a model made of a picture), sealed for their account; the pictures are
 * not.  Nobody but the account's own marks ever reads them, and no route shows them.  Templates of another model than the present one
 * count as none.
 *
 * What takes a helper process (net/face.h) is in …_prepare() and runs on the files lane; what writes runs on the write lane.
 */
#ifndef MUSTER_ATTENDANCE_FACE_H
#define MUSTER_ATTENDANCE_FACE_H

#include "core/field.h"
#include "net/face.h"

enum { FACE_PICTURES_MAX = 3 };

struct face_in {
	enum tri consent;
};
extern const struct schema face_in_schema;

struct face_pictures { /* what the helper made of them */
	int n;
	struct face_answer of[FACE_PICTURES_MAX];
};
/*
 * Every picture shows one good face, and all the same one: ERR_VALIDATION names those that do not.  ERR_CONSENT_REQUIRED in staging and
 * prod; ERR_FACE_UNAVAILABLE without a model or while no helper answers.
 */
enum err face_enrol_prepare(struct ctx *cx, const struct face_in *in, const struct span *pictures, int n, struct face_pictures **ret)
	MUST_CHECK;
struct face_out {
	bool enrolled;
	int64_t references;
	int64_t consent_at; /* FIELD_NONE: none was given (dev only) */
};
extern const struct schema face_out_schema;
/*
 * Takes the place of what was enrolled.  ERR_FACE_MISMATCH: it is another face than the enrolled one, which must be deleted first: a
 * change of person leaves its trace.
 */
enum err face_enrol(struct ctx *cx, const struct face_in *in, const struct face_pictures *pictures, struct face_out *ret) MUST_CHECK;

/* How a picture compares with what an account has enrolled. */
struct face_match {
	enum face_verdict verdict; /* FACE_UNSET: no helper answered in time; without a model FACE_NO_MODEL */
	int64_t references;        /* enrolled, of the present model */
	double score;              /* cosine with the nearest; NAN unless the verdict is FACE_GOOD and something is enrolled */
	double accept, review;     /* the model's */
};
/* On the files lane, for the actor.  *ret_seen is what was found in the picture, unless the verdict is FACE_UNSET. */
enum err face_compare(struct ctx *cx, struct span picture, struct face_match *ret, const struct face_answer **ret_seen) MUST_CHECK;
/* Blocking: false when no helper answered in time. */
bool face_examine(struct ctx *cx, struct span picture, enum face_purpose purpose, struct face_answer *ret);
/* ERR_VALIDATION, naming this field: it is no picture, or a broken or too large one. */
enum err face_picture_check(struct ctx *cx, const char *field, enum face_verdict v) MUST_CHECK;

struct face_check {
	bool verified;
	const char *verdict; /* "match", "review", "no_match", or why the picture is no good */
	double score, threshold;
};
extern const struct schema face_check_schema;
/* ERR_FACE_UNAVAILABLE; ERR_CONFLICT: nothing is enrolled; ERR_VALIDATION: not a picture. */
enum err face_verify_prepare(struct ctx *cx, struct span picture, struct face_check **ret) MUST_CHECK;
enum err face_verify_write(struct ctx *cx, const struct face_check *check) MUST_CHECK;

/*
 * On the work lane: templates, selfies and their objects.  An object that cannot be deleted now is an orphan from here on, and
 * the job's.
 */
enum err face_delete(struct ctx *cx) MUST_CHECK;

extern const char face_seal_purpose[]; /* of a template's sealed text (core/fernet.h) */

#endif
