/*
 * The limiter's second backend: counters in Redis, shared by all nodes that have the same SECRET_KEY.
 *
 * A window is a key {muster}:limit:<MAC> with an expiry, so Redis' own clock opens and closes it and nothing is left behind.  What
 * is counted (addresses, e-mails) is not readable there.
 */
#ifndef MUSTER_API_SHARED_LIMITS_H
#define MUSTER_API_SHARED_LIMITS_H

#include "core/ctx.h"

/* Opens srv->redis as the configuration says and gives it to srv->limiter; nothing without REDIS_URL.  False: *ret_message. */
bool shared_limits_open(struct arena *a, struct server *srv, const char **ret_message);
void shared_limits_close(struct server *srv);

#endif
