/*
 * Lockout and the counters of a login.  Rows live in login_failures, so they survive a restart and are shared by all nodes.
 *
 * LOGIN_FAIL_EMAIL_THRESHOLD failures within EMAIL_LOCK_TTL of each other lock the e-mail for that time; LOGIN_FAIL_IP_THRESHOLD lock the
 * IP for IP_LOCK_TTL, doubled each time up to IP_LOCK_MAX_TTL, one level down a day.  Success clears the e-mail's count, not the
 * IP's.  Counted before hashing ("reserved"), taken back on success, committed although the request fails.  A known device has a count
 * of its own and is exempt from the e-mail's lock.  Unknown and known addresses are counted alike.
 */
#ifndef MUSTER_IDENTITY_LOCKOUT_H
#define MUSTER_IDENTITY_LOCKOUT_H

#include "core/ctx.h"

struct lockout_attempt {
	const char *email; /* canonical, or the typed text when it is no address */
	const char *ip;
	const char *device_id; /* of a valid known device; NULL */
	bool shared_network;   /* never IP-locks */
};
/* Counts the attempt; *ret_locked_until is a time in the future when it must be refused. */
enum err lockout_reserve(struct ctx *cx, const struct lockout_attempt *a, int64_t *ret_locked_until) MUST_CHECK;
/* The attempt succeeded: the e-mail's (or device's) count is cleared, the IP's reservation given back. */
enum err lockout_success(struct ctx *cx, const struct lockout_attempt *a) MUST_CHECK;

#endif
