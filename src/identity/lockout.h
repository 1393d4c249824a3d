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
/* The refusal's Retry-After: until then. */
void lockout_tell(struct ctx *cx, int64_t locked_until);
/* The attempt succeeded: the e-mail's (or device's) count is cleared, the IP's reservation given back. */
enum err lockout_success(struct ctx *cx, const struct lockout_attempt *a) MUST_CHECK;
/* The attempt was not judged, and nobody learnt anything from it: both reservations are given back. */
enum err lockout_give_back(struct ctx *cx, const struct lockout_attempt *a) MUST_CHECK;

/*
 * Failures that are an account's own, apart from those of its logins: `kind` "otp" or "password" (typed again by somebody signed in).
 * The same threshold; each further lock lasts twice as long, up to IP_LOCK_MAX_TTL, one level down a day.
 */
enum err lockout_account_reserve(struct ctx *cx, const char *kind, const char *user_id, int64_t *ret_locked_until) MUST_CHECK;
enum err lockout_account_success(struct ctx *cx, const char *kind, const char *user_id) MUST_CHECK;
enum err lockout_account_give_back(struct ctx *cx, const char *kind, const char *user_id) MUST_CHECK; /* as lockout_give_back() */
/* Counts one of `max` tries of a token; *ret_left = false when they are used up. */
enum err lockout_token_try(struct ctx *cx, const char *token_id, int64_t max, int64_t life_us, bool *ret_left) MUST_CHECK;

#endif
