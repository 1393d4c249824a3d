/* The screens of a room, on both surfaces: a token for one, the end of them all, and what they show.  Path parameter 0 is the id. */
#ifndef MUSTER_API_DISPLAYS_H
#define MUSTER_API_DISPLAYS_H

#include "api/route.h"

/* A campus row asks first whose session it is. */
enum err display_open_handler(struct ctx *cx, const struct request *rq, struct reply *rs) MUST_CHECK;
enum err display_revoke_handler(struct ctx *cx, const struct request *rq, struct reply *rs) MUST_CHECK;
enum err frames_handler(struct ctx *cx, const struct request *rq, struct reply *rs) MUST_CHECK;

#endif
