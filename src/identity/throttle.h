/*
 * Limits whose numbers are configuration and whose key or give-back the dispatcher cannot know: login, signup and reset.  Nodes
 * count them together where Redis is configured; RATE_LIMIT_ENABLED=false switches them off.  They may wait for Redis: never inside
 * a transaction.  A client in SHARED_NETWORKS gets SHARED_NETWORK_FACTOR times as many by IP.
 */
#ifndef MUSTER_IDENTITY_THROTTLE_H
#define MUSTER_IDENTITY_THROTTLE_H

#include "http/limit.h"
#include "identity/login.h"

enum { SHARED_NETWORK_FACTOR = 100 };
bool network_shared(const struct ctx *cx);
/* All of the hits or none; ERR_RATE_LIMITED with Retry-After, ERR_UNAVAILABLE while a required Redis is away. */
enum err throttle(struct ctx *cx, const struct limit_hit *hits, size_t n) MUST_CHECK;
/* One hit for the client's IP. */
enum err throttle_ip(struct ctx *cx, struct limit limit) MUST_CHECK;

/*
 * The login rows.  Every attempt counts in the rows of all surfaces and is refused by those of its own; a success gives its hits
 * back, and those that the same address put on this IP within 15 minutes.  A valid known device stands outside the rows by IP.
 */
struct login_hits {
	const char *email, *ip; /* keys; ip NULL: outside the rows by IP */
	bool shared;
};
/* As throttle(). */
enum err login_hits_take(struct ctx *cx, enum login_surface surface, const struct login_hits *h) MUST_CHECK;
void login_hits_give_back(struct ctx *cx, const struct login_hits *h);
/* What this attempt took, and no more: nobody judged it. */
void login_hits_undo(struct ctx *cx, enum login_surface surface, const struct login_hits *h);

/*
 * Audit rows of throttled and locked logins: the first 20 an hour of an IP singly, then one a minute.  True when a row is due; it
 * stands for *ret_count logins.
 */
bool refusal_row_due(struct ctx *cx, int64_t *ret_count);

#endif
