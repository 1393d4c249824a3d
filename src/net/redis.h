/*
 * Redis as a place for counters that several nodes share: atomic scripts, short time-outs, and a breaker.
 *
 * While Redis does not answer, redis_run() returns false at once; a thread of its own asks again with growing pauses and closes
 * the breaker.  Every change is one log line ("redis.away", "redis.back") and the gauge muster_redis_up.
 */
#ifndef MUSTER_NET_REDIS_H
#define MUSTER_NET_REDIS_H

#include "core/ctx.h"
#include "core/str.h"

enum { REDIS_ARGS_MAX = 32 };

struct redis_options {
	const char *url;
	int timeout_ms;           /* for one call, connecting included */
	struct metrics *metrics;  /* may be NULL */
};
/* Asks once before it returns.  NULL: the URL is wrong; *ret_message, in `a`, says how.  A Redis that is away is no error. */
struct redis *redis_open(struct arena *a, const struct redis_options *o, const char **ret_message);
void redis_close(struct redis *r); /* NULL is fine; nobody may be in redis_run() */

struct redis_script {
	const char *text; /* returns an array of integers */
	char sha[41];     /* set by redis_script_init() */
};
void redis_script_init(struct redis_script *s);
/*
 * Runs a script in one round trip (two when Redis has forgotten it): n_keys of `args` are KEYS, the rest ARGV.  May wait for the
 * time-out, so never on a loop.  False: Redis is away; what the script did is then unknown.
 */
bool redis_run(struct redis *r, const struct redis_script *s, size_t n_keys, const struct span *args, size_t n, int64_t *ret,
	size_t n_ret) MUST_CHECK;

struct redis_state {
	bool up;
	int64_t latency_us;  /* of the last question that was answered */
	char message[160];   /* why it is away */
};
void redis_look(struct redis *r, struct redis_state *ret); /* no I/O */

#endif
