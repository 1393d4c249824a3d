/*
 * The liveness challenge: the server chooses an order of head turns, the student answers with one picture each, and each must show the
 * same face, turned as asked.  A print, a screen or one still picture sent three times does not turn; who can pose or play back the
 * person on demand still passes.  It is no proof of life, and nothing here calls it one.
 *
 * Yaw alone is asked for: it follows from where the nose lies between the eyes, which a detector of five points sees well.  Left and right
 * are the student's own, in pictures that are not mirrored.
 */
#ifndef MUSTER_ATTENDANCE_LIVENESS_H
#define MUSTER_ATTENDANCE_LIVENESS_H

#include "attendance/challenge.h"
#include "attendance/face.h"

enum { LIVENESS_PICTURES = 3, LIVENESS_TURN_DEGREES = 20 };

struct liveness_query {
	const char *event_id; /* a session's id or label */
};
extern const struct schema liveness_query_schema;
struct liveness_ask {
	bool require_face, require_liveness; /* what a mark is asked for: policy and models included */
	const char *challenge;		     /* NULL unless require_liveness */
	struct list poses;		     /* of const char *: "straight", "left", "right" */
	int64_t expires_at;
};
extern const struct schema liveness_ask_schema;
/* For the actor, in the read lane; nothing is written.  ERR_VALIDATION; ERR_EVENT_NOT_FOUND. */
enum err liveness_ask(struct ctx *cx, const struct liveness_query *q, struct liveness_ask *ret) MUST_CHECK;

enum liveness_result {
	LIVENESS_UNSET = 0, /* not asked for, or not come to */
	LIVENESS_GOOD,
	LIVENESS_MISSING, /* no challenge, or not its number of pictures */
	LIVENESS_STALE,	  /* forged, expired, another account's or another session's */
	LIVENESS_UNSEEN,  /* a picture cannot be judged: `fault` */
	LIVENESS_OTHERS,  /* the pictures show different faces */
	LIVENESS_STILL,	  /* the head was not turned as asked */
	LIVENESS_NOT_CHECKED, /* no helper answered in time */
};
struct liveness {
	enum liveness_result result;
	enum face_verdict fault;
	struct uuid challenge; /* that was answered; empty: none that is good */
	char order[LIVENESS_PICTURES + 1]; /* of the poses, with the challenge */
	int straight;	       /* which picture shows the face as it is enrolled */
};
/* Which pictures are asked for, by the token that a mark sent; judges none. */
struct liveness liveness_open(struct ctx *cx, const char *token, const char *event_id, int n_pictures);
/*
 * On the files lane, into *l, when liveness_open() found nothing wrong: looks at the turned pictures, where `straight` is what was seen in
 * the other one.  ERR_VALIDATION: one is no picture.
 */
enum err liveness_judge(struct ctx *cx, const struct span *pictures, const struct face_answer *straight, struct liveness *l)
	MUST_CHECK;

#endif
