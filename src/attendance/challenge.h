/*
 * Private to attendance/: challenges, signed tokens that live for a minute and are good for one account, one purpose and one use.
 *
 * Giving one out writes nothing: in a hall of 1,500 that is one MAC each, where a row would be 1,500 writes in the same seconds as the
 * marks.  Whether one was used stands in spent_claims, where the successful mark writes its id; so a mark that fails may be tried again
 * with the same challenge, as with a claim.
 */
#ifndef MUSTER_ATTENDANCE_CHALLENGE_H
#define MUSTER_ATTENDANCE_CHALLENGE_H

#include "core/ctx.h"

enum { CHALLENGE_LIFE_S = 60, CHALLENGE_SAYS_MAX = 16 };

struct challenge {
	struct uuid id;
	struct uuid about;		   /* what else it is bound to; empty: nothing */
	char says[CHALLENGE_SAYS_MAX + 1]; /* what the server chose; "": nothing */
};
/* For the actor.  `typ` is its purpose, as of jws_sign(); `id` is set here. */
const char *challenge_sign(struct ctx *cx, const char *typ, struct challenge *c, int64_t *ret_expires_at);
/* Ours, of this purpose, this actor's and in time at cx->now_us.  NULL is no challenge. */
bool challenge_read(struct ctx *cx, const char *typ, const char *token, struct challenge *ret);

#endif
