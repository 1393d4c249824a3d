/* The handler of an event's and a session's frames, one on both surfaces.  Path parameter 0 is the id. */
#ifndef MUSTER_API_FRAMES_H
#define MUSTER_API_FRAMES_H

#include "api/route.h"

enum err frames_handler(struct ctx *cx, const struct request *rq, struct reply *rs) MUST_CHECK;

#endif
